"""A second reader for MRI."""

__version__ = "0.1.0"
