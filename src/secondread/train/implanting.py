"""Lesions put into the normal scans of a batch: how a folder of healthy scans alone teaches what is not healthy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
import torch

from secondread.models import LESION
from secondread.simulate import ImplantSettings, draw_implants, implant
from secondread.store import Batch
from secondread.train.plan import Plan
from secondread.train.simulated import difficulties

ALL = (1.0, 1.0)
"""Least and most difficulty of lesions drawn as they come."""


def implanted(
    batches: Iterable[Batch],
    plan: Plan,
    seed: Callable[[int], int],
    device: str = "cpu",
    done: Callable[[int], float] | None = None,
) -> Iterator[Batch]:
    """The batches, with lesions in ``plan.implant`` of their normal scans; untouched where that is 0.

    Args:
        seed: from a batch's position to the seed of its lesions.
        device: where lesions are painted; images and masks of the batches come out there.
        done: from a batch's position to the share of the training that is over, with which lesions get harder; None
            for all that there are.
    """
    for position, batch in enumerate(batches):
        difficulty = difficulties(done(position)) if done else ALL
        yield with_lesions(batch, plan, seed(position), device, difficulty) if plan.implant else batch


def with_lesions(
    batch: Batch, plan: Plan, seed: int, device: str = "cpu", difficulty: tuple[float, float] = ALL
) -> Batch:
    """A batch in which some of the scans known to be normal are so no more; images, masks and truth agree."""
    hard = float(np.random.default_rng([seed, 1]).uniform(*difficulty))
    settings = ImplantSettings(plan.recipe.channels, plan.recipe.spacing, chance=plan.implant, difficulty=hard)
    p = draw_implants(settings, len(batch.studies), seed)
    healthy = (batch.abnormal == 0).tolist()
    p = replace(p, lesions=tuple(lesions if well else () for lesions, well in zip(p.lesions, healthy, strict=True)))
    images, masks = implant(batch.images.to(device), p)
    ill = (masks > 0).flatten(1).any(1).cpu()
    kinds = torch.tensor([category_of(lesions[0].kind, plan) if lesions else -1 for lesions in p.lesions])
    return replace(
        batch,
        images=images,
        masks=torch.where(ill.to(device).reshape(-1, *[1] * (masks.ndim - 1)), masks, batch.masks.to(device)),
        mask_known=batch.mask_known | ill,
        category=torch.where(ill, kinds, batch.category),
        abnormal=torch.where(ill, torch.ones_like(batch.abnormal), batch.abnormal),
    )


def category_of(kind: str, plan: Plan) -> int:
    """Index of a simulated kind among the task's categories; -1 where it is none of them."""
    categories = plan.task.categories
    if categories == (LESION,):
        return 0
    return categories.index(kind) if kind in categories else -1
