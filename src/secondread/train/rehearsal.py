"""Simulated slices beside those of a few patients: what the starter knows is not to be forgotten over them.

A few patients show lesions of a few sizes and shapes, and a network that learns from them alone soon says *nothing* of
others (docs/decisions/017-slices-of-volumes.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from secondread.simulate import CATEGORIES, draw_batch, render_batch
from secondread.store import Batch
from secondread.train.batches import joined
from secondread.train.implanting import category_of
from secondread.train.plan import Plan
from secondread.train.simulated import EASIEST

SLICES = 512
"""So many are drawn, and augmented anew each time."""

AT_ONCE = 16


class Rehearsal:
    """Simulated slices that join the batches of a plan; none where the plan wants none. Drawn when first needed.

    Args:
        seed: of all that is drawn.
    """

    def __init__(self, plan: Plan, seed: int, device: str = "cpu") -> None:
        self._plan, self._seed, self._device = plan, seed, device

    def join(self, batches: Iterable[Batch], seed: Callable[[int], int]) -> Iterator[Batch]:
        """The batches, each with some of the slices behind its own. ``seed``: from a batch's position to that of what
        is chosen."""
        for position, batch in enumerate(batches):
            yield self._joined(batch, np.random.default_rng(seed(position))) if self._plan.simulated else batch

    @cached_property
    def _slices(self) -> tuple[Tensor, Tensor, list[int]]:
        """Images, masks and categories. In half precision: of what is drawn, three digits are enough."""
        plan, rng = self._plan, np.random.default_rng(self._seed)
        size = (SLICES, len(plan.recipe.channels), *plan.window)
        images, masks = torch.empty(size, dtype=torch.float16), torch.empty(size[:1] + size[2:], dtype=torch.uint8)
        categories: list[int] = []
        for first in range(0, SLICES, AT_ONCE):
            settings = plan.simulated_slices(float(rng.uniform(EASIEST, 1)))
            drawn = render_batch(draw_batch(settings, AT_ONCE, int(rng.integers(2**62))), self._device)
            images[first : first + AT_ONCE] = drawn.images
            masks[first : first + AT_ONCE] = drawn.masks > 0
            categories += [-1 if label < 0 else category_of(CATEGORIES[label], plan) for label in drawn.labels.tolist()]
        return images, masks, categories

    def _joined(self, batch: Batch, rng: np.random.Generator) -> Batch:
        images, masks, categories = self._slices
        count = round(len(batch.images) * self._plan.simulated)
        chosen = rng.integers(0, SLICES, count).tolist()
        beside = rng.integers(0, len(batch.images), count).tolist()
        size, device = batch.images.shape[2:], batch.images.device
        # A contrast that is missing must not tell what is simulated from what is not.
        present = batch.images[beside].flatten(2).any(2)[..., None, None]
        marked = _middle(masks[chosen], size)
        ill = (marked > 0).flatten(1).any(1)
        kinds = torch.tensor([categories[one] for one in chosen], dtype=torch.int64)
        simulated = Batch(
            images=_middle(images[chosen], size).to(device).float() * present,
            masks=marked.to(batch.masks.device),
            mask_known=torch.ones_like(ill),
            category=torch.where(ill, kinds, -1),
            abnormal=ill.to(torch.int8),
            studies=[f"simulated-{one}" for one in chosen],
        )
        return joined([batch, simulated])


def _middle(values: Tensor, size: torch.Size) -> Tensor:
    """The middle of (..., row, column), cut or padded to ``size``: slices of a plane may be less wide than a square."""
    pads: list[int] = []
    for wanted, n in zip(reversed(size), reversed(values.shape), strict=False):
        before = (wanted - n) // 2
        pads += [before, wanted - n - before]
    return functional.pad(values, pads)
