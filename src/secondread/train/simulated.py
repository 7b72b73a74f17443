"""Simulated pictures in the place of a store's: nothing is read, and nothing runs out.

They come in turns as what a person saves (the head fills the picture) and as what is cut from a volume (so many mm a
pixel), of every contrast, plane and kind of lesion. Training begins with large, plain lesions in clean scans: with
lesions of all sizes at once it took ten times as long to find any.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import torch

from secondread.errors import UsageError
from secondread.models import Task
from secondread.simulate import CATEGORIES, NORMAL, BatchSettings, draw_batch, render_batch
from secondread.store import Batch, Case

SLICE_MM = 1.4
"""Pixel of the slices that stand for a volume's: a head of 224 mm fits 160 of them."""

HELD = 320
"""Pictures of the validation split."""

EASIEST = 0.15
CLIMB = 0.6
"""Difficulty at the beginning, and the share of the epochs after which all is drawn that there is."""

AHEAD = 3
"""Batches rendered ahead of the step that learns from them."""

TASK = Task(CATEGORIES, NORMAL, located=True)
_VALIDATION = 1 << 40


@dataclass(eq=False)
class Simulated:
    """What :func:`secondread.train.loop.fit` takes in a feed's place.

    Attributes:
        side: of a picture, in pixels.
        batch: pictures a step.
        epochs: that training lasts; the curriculum follows from it.
        seed: of every picture. The same seed gives the same pictures, however many threads render.
        device: where they are rendered and given out.
        broken: what a store may hold and this never does.
    """

    side: int
    batch: int
    epochs: int
    seed: int
    device: str = "cpu"
    broken: dict[str, str] = field(default_factory=dict)
    _held: list[Batch] = field(default_factory=list)

    def epoch(self, epoch: int, steps: int) -> Iterator[Batch]:
        """The batches of one epoch, rendered ahead by a thread of their own."""
        climbed = min(1.0, epoch / max(1.0, CLIMB * self.epochs))
        difficulty = EASIEST + (1 - EASIEST) * climbed
        first = epoch * steps
        with ThreadPoolExecutor(1) as renderer:
            ahead: deque[Future[Batch]] = deque()
            for step in range(steps + AHEAD):
                if step < steps:
                    ahead.append(renderer.submit(self._batch, first + step, difficulty))
                if step >= AHEAD:
                    yield ahead.popleft().result()

    def whole(self, cases: Sequence[Case] = ()) -> Iterator[Batch]:
        """The validation pictures, one by one; the same in every epoch and at full difficulty. There are no cases."""
        if cases:
            raise UsageError("the simulator has no cases to give whole")
        if not self._held:
            batches = (self._batch(_VALIDATION + step, 1.0) for step in range(-(-HELD // self.batch)))
            self._held = [one_of(batch, b) for batch in batches for b in range(self.batch)]
        yield from self._held

    def _batch(self, number: int, difficulty: float) -> Batch:
        seed = (self.seed << 48) + number
        samples = render_batch(draw_batch(self._settings(number, difficulty), self.batch, seed), self.device)
        return Batch(
            images=samples.images,
            masks=(samples.masks > 0).to(torch.uint8),
            mask_known=torch.ones(self.batch, dtype=torch.bool),
            category=samples.labels.cpu(),
            abnormal=(samples.labels >= 0).to(torch.int8).cpu(),
            studies=[f"sim-{number}-{b}" for b in range(self.batch)],
        )

    def _settings(self, number: int, difficulty: float) -> BatchSettings:
        filled = BatchSettings(
            contrasts=("any",),
            normal=0.25,
            shape=(self.side, self.side),
            difficulty=difficulty,
            fill=True,
            faintest=0.3,
        )
        return filled if number % 2 else replace(filled, fill=False, spacing=SLICE_MM)


def one_of(batch: Batch, b: int) -> Batch:
    """Sample ``b`` of a batch, as a batch."""
    row = slice(b, b + 1)
    return Batch(
        batch.images[row],
        batch.masks[row],
        batch.mask_known[row],
        batch.category[row],
        batch.abnormal[row],
        batch.studies[row],
    )
