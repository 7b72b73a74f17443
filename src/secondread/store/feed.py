"""From a store to batches: reads are issued ahead of need, decoded by TensorStore's threads, and filled in in order.

B samples of a batch; C channels; S a case's prepared grid; P the patch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secondread.errors import ChecksumError, UsageError
from secondread.store import layout
from secondread.store.buffers import Buffers
from secondread.store.layout import Case
from secondread.store.sampler import LESION, Pattern, Sampler, class_of, positions
from secondread.store.store import OVERHEAD_BYTES, Fetch, Store

if TYPE_CHECKING:
    import torch

    from secondread.volume import Recipe

FAR = 1 << 40
"""Blocks of positions further on than any training comes: where samples are drawn that stand in for broken ones."""

MOST_ATTEMPTS = 100
"""Samples tried in a broken one's stead."""

MOST_AHEAD = 32
"""Reads under way at most, however large the budget: more do not make it faster."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples, and what each can teach.

    Attributes:
        images: (B, C, P) float32, standard deviations; 0 in a channel that is missing or dropped.
        masks: (B, P) uint8; 0 where nothing is known.
        mask_known: (B) bool: every voxel of the mask is true. A normal study's is known and empty.
        category: (B) int64, index into the categories, -1 where unknown or normal.
        abnormal: (B) int8, 1 yes, 0 no, -1 unknown.
        studies: their names.
    """

    images: torch.Tensor
    masks: torch.Tensor
    mask_known: torch.Tensor
    category: torch.Tensor
    abnormal: torch.Tensor
    studies: list[str]


@dataclass(frozen=True)
class _Cut:
    """What to read for one sample and where it goes: ``size`` voxels from ``start`` land at ``offset`` of the patch.

    ``position`` is the sampler's; None for a case that is wanted whole and can be replaced by no other.
    """

    position: int | None
    case: Case
    pattern: Pattern
    start: tuple[int, ...]
    size: tuple[int, ...]
    offset: tuple[int, ...]

    @property
    def whole(self) -> bool:
        return self.size == self.case.shape


@dataclass(frozen=True, eq=False)
class _Read:
    """A cut and its voxels: image (C, size) as stored, mask (size) or None."""

    cut: _Cut
    image: NDArray[np.int16]
    mask: NDArray[np.uint8] | None


class Feed:
    """Batches for training and validation.

    Args:
        store: where the cases lie.
        cases: to draw from in training.
        categories: of the task.
        patch: P.
        batch: B, per rank.
        seed: same seed, same batches, whatever the timing.
        memory: bytes that the feed may hold: reads under way, decoded chunks, and two batches (the one handed out and
            the one being filled).
        foreground: share of patches centred near a voxel of the mask, where the case has one and exceeds the patch.
        drop: whether contrasts of volumes are dropped at random, where there are several.
        rank, world: which part of every step's samples is drawn here.

    Attributes:
        broken: study -> why it cannot be read. Its samples are drawn from other studies of its class, the same ones
            each time, and it is left out where whole cases are wanted.

    Raises:
        UsageError: a patch of other dimensions than the store, a batch, share, rank or budget that cannot be.
        DataError, ConfoundedError: as :class:`Sampler`.
    """

    def __init__(
        self,
        store: Store,
        cases: Sequence[Case],
        categories: Sequence[str],
        *,
        patch: Sequence[int],
        batch: int,
        seed: int,
        memory: int = 400 << 20,
        foreground: float = 0.5,
        drop: bool = True,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.patch = tuple(int(n) for n in patch)
        if len(self.patch) != store.recipe.dimensions or min(self.patch) < 1:
            raise UsageError(f"a patch of {self.patch} does not fit a store of {store.recipe.dimensions} dimensions")
        if batch < 1 or not 0 <= rank < world or not 0 <= foreground <= 1 or seed < 0:
            raise UsageError(f"cannot feed with {batch=}, {rank=} of {world=}, {foreground=}, {seed=}")
        self.store = store
        self.categories = tuple(categories)
        self.batch = batch
        self.foreground = foreground
        self.rank, self.world = rank, world
        drop = drop and store.recipe.spacing is not None and len(store.recipe.channels) > 1
        self.sampler = Sampler(cases, categories, store.recipe.channels, seed=seed, drop=drop)
        self.broken: dict[str, str] = {}
        self._memory = memory
        require_memory(store.recipe, self.patch, batch, memory)

    def epoch(self, n: int, steps: int, *, first: int = 0) -> Iterator[Batch]:
        """Batches ``first`` to ``steps - 1`` of epoch ``n``: random patches, balanced classes, contrasts dropped.

        An epoch begun at ``first`` gives the very batches that the whole epoch gives from there on, as long as
        ``steps`` is the same.

        Raises:
            ChecksumError: nothing else of a broken study's class can be read either.
            ResourceError: as :meth:`Fetch.result`.
        """
        return self._stream((self._drawn(n, steps, step) for step in range(first, steps)), self.patch)

    def whole(self, cases: Iterable[Case]) -> Iterator[Batch]:
        """Each case once, in order, whole, with all its contrasts: pictures up to B at a time, volumes one at a time.

        A case that exceeds the budget is read nonetheless, with nothing ahead of it.

        Raises:
            ResourceError: as :meth:`Fetch.result`.
        """
        cuts = (
            _Cut(None, case, case.present, (0,) * len(case.shape), case.shape, (0,) * len(case.shape)) for case in cases
        )
        together = self.batch if self.store.grouped else 1
        return self._stream(iter(lambda: list(islice(cuts, together)), []), None)

    def _drawn(self, n: int, steps: int, step: int) -> list[_Cut]:
        where = positions(n, steps, step, batch=self.batch, rank=self.rank, world=self.world)
        return [self._cut(position) for position in where]

    def _cut(self, position: int) -> _Cut:
        draw = self.sampler.draw(position)
        shape = np.array(draw.case.shape)
        patch = np.array(self.patch)
        size = np.minimum(shape, patch)
        room = shape - size
        start = draw.rng.integers(0, room + 1)
        if draw.rng.random() < self.foreground and draw.case.mask_voxels and room.any():
            points = draw.case.mask_points()
            near = points[draw.rng.integers(len(points))]
            # Not dead centre, or the network learns that lesions are where the patch is.
            shift = draw.rng.integers(-(size // 4), size // 4 + 1)
            start = np.clip(near - size // 2 + shift, 0, room)
        return _Cut(position, draw.case, draw.pattern, _tuple(start), _tuple(size), _tuple((patch - size) // 2))

    def _stream(self, groups: Iterator[list[_Cut]], patch: tuple[int, ...] | None) -> Iterator[Batch]:
        """A batch per group. Reads are issued in order, as far ahead as the budget allows, and awaited in order."""
        coming = ((cut, place, len(group)) for group in groups for place, cut in enumerate(group))
        queue: deque[tuple[_Cut, int, int, Fetch]] = deque()
        rooms, batches = Buffers(), Buffers()
        held = 0

        following = next(coming, None)

        def issue() -> None:
            nonlocal held, following
            while following is not None and len(queue) < MOST_AHEAD:
                cut, place, count = following
                cost = _read_bytes(self.store.recipe, cut.size)
                spare = self._memory - OVERHEAD_BYTES - 2 * count * _sample_bytes(self.store.recipe, patch or cut.size)
                if queue and held + cost > spare:
                    return
                room = rooms.take(self.store.fetch_bytes(cut.size))
                queue.append((cut, place, count, self.store.fetch(cut.case, cut.start, cut.size, room)))
                held += cost
                following = next(coming, None)

        issue()
        filling: _Filling | None = None
        while queue:
            cut, place, count, fetch = queue.popleft()
            if filling is None:
                size = patch or cut.size
                room = batches.take(count * _sample_bytes(self.store.recipe, size))
                filling = _Filling(room, count, size, self.store.scale)
                del room
            if (read := self._whole_or_other(cut, fetch)) is not None:
                filling.put(read.cut, read.image, read.mask, categories=self.categories)
            del fetch, read  # so that their room can be taken again
            held -= _read_bytes(self.store.recipe, cut.size)
            issue()
            if place == count - 1:
                batch, filling = filling.finish(), None
                if batch is not None:
                    yield batch
                del batch

    def _whole_or_other(self, cut: _Cut, fetch: Fetch) -> _Read | None:
        """What was fetched; if it is broken, another of its class, or None where none will do."""
        try:
            return _Read(cut, *fetch.result())
        except ChecksumError as error:
            self.broken.setdefault(cut.case.study, str(error))
            if cut.position is None:
                return None
            broken = error
        wanted = class_of(cut.case, self.categories)
        for attempt in range(1, MOST_ATTEMPTS):
            other = self._cut(cut.position + attempt * len(self.sampler.classes) * FAR)
            if other.case.study in self.broken or class_of(other.case, self.categories) != wanted:
                continue
            try:
                return _Read(other, *self.store.fetch(other.case, other.start, other.size).result())
            except ChecksumError as error:
                self.broken.setdefault(other.case.study, str(error))
        raise broken


class _Filling:
    """A batch in the making."""

    def __init__(self, room: NDArray[np.uint8], count: int, size: tuple[int, ...], scale: float) -> None:
        """``room`` holds the images and masks of ``count`` samples of shape ``size``."""
        import torch

        masks_at = len(room) - count * prod(size)
        self._images = torch.from_numpy(room[:masks_at].view(np.float32).reshape(count, -1, *size))
        self._masks = torch.from_numpy(room[masks_at:].reshape(count, *size))
        self._known = torch.zeros(count, dtype=torch.bool)
        self._category = torch.full((count,), -1, dtype=torch.int64)
        self._abnormal = torch.full((count,), -1, dtype=torch.int8)
        self._studies: list[str] = []
        self._scale = np.float32(scale)

    def put(
        self,
        cut: _Cut,
        image: NDArray[np.int16],
        mask: NDArray[np.uint8] | None,
        *,
        categories: Sequence[str],
    ) -> None:
        """The next sample: image (C, size) as stored, mask (size) or None."""
        place = len(self._studies)
        inside = tuple(slice(o, o + n) for o, n in zip(cut.offset, cut.size, strict=True))
        out = self._images[place].numpy()
        padded = out.shape[1:] != cut.size
        for channel, (kept, present) in enumerate(zip(cut.pattern, cut.case.present, strict=True)):
            if not (kept and present):
                out[channel] = 0
                continue
            if padded:
                out[channel] = cut.case.facts.floor[channel] * self._scale
            np.multiply(image[channel], self._scale, out=out[channel][inside])
        labels = self._masks[place].numpy()
        if mask is None or padded:
            labels[...] = 0
        if mask is not None:
            labels[inside] = mask
        lesion = None if mask is None else bool(mask.any())
        self._known[place] = mask is not None or cut.case.normal is True
        self._abnormal[place], self._category[place] = teaches(cut.case, categories, lesion=lesion, whole=cut.whole)
        self._studies.append(cut.case.study)

    def finish(self) -> Batch | None:
        """The batch; None where nothing was put into it."""
        n = len(self._studies)
        if n == 0:
            return None
        return Batch(
            self._images[:n], self._masks[:n], self._known[:n], self._category[:n], self._abnormal[:n], self._studies
        )


def least_memory(recipe: Recipe, patch: Sequence[int], batch: int) -> int:
    """Bytes below which a feed of such batches cannot work: two batches, one read, and what reading takes beside."""
    return OVERHEAD_BYTES + 2 * batch * _sample_bytes(recipe, patch) + _read_bytes(recipe, patch)


def require_memory(recipe: Recipe, patch: Sequence[int], batch: int, memory: int) -> None:
    """Raise UsageError where ``memory`` bytes are less than :func:`least_memory`."""
    least = least_memory(recipe, patch, batch)
    if memory < least:
        raise UsageError(
            f"{memory >> 20} MiB cannot hold two batches of {batch} patches of {tuple(patch)}: it takes "
            f"{(least >> 20) + 1} MiB (--memory-mib), or a smaller batch or patch"
        )


def _sample_bytes(recipe: Recipe, size: Sequence[int]) -> int:
    return prod(size) * (4 * len(recipe.channels) + 1)


def _read_bytes(recipe: Recipe, size: Sequence[int]) -> int:
    """What a read holds at most: its result, and the decoded chunks that it touches."""
    chunks = recipe.size or [(n + 2 * c - 2) // c * c for n, c in zip(size, layout.CHUNK, strict=True)]
    return (prod(size) + prod(chunks)) * (2 * len(recipe.channels) + 1)


def teaches(case: Case, categories: Sequence[str], *, lesion: bool | None, whole: bool) -> tuple[int, int]:
    """What a part of a case says: abnormal (1 yes, 0 no, -1 unknown) and category (index, -1 unknown or normal).

    Args:
        lesion: whether the part holds any of the mask; None without a mask.
        whole: whether the part is all of the case. A label alone does not say which part of the scan earned it.
    """
    if case.normal is True:
        return 0, -1
    category = -1
    if case.label is not None and case.label in categories:
        category = list(categories).index(case.label)
    elif case.label is None and tuple(categories) == (LESION,):
        category = 0
    if lesion is not None:
        return (1, category) if lesion else (0, -1)
    if not whole:
        return -1, -1
    return (1 if case.normal is False else -1), category


def _tuple(values: NDArray[np.intp]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)
