"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import re
from pathlib import Path

from secondread.errors import writing

PARTIAL = ".partial"
"""Ends the temporary name of a file in the making; what a kill leaves behind is called so and never read."""


def named_by_user(path: str) -> str:
    """The name of a file in the making as whoever asked for it knows it: ``.a.png.4711.partial`` is ``a.png``."""
    folder, sign, name = path.rpartition("/")
    return folder + sign + re.sub(rf"^\.(.+?)(?:\.\d+)?{re.escape(PARTIAL)}$", r"\1", name)


def write_whole(path: Path, content: bytes) -> None:
    """Write to a temporary name beside ``path``, flush, rename: a reader sees the old file or the new one.

    Raises:
        ResourceError: no space, no permission.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        with writing(path):  # the name that the user knows
            write_flushed(partial, content)
            partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def write_flushed(path: Path, content: bytes) -> None:
    """Write and flush to the disk, under the final name. For a folder that is itself renamed when complete.

    Raises:
        OSError: whoever calls says with ``errors.writing`` what was being written, by a name that the user knows.
    """
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Flush a folder's list of names, so that a rename in it outlives a power cut. Raises ResourceError."""
    with writing(folder):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
