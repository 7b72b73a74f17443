"""Packed, checksummed cases on disk, and the feed that brings them to a training step."""

from secondread.store.feed import Batch, Feed, least_memory, require_memory
from secondread.store.layout import SPEC, Case
from secondread.store.packing import pack
from secondread.store.place import Folder, Place, place_of
from secondread.store.sampler import Draw, Sampler
from secondread.store.store import Store

__all__ = [
    "SPEC",
    "Batch",
    "Case",
    "Draw",
    "Feed",
    "Folder",
    "Place",
    "Sampler",
    "Store",
    "least_memory",
    "pack",
    "place_of",
    "require_memory",
]
