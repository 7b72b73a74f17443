"""From a store to batches: threads read ahead of need, straight into the batches to come.

B samples of a batch; C channels; S a case's prepared grid; P the patch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
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
from secondread.store.store import Store

if TYPE_CHECKING:
    import torch

    from secondread.volume import Recipe

FAR = 1 << 40
"""Blocks of positions further on than any training comes: where samples are drawn that stand in for broken ones."""

MOST_ATTEMPTS = 100
"""Samples tried in a broken one's stead, for each class that there is."""

AHEAD = 2
"""Samples under way per reading thread, however large the budget: more batches in turn only leave the cache sooner."""

OVERHEAD_BYTES = 48 << 20
"""What reading takes beside the reads under way: what the allocator holds back (measured)."""


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

    ``position`` is the sampler's; None for a case that is wanted whole and can be replaced by no other. ``patch`` is
    that of its batch.
    """

    position: int | None
    patch: tuple[int, ...]
    case: Case
    pattern: Pattern
    start: tuple[int, ...]
    size: tuple[int, ...]
    offset: tuple[int, ...]

    @property
    def whole(self) -> bool:
        return self.size == self.case.shape


class Feed:
    """Batches for training and validation.

    Args:
        store: where the cases lie.
        cases: to draw from in training.
        categories: of the task.
        patch: P.
        batch: B, per rank.
        seed: same seed, same batches, whatever the timing.
        memory: bytes that the feed may hold: the batch handed out, those being filled, and reads under way.
        foreground: share of patches centred near a voxel of the mask, where the case has one and exceeds the patch.
        drop: whether contrasts of volumes are dropped at random, where there are several.
        slabs: of volumes: samples are so many voxels thick along Left in one batch, along Posterior in the next, along
            Superior in the third, and so on; None for samples as thick as the patch.
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
        slabs: int | None = None,
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
        self._patches = _patches_of(self.patch, slabs)
        require_memory(store.recipe, self.patch, batch, memory, slabs)

    def epoch(self, n: int, steps: int, *, first: int = 0) -> Iterator[Batch]:
        """Batches ``first`` to ``steps - 1`` of epoch ``n``: random patches, balanced classes, contrasts dropped.

        An epoch begun at ``first`` gives the very batches that the whole epoch gives from there on, as long as
        ``steps`` is the same.

        Raises:
            ChecksumError: nothing else of a broken study's class can be read either.
            ResourceError: as :meth:`Store.read_into`.
        """
        return self._stream(self._drawn(n, steps, step) for step in range(first, steps))

    def whole(self, cases: Iterable[Case]) -> Iterator[Batch]:
        """Each case once, in order, whole, with all its contrasts: pictures up to B at a time, volumes one at a time.

        A case that exceeds the budget is read nonetheless, with nothing ahead of it.

        Raises:
            ResourceError: as :meth:`Store.read_into`.
        """
        cuts = (
            _Cut(None, case.shape, case, case.present, (0,) * len(case.shape), case.shape, (0,) * len(case.shape))
            for case in cases
        )
        together = self.batch if self.store.grouped else 1
        return self._stream(iter(lambda: list(islice(cuts, together)), []))

    def _drawn(self, n: int, steps: int, step: int) -> list[_Cut]:
        where = positions(n, steps, step, batch=self.batch, rank=self.rank, world=self.world)
        return [self._cut(position, self._patches[step % len(self._patches)]) for position in where]

    def _cut(self, position: int, wanted: tuple[int, ...]) -> _Cut:
        draw = self.sampler.draw(position)
        shape = np.array(draw.case.shape)
        patch = np.array(wanted)
        size = np.minimum(shape, patch)
        room = shape - size
        start = draw.rng.integers(0, room + 1)
        if draw.rng.random() < self.foreground and draw.case.mask_voxels and room.any():
            points = draw.case.mask_points()
            near = points[draw.rng.integers(len(points))]
            # Not dead centre, or the network learns that lesions are where the patch is.
            shift = draw.rng.integers(-(size // 4), size // 4 + 1)
            start = np.clip(near - size // 2 + shift, 0, room)
        return _Cut(position, wanted, draw.case, draw.pattern, _tuple(start), _tuple(size), _tuple((patch - size) // 2))

    def _stream(self, groups: Iterator[list[_Cut]]) -> Iterator[Batch]:
        """A batch per group. Begun in order, as many at a time as the budget allows, and awaited in order."""
        rooms = Buffers()
        queue: deque[_Filling] = deque()
        following = next(groups, None)
        while queue or following is not None:
            while following is not None:
                size = following[0].patch
                room = len(following) * _sample_bytes(self.store.recipe, size)
                if queue and not self._can_hold(queue, room, len(following), size):
                    break
                queue.append(_Filling(following, rooms.take(room), size, self.store))
                following = next(groups, None)
            batch = self._settle(queue.popleft())
            if batch is not None:
                yield batch
            del batch  # or its room could not be taken again

    def _can_hold(self, queue: Sequence[_Filling], room: int, count: int, size: tuple[int, ...]) -> bool:
        """Whether one more batch fits, beside those under way and one, as large, that was handed out."""
        samples = count + sum(filling.count for filling in queue)
        reads = min(samples, self.store.threads) * _read_bytes(self.store.recipe, size)
        batches = sum(filling.bytes for filling in queue) + 2 * room
        return samples <= AHEAD * self.store.threads and OVERHEAD_BYTES + reads + batches <= self._memory

    def _settle(self, filling: _Filling) -> Batch | None:
        """Wait for a batch. A broken sample's place goes to another of its class; a case wanted whole is left out."""
        kept: dict[int, tuple[_Cut, bool | None]] = {}
        for place, cut in enumerate(filling.cuts):
            try:
                kept[place] = cut, filling.done[place].result()
            except ChecksumError as error:
                self.broken.setdefault(cut.case.study, str(error))
                if cut.position is not None:
                    kept[place] = self._stand_in(filling, place, cut, cut.position, error)
        return filling.finish(kept, self.categories)

    def _stand_in(
        self, filling: _Filling, place: int, cut: _Cut, position: int, broken: ChecksumError
    ) -> tuple[_Cut, bool | None]:
        wanted = class_of(cut.case, self.categories)
        # A draw so far off is of any class.
        for attempt in range(1, 1 + MOST_ATTEMPTS * len(self.sampler.classes)):
            other = self._cut(position + attempt * len(self.sampler.classes) * FAR, cut.patch)
            if other.case.study in self.broken or class_of(other.case, self.categories) != wanted:
                continue
            try:
                return other, filling.fill(place, other)
            except ChecksumError as error:
                self.broken.setdefault(other.case.study, str(error))
        raise broken


class _Filling:
    """A batch in the making, in ``room``: its samples are being read on the store's threads.

    Attributes:
        cuts: what it is made of.
        done: per cut, what :meth:`fill` will say of it.
        bytes: how large it is.
    """

    def __init__(self, cuts: Sequence[_Cut], room: NDArray[np.uint8], size: tuple[int, ...], store: Store) -> None:
        masks_at = len(room) - len(cuts) * prod(size)
        self._images = room[:masks_at].view(np.float32).reshape(len(cuts), -1, *size)
        self._masks = room[masks_at:].reshape(len(cuts), *size)
        self._store = store
        self.cuts = cuts
        self.bytes = len(room)
        self.done: list[Future[bool | None]] = [store.pool.submit(self.fill, *sample) for sample in enumerate(cuts)]

    @property
    def count(self) -> int:
        return len(self.cuts)

    def fill(self, place: int, cut: _Cut) -> bool | None:
        """Read a sample into its place. Whether there is any of the mask in it; None where the case has no mask.

        Raises:
            ChecksumError, ResourceError: as :meth:`Store.read_into`.
        """
        image, mask = self._images[place], self._masks[place]
        inside = tuple(slice(o, o + n) for o, n in zip(cut.offset, cut.size, strict=True))
        if mask.shape != cut.size:
            mask[...] = 0
            for channel, floor in zip(image, cut.case.facts.floor, strict=True):
                channel[...] = floor * np.float32(self._store.scale)
        labels = mask[inside]
        self._store.read_into(cut.case, cut.start, image[(slice(None), *inside)], labels if cut.case.has_mask else None)
        for channel, kept in zip(image, cut.pattern, strict=True):
            if not kept:
                channel[...] = 0
        if not cut.case.has_mask:
            labels[...] = 0
            return None
        return bool(labels.any())

    def finish(self, kept: dict[int, tuple[_Cut, bool | None]], categories: Sequence[str]) -> Batch | None:
        """The batch of the places that are kept; None where none is.

        Args:
            kept: place -> what was read into it, and what :meth:`fill` said.
        """
        import torch

        if not kept:
            return None
        images, masks = torch.from_numpy(self._images), torch.from_numpy(self._masks)
        if len(kept) < self.count:
            images, masks = images[list(kept)], masks[list(kept)]
        taught = [teaches(cut.case, categories, lesion=lesion, whole=cut.whole) for cut, lesion in kept.values()]
        known = [lesion is not None or cut.case.normal is True for cut, lesion in kept.values()]
        return Batch(
            images,
            masks,
            torch.tensor(known, dtype=torch.bool),
            torch.tensor([category for _, category in taught], dtype=torch.int64),
            torch.tensor([abnormal for abnormal, _ in taught], dtype=torch.int8),
            [cut.case.study for cut, _ in kept.values()],
        )


def _patches_of(patch: tuple[int, ...], slabs: int | None) -> tuple[tuple[int, ...], ...]:
    """The patch, or where ``slabs`` are wanted, it made so many voxels thick along each axis in turn."""
    if slabs is None:
        return (patch,)
    return tuple(tuple(slabs if axis == across else n for axis, n in enumerate(patch)) for across in range(len(patch)))


def least_memory(recipe: Recipe, patch: Sequence[int], batch: int) -> int:
    """Bytes below which a feed of such batches cannot work: two batches, and what reading one of them takes."""
    return OVERHEAD_BYTES + batch * (2 * _sample_bytes(recipe, patch) + _read_bytes(recipe, patch))


def require_memory(recipe: Recipe, patch: Sequence[int], batch: int, memory: int, slabs: int | None = None) -> None:
    """Raise UsageError where ``memory`` bytes are less than :func:`least_memory`. ``slabs``: as :class:`Feed`."""
    for one in _patches_of(tuple(patch), slabs):
        least = least_memory(recipe, one, batch)
        if memory < least:
            raise UsageError(
                f"{memory >> 20} MiB cannot hold two batches of {batch} patches of {one}: it takes "
                f"{(least >> 20) + 1} MiB (--memory-mib), or a smaller batch or patch"
            )


def _sample_bytes(recipe: Recipe, size: Sequence[int]) -> int:
    return prod(size) * (4 * len(recipe.channels) + 1)


def _read_bytes(recipe: Recipe, size: Sequence[int]) -> int:
    """What a read holds beside its place in the batch: the chunks that it touches. Pure noise is compressed
    to two thirds of its voxels' bytes, a scan to less."""
    grids = (
        recipe.size or [(n + 2 * c - 2) // c * c for n, c in zip(size, layout.CHUNK[kind], strict=True)]
        for kind in ("image", "mask")
    )
    image, mask = map(prod, grids)
    return (2 * len(recipe.channels) * image + mask) * 3 // 4


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
