"""Simulated slices beside those of a few patients: what the starter knows is not to be forgotten over them.

A few patients show lesions of a few sizes and shapes, and a network that learns from them alone soon says *nothing* of
others (docs/decisions/017-slices-of-volumes.md). The slices are drawn once, when training begins.

Axes: B batch, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from secondread.models import LESION
from secondread.simulate import CATEGORIES, BatchSettings, draw_batch, render_batch
from secondread.store import Batch
from secondread.train.plan import Plan
from secondread.train.simulated import EASIEST

SLICES = 512
"""So many are drawn, and augmented anew each time."""

AT_ONCE = 16


class Rehearsal:
    """Simulated slices that join the batches of a plan; none where the plan wants none.

    Args:
        seed: of all that is drawn.
    """

    def __init__(self, plan: Plan, seed: int, device: str = "cpu") -> None:
        self._plan, self._each, self._device = plan, round(plan.batch * plan.simulated), device
        rng = np.random.default_rng(seed)
        drawn = [self._draw(rng) for _ in range(SLICES // AT_ONCE if self._each else 0)]
        # In half precision: of what is drawn, three digits are enough.
        self._images = torch.cat([images for images, _, _ in drawn]) if drawn else None
        self._masks = torch.cat([masks for _, masks, _ in drawn]) if drawn else None
        self._kinds = [kind for _, _, kinds in drawn for kind in kinds]

    def join(self, batches: Iterable[Batch], seed: Callable[[int], int]) -> Iterator[Batch]:
        """The batches, each with some of the slices behind its own. ``seed``: from a batch's position to that of what
        is chosen."""
        for position, batch in enumerate(batches):
            yield self._joined(batch, np.random.default_rng(seed(position))) if self._each else batch

    def _draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, list[int]]:
        plan = self._plan
        settings = BatchSettings(
            spacing=float(np.mean(plan.recipe.spacing or ())),
            contrasts=plan.recipe.channels,
            shape=plan.window,
            normal=0.25,
            faintest=0.5,
            difficulty=float(rng.uniform(EASIEST, 1)),
        )
        samples = render_batch(draw_batch(settings, AT_ONCE, int(rng.integers(2**62))), self._device)
        known = [-1 if label < 0 else self._known_as(CATEGORIES[label]) for label in samples.labels.tolist()]
        return samples.images.half().cpu(), (samples.masks > 0).to(torch.uint8).cpu(), known

    def _known_as(self, kind: str) -> int:
        """Index of a simulated kind among the task's categories; -1 where it is none of them."""
        names = self._plan.task.categories
        return 0 if names == (LESION,) else names.index(kind) if kind in names else -1

    def _joined(self, batch: Batch, rng: np.random.Generator) -> Batch:
        if self._images is None or self._masks is None:
            return batch
        chosen = rng.integers(0, len(self._kinds), self._each).tolist()
        beside = rng.integers(0, len(batch.images), self._each).tolist()
        size = batch.images.shape[2:]
        # A contrast that is missing must not tell what is simulated from what is not.
        there = batch.images[beside].flatten(2).any(2)[..., None, None]
        images = _middle(self._images[chosen].to(there.device).float(), size) * there
        masks = _middle(self._masks[chosen], size).to(batch.masks.device)
        ill = (masks > 0).flatten(1).any(1).to(batch.abnormal.device)
        kinds = torch.tensor([self._kinds[one] for one in chosen])
        return Batch(
            images=torch.cat([batch.images, images]),
            masks=torch.cat([batch.masks, masks]),
            mask_known=torch.cat([batch.mask_known, torch.ones_like(ill)]),
            category=torch.cat([batch.category, torch.where(ill, kinds, -1)]),
            abnormal=torch.cat([batch.abnormal, ill.to(torch.int8)]),
            studies=[*batch.studies, *(f"simulated-{one}" for one in chosen)],
        )


def _middle(values: Tensor, size: torch.Size) -> Tensor:
    """The middle of (..., row, column), as large as ``size``: slices of a plane may be less wide than a square."""
    pads = [(wanted - n) // 2 for wanted, n in zip(size, values.shape[-2:], strict=True)]
    rows, columns = (wanted - n - before for wanted, n, before in zip(size, values.shape[-2:], pads, strict=True))
    return functional.pad(values, (pads[1], columns, pads[0], rows))
