"""Volumes as a network of pictures learns from them: slices in three planes.

Axes: B batch, C channels, I J K' a prepared volume's (nearest to left, posterior, superior).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from secondread.infer.slicewise import PLANES, batches_of, hung, slices_of, tissue_of, with_tissue
from secondread.store import Batch, Case, Feed, Store, require_memory, slabs_of
from secondread.train.plan import Plan

TOGETHER, APART = 4, 8
"""So many slices are cut from one slab, so many voxels apart. A store is read in columns: a slice costs as much as a
slab."""

THICK = (TOGETHER - 1) * APART + 1

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
        slabs=THICK if plan.sliced else None,
    )


def require_room(plan: Plan) -> None:
    """Raise UsageError where the plan's memory cannot hold what :func:`feed_for` needs."""
    for patch in slabs_of(plan.patch, THICK) if plan.sliced else [plan.patch]:
        require_memory(plan.recipe, patch, _read_at_once(plan), plan.memory_mib << 20)


def _read_at_once(plan: Plan) -> int:
    return -(-plan.batch // TOGETHER) if plan.sliced else plan.batch


def from_slabs(slabs: Iterable[Batch], patch: Sequence[int]) -> Iterator[Batch]:
    """The slices of a feed's slabs, of THICK voxels along one axis; TOGETHER times as many samples in each batch."""
    for batch in slabs:
        axis = list(batch.images.shape[2:]).index(THICK)
        at = range(0, THICK, APART)
        images = torch.cat([hung(volume, axis, at, patch) for volume in batch.images])
        yield _with_truth(batch, images, axis, at, patch)


def from_volumes(volumes: Iterable[Batch], patch: Sequence[int]) -> Iterator[Batch]:
    """Slices of whole volumes, those of one plane after those of another."""
    for batch in volumes:
        (volume,) = batch.images
        tissue = tissue_of(volume)
        for axis, _ in PLANES:
            for at in batches_of(with_tissue(tissue, axis, HELD_EVERY)):
                yield _with_truth(batch, slices_of(volume, axis, at, patch), axis, at, patch)


def _with_truth(batch: Batch, images: Tensor, axis: int, at: Sequence[int], patch: Sequence[int]) -> Batch:
    """Slices ``at`` of each volume of ``batch``, one volume's after another's. What each teaches follows from its part
    of the mask, where that is known: a label alone does not say which slices earned it."""
    masks = torch.cat([hung(mask[None], axis, at, patch)[:, 0] for mask in batch.masks])
    known, category = (values.repeat_interleave(len(at)) for values in (batch.mask_known, batch.category))
    ill = (masks > 0).flatten(1).any(1)
    return Batch(
        images=images,
        masks=masks,
        mask_known=known,
        category=torch.where(known & ill, category, -1),
        abnormal=torch.where(known, ill.to(torch.int8), -1),
        studies=[study for study in batch.studies for _ in at],
    )
