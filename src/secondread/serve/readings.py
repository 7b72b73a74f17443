"""Finished readings, kept in memory for a while so that a mask and a picture can be fetched after the findings."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MOST = 64
MOST_BYTES = 256 * 2**20
MOST_SECONDS = 3600.0


@dataclass(frozen=True)
class Kept:
    """One answer.

    Attributes:
        findings: as JSON values.
        mask: an encoded file, ``.nii.gz`` or ``.png`` as ``mask_suffix`` says; None where the model marks no place.
        picture: PNG.
    """

    findings: dict[str, Any]
    mask: bytes | None
    mask_suffix: str
    picture: bytes

    @property
    def size(self) -> int:
        return len(self.mask or b"") + len(self.picture)


class Readings:
    """At most ``most`` answers of ``most_bytes`` together, none older than ``most_seconds``. The oldest go first."""

    def __init__(
        self,
        most: int = MOST,
        most_bytes: int = MOST_BYTES,
        most_seconds: float = MOST_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._most_seconds = most_seconds
        self._clock = clock
        self._kept: dict[str, tuple[float, Kept]] = {}  # in the order of arrival

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, key: str, kept: Kept) -> None:
        """Keep an answer; the newest stays even where it alone is larger than ``most_bytes``."""
        self._kept[key] = (self._clock(), kept)
        self._forget()

    def get(self, key: str) -> Kept | None:
        """The answer under ``key``, None where there is none any more."""
        self._forget()
        entry = self._kept.get(key)
        return entry[1] if entry else None

    def _forget(self) -> None:
        size = sum(kept.size for _, kept in self._kept.values())
        for key, (since, kept) in list(self._kept.items()):
            old = self._clock() - since > self._most_seconds
            crowded = len(self._kept) > self._most or (size > self._most_bytes and len(self._kept) > 1)
            if not (old or crowded):
                break
            del self._kept[key]
            size -= kept.size
