"""Numbers in sentences."""

from __future__ import annotations


def counted(number: int, one: str, many: str) -> str:
    """``1 study``, ``1,200 studies``: a number with the word, or the words, that go with it."""
    return f"{number:,} {one if number == 1 else many}"
