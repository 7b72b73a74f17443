"""JSON that carries its own SHA-256."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from secondread.errors import ChecksumError

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
