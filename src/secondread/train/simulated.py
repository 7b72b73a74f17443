"""Simulated pictures in the place of a store's: nothing is read, and nothing runs out.

They come in turns as what a person saves (the head fills the picture) and as what is cut from a volume (so many mm a
pixel), of every contrast, plane and kind of lesion. Training begins with large, plain lesions in clean scans, and with
small pictures, which cost a third and teach as much to a network that knows nothing yet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context

import numpy as np
import torch

from secondread.errors import UsageError
from secondread.infer.slicewise import SLICE_MM
from secondread.models import Task
from secondread.simulate import CATEGORIES, NORMAL, BatchSettings, draw_batch, render_batch
from secondread.store import Batch, Case
from secondread.train.batches import one_of

EASIEST = 0.15
CLIMB = 0.6
"""Difficulty at the beginning, and the share of the epochs after which all is drawn that there is. What is easy (large
lesions, plainly seen, in clean scans) is drawn to the end: a network that goes on with what is hard alone takes half a
hemisphere of oedema for a healthy one."""

SIDES = ((0.4, 0.6), (0.7, 0.8), (1.0, 1.0))
"""Until which share of the epochs pictures have which share of their side, where training begins cold."""

AHEAD = 3
"""Batches rendered ahead of the step that learns from them."""

CONTRASTS = {"flair": 0.4, "t1c": 0.35, "t1": 0.25}
"""How often which contrast is learned from: the two in which lesions show best, and the one that most heads come in.
With T2, PD and contrasts that no scanner gives beside them, what is bright in one is fluid in another, and after 20,000
pictures the network had found next to nothing in any (AUC 0.64 in training)."""

_SLICES = BatchSettings(normal=0.25, faintest=0.5, spacing=SLICE_MM)
_FILLED = replace(_SLICES, fill=True)

TASK = Task(CATEGORIES, NORMAL, located=True)
_VALIDATION = 1 << 40


@dataclass(frozen=True)
class Pictures:
    """What does not change from batch to batch.

    Attributes:
        side: of a picture, in pixels, when training ends.
        batch: pictures a step.
        seed: of every picture.
        cold: whether a network learns that knows nothing yet: its pictures are small and easy in the beginning (SIDES,
            CLIMB).
    """

    side: int
    batch: int
    seed: int
    cold: bool = True


@dataclass(eq=False)
class Simulated:
    """What :func:`secondread.train.loop.fit` takes in a feed's place.

    Attributes:
        pictures: what is rendered.
        epochs: that training lasts; the curriculum follows from it.
        held: pictures of the validation split.
        device: where they are rendered and given out.
        broken: what a store may hold and this never does.
    """

    pictures: Pictures
    epochs: int
    held: int = 320
    device: str = "cpu"
    broken: dict[str, str] = field(default_factory=dict)
    _held: list[Batch] = field(default_factory=list)
    _renderer: ProcessPoolExecutor | None = None

    def epoch(self, epoch: int, steps: int) -> Iterator[Batch]:
        """The batches of one epoch; on a CPU rendered ahead by a process of their own, for a thread would only take
        turns with the one that learns."""
        difficulty = difficulties(epoch / self.epochs if self.pictures.cold else 1.0)
        side = self.side_at(epoch)
        numbers = range(epoch * steps, (epoch + 1) * steps)
        if self.device != "cpu":
            yield from (self._batch(number, side, difficulty) for number in numbers)
            return
        if self._renderer is None:
            self._renderer = ProcessPoolExecutor(1, get_context("spawn"), torch.set_num_threads, (1,))
        ahead: deque[Future[Batch]] = deque()
        for number in numbers:
            ahead.append(self._renderer.submit(simulated_batch, self.pictures, number, side, difficulty))
            if len(ahead) > AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()

    def side_at(self, epoch: int) -> int:
        """Of an epoch's pictures, in pixels."""
        share = next(share for until, share in SIDES if epoch < until * self.epochs or until == 1)
        return round(self.pictures.side * (share if self.pictures.cold else 1))

    def close(self) -> None:
        """End the process that renders."""
        if self._renderer is not None:
            self._renderer.shutdown(cancel_futures=True)
            self._renderer = None

    def whole(self, cases: Sequence[Case] = ()) -> Iterator[Batch]:
        """The validation pictures, one by one; the same in every epoch and at full difficulty. There are no cases."""
        if cases:
            raise UsageError("the simulator has no cases to give whole")
        if not self._held:
            side, size = self.pictures.side, self.pictures.batch
            batches = (self._batch(_VALIDATION + step, side, (1.0, 1.0)) for step in range(-(-self.held // size)))
            self._held = [one_of(batch, b) for batch in batches for b in range(size)]
        yield from self._held

    def _batch(self, number: int, side: int, difficulty: tuple[float, float]) -> Batch:
        return simulated_batch(self.pictures, number, side, difficulty, self.device)


def difficulties(done: float) -> tuple[float, float]:
    """The easiest and the hardest that is drawn when the share ``done`` of a training is over."""
    return EASIEST, EASIEST + (1 - EASIEST) * min(1.0, done / CLIMB)


def simulated_batch(
    pictures: Pictures, number: int, side: int, difficulty: tuple[float, float], device: str = "cpu"
) -> Batch:
    """Batch ``number`` in pictures of ``side``: half as a person saves them, half as slices of a volume; each half has
    one contrast and one difficulty, between the two given."""
    rng = np.random.default_rng([pictures.seed, number])
    hard = np.random.default_rng([pictures.seed, number, 1]).uniform(*difficulty, 2)
    halves = []
    for half, settings in enumerate((_FILLED, _SLICES)):
        contrast = str(rng.choice(list(CONTRASTS), p=list(CONTRASTS.values())))
        spacing = settings.spacing * pictures.side / side
        chosen = replace(
            settings, contrasts=(contrast,), shape=(side, side), spacing=spacing, difficulty=float(hard[half])
        )
        n = (pictures.batch + 1 - half) // 2
        halves.append(render_batch(draw_batch(chosen, n, int(rng.integers(2**62))), device))
    labels = torch.cat([half.labels for half in halves]).cpu()
    return Batch(
        images=torch.cat([half.images for half in halves]),
        masks=(torch.cat([half.masks for half in halves]) > 0).to(torch.uint8),
        mask_known=torch.ones(len(labels), dtype=torch.bool),
        category=labels,
        abnormal=(labels >= 0).to(torch.int8),
        studies=[f"sim-{number}-{b}" for b in range(len(labels))],
    )
