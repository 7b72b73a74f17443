"""JSON that carries its own SHA-256, and files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from secondread.errors import ChecksumError, writing

_HEAD = b'{"sha256":"'
_MIDDLE = b'","content":'
_TAIL = b"}\n"
_BODY_AT = len(_HEAD) + 64 + len(_MIDDLE)


def seal(content: Any) -> bytes:
    """``{"sha256": ..., "content": ...}`` where the hash is that of the bytes of ``content``."""
    body = json.dumps(content, separators=(",", ":"), allow_nan=False).encode()
    return _HEAD + hashlib.sha256(body).hexdigest().encode() + _MIDDLE + body + _TAIL


def unseal(raw: bytes, name: object) -> Any:
    """The content of a sealed document.

    Raises:
        ChecksumError: the document is not whole: any byte of it differs from what :func:`seal` returned.
    """
    body = raw[_BODY_AT : -len(_TAIL)]
    expected = _HEAD + hashlib.sha256(body).hexdigest().encode() + _MIDDLE
    if raw[:_BODY_AT] != expected or raw[-len(_TAIL) :] != _TAIL:
        raise ChecksumError(f"{name} is damaged: its bytes do not match its own SHA-256; pack again")
    return json.loads(body)


def write_flushed(path: Path, data: bytes) -> None:
    """Write and flush to the disk, under the final name. For a folder that is itself renamed when complete.

    Raises:
        ResourceError: no space, no permission.
    """
    with writing(path), path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_atomic(path: Path, data: bytes) -> None:
    """Write to a temporary name beside ``path``, flush, rename: a reader sees the old file or the new one.

    Raises:
        ResourceError: no space, no permission.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        write_flushed(partial, data)
        with writing(path):
            partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Flush a folder's list of names, so that a rename in it outlives a power cut. Raises as :func:`write_flushed`."""
    with writing(folder):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
