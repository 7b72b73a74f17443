"""Reading scans over HTTP: a small interface for programs and one page for people. Needs the extra ``serve``."""

from secondread.serve.app import DEFAULT_MAX_UPLOAD_BYTES, create_app, run

__all__ = ["DEFAULT_MAX_UPLOAD_BYTES", "create_app", "run"]
