"""Volumes as a network of pictures learns from them: slices in three planes.

Axes: I J K' a prepared volume's (nearest to left, posterior, superior).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from secondread.infer.slicewise import PLANES, batches_of, plane_of, slices_of, tissue_of, with_tissue
from secondread.store import Batch, Case, Feed, Store, require_memory
from secondread.train.batches import joined, one_of
from secondread.train.plan import TOGETHER, Plan

APART = 7
"""The slices of a slab are so many voxels apart. A store is read in columns: a slice costs as much as a slab."""

THICK = TOGETHER * APART

HELD_EVERY = 6
"""Of a validation volume's neighbouring slices so many make one: the next says little else."""


def feed_for(store: Store, cases: Sequence[Case], plan: Plan) -> Feed:
    """The feed that a plan learns from: patches, or slabs to be cut. Errors as :class:`Feed`."""
    return Feed(
        store,
        cases,
        plan.task.categories,
        patch=plan.patch,
        batch=_read_at_once(plan),
        seed=plan.seed,
        memory=plan.memory_mib << 20,
        slabs=_slabs(plan),
    )


def require_room(plan: Plan) -> None:
    """Raise UsageError where the plan's memory cannot hold what :func:`feed_for` needs."""
    require_memory(plan.recipe, plan.patch, _read_at_once(plan), plan.memory_mib << 20, _slabs(plan))


def _slabs(plan: Plan) -> int | None:
    return THICK if plan.sliced else None


def _read_at_once(plan: Plan) -> int:
    return plan.batch // TOGETHER if plan.sliced else plan.batch


def from_slabs(slabs: Iterable[Batch], patch: Sequence[int]) -> Iterator[Batch]:
    """The slices of a feed's slabs, TOGETHER of each."""
    for batch in slabs:
        axis = list(batch.images.shape[2:]).index(THICK)
        volumes = [one_of(batch, b) for b in range(len(batch.images))]
        yield joined([_slices_of(volume, axis, _through_lesion(volume.masks[0], axis), patch) for volume in volumes])


def from_volumes(volumes: Iterable[Batch], patch: Sequence[int]) -> Iterator[Batch]:
    """Slices of whole volumes, those of one plane after those of another."""
    for volume in volumes:
        tissue = tissue_of(volume.images[0])
        for axis, _ in PLANES:
            for at in batches_of(with_tissue(tissue, axis, HELD_EVERY)):
                yield _slices_of(volume, axis, at, patch)


def _through_lesion(mask: Tensor, axis: int) -> range:
    """TOGETHER positions along an axis of a slab, the slice with most of a lesion among them."""
    marked = (mask > 0).sum([a for a in range(3) if a != axis])
    return range(int(marked.argmax()) % APART, THICK, APART)


def _slices_of(volume: Batch, axis: int, at: Sequence[int], patch: Sequence[int]) -> Batch:
    """Slices of a batch of one volume. What each teaches follows from its part of the mask, where that is known: a
    label alone does not say which slices earned it."""
    masks = plane_of(volume.masks, axis, at, patch)[:, 0]
    ill = (masks > 0).flatten(1).any(1)
    known = volume.mask_known.expand(len(at))
    return Batch(
        images=slices_of(volume.images[0], axis, at, patch),
        masks=masks,
        mask_known=known,
        category=torch.where(known & ill, volume.category, -1),
        abnormal=torch.where(known, ill.to(torch.int8), -1),
        studies=volume.studies * len(at),
    )
