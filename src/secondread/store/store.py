"""Reading a store: every byte is checked against accidents on the way, and what is wrong names its study. Only
:meth:`Store.verify` compares with what was packed, by SHA-256.

C channels, S a case's prepared grid, P a part of it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.errors import ChecksumError, DataError, ResourceError, UnsafeFileError, UnsupportedFormat, UsageError
from secondread.store import layout
from secondread.store.layout import Block, Case, Facts, Kind
from secondread.store.place import Folder, Place, place_of
from secondread.store.sealed import unseal
from secondread.store.shard import Shard, table_bytes
from secondread.volume import Recipe

TABLES = 1024
"""Tables of chunks kept; of an ordinary head, each takes a few kB."""

_KEY = re.compile(r"[0-9a-f]{32}")
_FILES = {*layout.SHARD.values(), *(f"{kind}/zarr.json" for kind in layout.SHARD)}


class Store:
    """Packed cases in a folder or an S3 bucket. Open with :meth:`open`.

    Attributes:
        place: where it lies.
        recipe: how its studies were prepared.
        scale, offset: a stored value is ``round(z / scale) + offset``, where z is in standard deviations.
        cases: every case, in the order of the rows packed.
        excluded: (study, reason) of every study that could not be packed.
    """

    def __init__(
        self,
        place: Place,
        recipe: Recipe,
        scale: float,
        offset: int,
        blocks: dict[str, Block],
        cases: Sequence[Case],
        excluded: Sequence[tuple[str, str]],
        threads: int | None = None,
    ) -> None:
        self.place = place
        self.recipe = recipe
        self.scale, self.offset = scale, offset
        self.cases = list(cases)
        self.excluded = list(excluded)
        self._blocks = blocks
        self._shard = lru_cache(TABLES)(self._open_shard)
        self.threads = threads or place.readers

    @classmethod
    def open(cls, where: str | Path | Place, *, threads: int | None = None) -> Store:
        """Read the spec; in a folder, check that every file is there with its size. Voxels are checked when read.

        Args:
            where: a folder, or ``s3://bucket/prefix``.
            threads: that read and decode at the same time; None for what suits the place.

        Raises:
            DataError: no finished store, or a spec whose parts do not fit together.
            UnsafeFileError: a spec that names files outside of the store.
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
        recipe, offset = _recipe(spec["recipe"]), int(spec["offset"])
        for key, block in blocks.items():
            if not _KEY.fullmatch(key):
                raise UnsafeFileError(f"{path} names a block {key!r}, which is not one of its own folders")
            if not _FILES.issuperset(block.files):
                raise UnsafeFileError(f"{path} names other files of a block than those that a block has")
        strange = [case.study for case in cases if not _fits(case, blocks.get(case.block), recipe)]
        if strange or abs(offset) > layout.MOST_OFFSET:
            raise DataError(f"{path} contradicts itself (study {strange[:1] or 'offset'}); pack again")
        excluded = [(study, reason) for study, reason in spec["excluded"]]
        store = cls(place, recipe, float(spec["scale"]), offset, blocks, cases, excluded, threads)
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

    @cached_property
    def pool(self) -> ThreadPoolExecutor:
        """Threads to read on. Decompressing and copying release the interpreter lock."""
        return ThreadPoolExecutor(self.threads, thread_name_prefix="store")

    def read(self, case: Case) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
        """A whole case: image (C, S) in standard deviations, mask (S) or None. Raises as :meth:`read_into`."""
        return self.read_patch(case, (0,) * len(case.shape), case.shape)

    def read_patch(
        self, case: Case, start: Sequence[int], size: Sequence[int]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
        """The part of a case that begins at voxel ``start`` and has shape ``size`` = P: image (C, P), mask (P) or None.

        Raises:
            UsageError: the part reaches outside of the case.
            ChecksumError, ResourceError: as :meth:`read_into`.
        """
        if any(a < 0 or n < 1 or a + n > s for a, n, s in zip(start, size, case.shape, strict=True)):
            raise UsageError(
                f"study {case.study!r}: a part at {tuple(start)} of size {tuple(size)} reaches outside of {case.shape}"
            )
        image = np.empty((len(case.present), *size), np.float32)
        mask = np.empty(tuple(size), np.uint8) if case.has_mask else None
        self.read_into(case, start, image, mask)
        return image, mask

    def read_into(
        self, case: Case, start: Sequence[int], image: NDArray[np.float32], mask: NDArray[np.uint8] | None
    ) -> None:
        """Fill arrays with the part of a case that begins at voxel ``start``, as large as they are.

        Args:
            image: (C, P), gets standard deviations.
            mask: (P); None where the case has none or it is not wanted.

        Raises:
            ChecksumError: bytes are missing or differ from what was written; the study is named.
            ResourceError: permission, memory, file handles or the network ran out.
        """
        row = () if case.row is None else (case.row,)
        try:
            self._fill(case.block, "image", (*row, 0, *start), image[None] if row else image)
            if mask is not None:
                self._fill(case.block, "mask", (*row, *start), mask[None] if row else mask)
        except MemoryError as error:
            raise ResourceError(f"study {case.study!r}: out of memory") from error
        except (ChecksumError, ResourceError) as error:
            again = "; pack again" if isinstance(error, ChecksumError) else ""
            raise type(error)(f"study {case.study!r}: {error}{again}") from error

    def _fill(self, key: str, kind: Kind, start: tuple[int, ...], out: NDArray[Any]) -> None:
        name = f"{layout.CASES}/{key}/{layout.SHARD[kind]}"
        try:
            shard = self._shard(key, kind)
            pieces = shard.pieces(start, out.shape)
            found = self.place.read_parts(name, [(piece.first, piece.past) for piece in pieces])
            shard.decode(pieces, found, out, (self.offset, self.scale) if kind == "image" else None)
        except ChecksumError as error:
            raise ChecksumError(f"its {kind} ({name}): {error}") from error

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

    def _open_shard(self, key: str, kind: Kind) -> Shard:
        block = self._blocks[key]
        channel_axis = 1 if self.grouped else 0
        shape = block.shape if kind == "image" else (*block.shape[:channel_axis], *block.shape[channel_axis + 1 :])
        if layout.SHARD[kind] not in block.files:
            raise ChecksumError("it was never written")
        size, _ = block.files[layout.SHARD[kind]]
        table = max(0, size - table_bytes(kind, shape, grouped=self.grouped)), size
        (found,) = self.place.read_parts(f"{layout.CASES}/{key}/{layout.SHARD[kind]}", [table])
        return Shard(kind, shape, found, size, grouped=self.grouped)


def _recipe(fields: dict[str, Any]) -> Recipe:
    spacing, size = fields["spacing"], fields["size"]
    return Recipe(tuple(fields["channels"]), tuple(spacing) if spacing else None, tuple(size) if size else None)


def _fits(case: Case, block: Block | None, recipe: Recipe) -> bool:
    """Whether a case is where its block has room for it."""
    if block is None or min(block.shape) < 1 or len(case.present) != len(recipe.channels):
        return False
    if recipe.size is None:
        return case.row is None and block.shape == (len(case.present), *case.shape)
    inside = case.row is not None and 0 <= case.row < block.shape[0]
    return inside and block.shape[1:] == (len(case.present), *case.shape)
