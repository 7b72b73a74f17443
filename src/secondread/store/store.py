"""Reading a store: every byte is checked on the way, and what is wrong names its study.

C channels, S a case's prepared grid, P a part of it.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.errors import ChecksumError, DataError, ResourceError, UnsafeFileError, UnsupportedFormat, UsageError
from secondread.store import layout
from secondread.store.layout import Block, Case, Facts, Kind
from secondread.store.place import Folder, Place, place_of
from secondread.store.sealed import unseal
from secondread.volume import Recipe

CACHE_BYTES = 16 << 20
"""What TensorStore may keep of decoded chunks and chunk tables between reads."""

OVERHEAD_BYTES = CACHE_BYTES + (64 << 20)
"""What reading takes beside the reads under way: the cache, and what the allocator holds back (measured)."""

_M_ARENA_MAX = -8  # of mallopt(3)

OPEN_ARRAYS = 1024
"""Array handles kept; opening one costs half a millisecond."""

_KEY = re.compile(r"[0-9a-f]{32}")
_RESOURCE_WORDS = (
    "PERMISSION_DENIED", "UNAUTHENTICATED", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED",
    "Too many open files", "Cannot allocate memory",
)  # fmt: skip


class Fetch:
    """A read under way. TensorStore reads and decodes on its own threads, outside the interpreter lock."""

    def __init__(self, case: Case, image: NDArray[np.int16], mask: NDArray[np.uint8] | None, done: list[Any]) -> None:
        self._case = case
        self._image = image
        self._mask = mask
        self._done = done

    def result(self) -> tuple[NDArray[np.int16], NDArray[np.uint8] | None]:
        """Wait. Image (C, P) as stored (times ``Store.scale`` it is in standard deviations), mask (P) or None.

        Raises:
            ChecksumError: bytes are missing or differ from what was written.
            ResourceError: permission, memory or file handles ran out.
        """
        try:
            for future in self._done:
                future.result()
        except (ValueError, OSError) as error:
            raise _read_error(self._case, error) from error
        if self._image.min() == layout.IMAGE_FILL:
            raise self._missing("image")
        if self._mask is not None and self._mask.max() == layout.MASK_FILL:
            raise self._missing("mask")
        return self._image, self._mask

    def _missing(self, kind: Kind) -> ChecksumError:
        place = f"{layout.CASES}/{self._case.block}/{layout.SHARD[kind]}"
        return ChecksumError(f"study {self._case.study!r}: bytes are missing from its {kind} ({place}); pack again")


@dataclass(frozen=True)
class _Failed:
    """In a future's place: what failed before there was one. Reads ahead of need fail when they are needed."""

    error: Exception

    def result(self) -> None:
        raise self.error


class Store:
    """Packed cases in a folder or an S3 bucket. Open with :meth:`open`.

    Attributes:
        place: where it lies.
        recipe: how its studies were prepared.
        scale: standard deviations per stored step.
        cases: every case, in the order of the rows packed.
        excluded: (study, reason) of every study that could not be packed.
    """

    def __init__(
        self,
        place: Place,
        recipe: Recipe,
        scale: float,
        blocks: dict[str, Block],
        cases: Sequence[Case],
        excluded: Sequence[tuple[str, str]],
        threads: int | None = None,
    ) -> None:
        self.place = place
        self.recipe = recipe
        self.scale = scale
        self.cases = list(cases)
        self.excluded = list(excluded)
        self._blocks = blocks
        self._array = lru_cache(OPEN_ARRAYS)(self._open_array)
        self._context: Any = None
        self._threads = threads

    @classmethod
    def open(cls, where: str | Path | Place, *, threads: int | None = None) -> Store:
        """Read the spec; in a folder, check that every file is there with its size. Voxels are checked when read.

        Args:
            where: a folder, or ``s3://bucket/prefix``.
            threads: that decode at the same time; None for one per core.

        Raises:
            DataError: no finished store.
            UnsupportedFormat: written by a version with another layout.
            ChecksumError: the spec is damaged, or a file is missing or of another size.
            ResourceError: the place cannot be reached or read.
        """
        place = place_of(where)
        path = f"{place}/{layout.SPEC}"
        raw = place.read(layout.SPEC)
        if raw is None:
            raise DataError(f"{place} holds no finished store ({layout.SPEC} is missing); pack into it first")
        spec = unseal(raw, path)
        if spec["version"] != layout.VERSION:
            raise UnsupportedFormat(
                f"{path} has layout version {spec['version']}, this secondread reads {layout.VERSION}; pack again"
            )
        blocks = {block["key"]: Block.from_json(block) for block in spec["blocks"]}
        cases = [Case(**{**case, "facts": Facts.from_json(case["facts"])}) for case in spec["cases"]]
        for key in blocks:
            if not _KEY.fullmatch(key):
                raise UnsafeFileError(f"{path} names a block {key!r}, which is not one of its own folders")
        recipe = _recipe(spec["recipe"])
        excluded = [(study, reason) for study, reason in spec["excluded"]]
        store = cls(place, recipe, float(spec["scale"]), blocks, cases, excluded, threads)
        if place.lists_sizes:
            store._check_files(deep=False)
        return store

    @property
    def folder(self) -> Path:
        """Where it lies on this machine's disks. Raises UsageError for a store that lies elsewhere."""
        if not isinstance(self.place, Folder):
            raise UsageError(f"{self.place} is no folder")
        return self.place.path

    @property
    def grouped(self) -> bool:
        """Whether blocks hold many cases each (pictures)."""
        return self.recipe.size is not None

    def read(self, case: Case) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
        """A whole case: image (C, S) in standard deviations, mask (S) or None. Raises as :meth:`Fetch.result`."""
        return self.read_patch(case, (0,) * len(case.shape), case.shape)

    def read_patch(
        self, case: Case, start: Sequence[int], size: Sequence[int]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
        """The part of a case that begins at voxel ``start`` and has shape ``size`` = P: image (C, P), mask (P) or None.

        Raises:
            UsageError: the part reaches outside of the case.
            ChecksumError, ResourceError: as :meth:`Fetch.result`.
        """
        image, mask = self.fetch(case, start, size).result()
        return image * np.float32(self.scale), mask

    def fetch(
        self, case: Case, start: Sequence[int], size: Sequence[int], room: NDArray[np.uint8] | None = None
    ) -> Fetch:
        """Begin to read a part of a case, as :meth:`read_patch`, and return at once.

        Args:
            room: ``fetch_bytes(size)`` bytes that the result is written to; None allocates them.
        """
        if any(a < 0 or n < 1 or a + n > s for a, n, s in zip(start, size, case.shape, strict=True)):
            raise UsageError(
                f"study {case.study!r}: a part at {tuple(start)} of size {tuple(size)} reaches outside of {case.shape}"
            )
        import tensorstore as ts

        if room is None:
            room = np.empty(self.fetch_bytes(size), np.uint8)
        where = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
        row = () if case.row is None else (case.row,)
        mask_at = len(room) - prod(size)
        image = room[:mask_at].view(np.int16).reshape(len(case.present), *size)
        mask = room[mask_at:].reshape(*size) if case.has_mask else None
        done: list[Any] = []
        try:
            done.append(ts.array(image).write(self._array(case.block, "image")[(*row, slice(None), *where)]))
            if mask is not None:
                done.append(ts.array(mask).write(self._array(case.block, "mask")[(*row, *where)]))
        except (ValueError, OSError) as error:
            done.append(_Failed(error))
        return Fetch(case, image, mask, done)

    def fetch_bytes(self, size: Sequence[int]) -> int:
        """Bytes of a part's image and mask, as stored."""
        return prod(size) * (2 * len(self.recipe.channels) + 1)

    def verify(self, progress: Callable[[str, int, int], None] | None = None) -> None:
        """Recompute the SHA-256 of every file. Raises ChecksumError naming the studies that are damaged."""
        self._check_files(deep=True, progress=progress)

    def _check_files(self, *, deep: bool, progress: Callable[[str, int, int], None] | None = None) -> None:
        bad: dict[str, str] = {}
        for done, block in enumerate(self._blocks.values(), 1):
            for name, (size, digest) in block.files.items():
                place = f"{layout.CASES}/{block.key}/{name}"
                trouble = self._trouble(place, size, digest if deep else None)
                if trouble is not None:
                    bad.setdefault(block.key, f"{place} {trouble}")
            if progress is not None:
                progress("verifying", done, len(self._blocks))
        if not bad:
            return
        studies = [study for key in bad for study in self._damaged(key)]
        named = ", ".join(repr(study) for study in studies[:5])
        more = f" and {len(studies) - 5} more" if len(studies) > 5 else ""
        raise ChecksumError(f"study {named}{more}: {'; '.join(list(bad.values())[:3])}; pack again")

    def _trouble(self, name: str, size: int, digest: str | None) -> str | None:
        """What is wrong with an object, if anything; its bytes are read only where a digest is given."""
        if digest is None:
            found = self.place.size(name)
        else:
            content = self.place.read(name)
            found = None if content is None else len(content)
            if content is not None and found == size and hashlib.sha256(content).hexdigest() != digest:
                return "does not match its SHA-256"
        if found is None:
            return "is missing"
        return None if found == size else f"has {found} bytes where {size} were written"

    def _damaged(self, key: str) -> list[str]:
        """Studies of a bad block that cannot be read; all of them where each still can (the damage hit no voxel)."""
        cases = [case for case in self.cases if case.block == key]
        broken = [case.study for case in cases if not self._readable(case)] if len(cases) > 1 else []
        return broken or [case.study for case in cases]

    def _readable(self, case: Case) -> bool:
        try:
            self.read(case)
        except ChecksumError:
            return False
        return True

    def _open_array(self, key: str, kind: Kind) -> Any:
        import tensorstore as ts

        if self._context is None:
            _share_one_arena()
            decoding = {"data_copy_concurrency": {"limit": self._threads}} if self._threads else {}
            self._context = ts.Context({"cache_pool": {"total_bytes_limit": CACHE_BYTES}, **decoding})
        shape = self._blocks[key].shape
        channel_axis = 1 if self.grouped else 0
        if kind == "mask":
            shape = shape[:channel_axis] + shape[channel_axis + 1 :]
        spec = {
            "driver": "zarr3",
            "kvstore": self.place.kvstore(f"{layout.CASES}/{key}/{kind}"),
            "metadata": layout.array_metadata(kind, shape, grouped=self.grouped),
            "assume_metadata": True,
            "recheck_cached_data": False,
            "recheck_cached_metadata": False,
        }
        return ts.open(spec, open=True, read=True, write=False, context=self._context).result()


def _share_one_arena() -> None:
    """Let all threads allocate from one pool, where the C library is glibc.

    By default each of TensorStore's threads gets a pool of its own and keeps what chunks left in it: 90 to 100 MiB more
    for 96^3 patches of four contrasts, at no gain in speed. Has to happen before those threads start.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def _recipe(fields: dict[str, Any]) -> Recipe:
    spacing, size = fields["spacing"], fields["size"]
    return Recipe(tuple(fields["channels"]), tuple(spacing) if spacing else None, tuple(size) if size else None)


def _read_error(case: Case, error: Exception) -> ChecksumError | ResourceError:
    # TensorStore raises ValueError for whatever went wrong, with the kind as the first word of the message.
    detail = str(error).split(" [source locations", 1)[0]
    message = f"study {case.study!r}: it cannot be read: {detail}"
    if any(word in detail for word in _RESOURCE_WORDS):
        return ResourceError(message)
    return ChecksumError(f"{message}; pack again")
