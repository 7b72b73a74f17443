"""The studies worth looking at: what the model got best, what it got most wrong, and what it left open.

Pictures are drawn as studies pass by and only those that hold their place on a shelf are kept, so that memory does not
grow with the data.
"""

from __future__ import annotations

import base64
import heapq
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secondread.evaluate.figures import UNSURE
from secondread.evaluate.judged import Judged

if TYPE_CHECKING:
    from secondread.infer import Reading
    from secondread.volume import Study

PANEL = {2: 220, 3: 170}
"""Longest side of a panel in pixels, for pictures and for volumes (which show six panels)."""
JPEG_QUALITY = 82


@dataclass(frozen=True)
class Exhibit:
    """One study on a shelf, by its number: an inline picture, what it shows, and the line below it."""

    study: str
    picture: str
    alt: str
    words: str


@dataclass
class Shelf:
    """The ``size`` studies of highest score among those offered."""

    title: str
    about: str
    size: int
    _held: list[tuple[float, int, Exhibit]] = field(default_factory=list)
    _offers: int = 0

    def wants(self, score: float) -> bool:
        return len(self._held) < self.size or score > self._held[0][0]

    def put(self, score: float, exhibit: Exhibit) -> None:
        # The count breaks ties, first come first kept, so that exhibits are never compared.
        self._offers += 1
        item = (score, -self._offers, exhibit)
        if len(self._held) < self.size:
            heapq.heappush(self._held, item)
        else:
            heapq.heapreplace(self._held, item)

    @property
    def exhibits(self) -> list[Exhibit]:
        """Highest score first."""
        return [exhibit for _, _, exhibit in sorted(self._held, key=lambda item: item[:2], reverse=True)]


class Gallery:
    """Offer every study; read ``shelves`` at the end. ``called``: from a study's name to what the page calls it."""

    def __init__(self, called: Callable[[str], str] = str) -> None:
        self._called = called
        self._unsure = Shelf("Unsure", "the model would leave these to a person; nearest to even odds first", 6)
        self._wrong = Shelf("Most certain and wrong", "the class named is not the true one", 12)
        self._missed = Shelf("Least overlap", "the lesion was missed or outlined badly (lowest Dice)", 8)
        self._alarms = Shelf("Loudest false alarms", "normal studies with the highest presence", 6)
        self._best = Shelf("Best", "the most certain right answers, or the highest Dice", 6)

    @property
    def shelves(self) -> list[Shelf]:
        """Those that hold something."""
        return [
            shelf for shelf in (self._best, self._wrong, self._missed, self._alarms, self._unsure) if shelf.exhibits
        ]

    def offer(
        self, judged: Judged, study: Study, reading: Reading, truth: NDArray[np.uint8] | None, *, drawn: bool
    ) -> None:
        """Draw the study for each shelf that wants it. ``drawn``: the model draws masks, so that Dice means something;
        ``truth`` is on the scan's grid (N)."""
        wanted = [(shelf, score) for shelf, score in self._scores(judged, drawn) if shelf.wants(score)]
        if not wanted:
            return
        name = self._called(judged.study)
        exhibit = Exhibit(name, _inline(study, reading, truth), _alt(name, judged), _words(judged, drawn))
        # A study stands on one shelf, the first that takes it.
        shelf, score = wanted[0]
        shelf.put(score, exhibit)

    def _scores(self, judged: Judged, drawn: bool) -> Iterator[tuple[Shelf, float]]:
        if judged.decision == UNSURE and judged.presence is not None:
            yield self._unsure, -abs(judged.presence - 0.5)
        if judged.right is False and len(judged.classes) > 1:
            yield self._wrong, judged.confidence
        if judged.abnormal is False and judged.decision == "abnormal" and judged.presence is not None:
            yield self._alarms, judged.presence
        if judged.located is not None and drawn:
            if judged.located.dice < 0.7:
                yield self._missed, -judged.located.dice
            elif judged.right is not False:
                yield self._best, judged.located.dice
        elif judged.right and len(judged.classes) > 1 and judged.abnormal is not False:
            yield self._best, judged.confidence


def _inline(study: Study, reading: Reading, truth: NDArray[np.uint8] | None) -> str:
    from secondread.infer.picture import reading_picture

    dimensions = 2 if study.picture is not None else 3
    image = reading_picture(study, reading, truth, panel=PANEL[dimensions], caption=False)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _words(judged: Judged, drawn: bool) -> str:
    parts = []
    if len(judged.classes) > 1:
        truth = f", truly {judged.truth}" if judged.truth is not None else ""
        parts.append(f"called {judged.predicted} ({judged.confidence:.2f}){truth}")
    elif judged.presence is not None:
        parts.append(f"{judged.decision}, presence {judged.presence:.2f}")
    if judged.located is not None and drawn:
        parts.append(f"Dice {judged.located.dice:.2f}")
    return "; ".join(parts)


def _alt(name: str, judged: Judged) -> str:
    truth = f", truly {judged.truth}" if judged.truth is not None else ""
    called = f"called {judged.predicted}" if len(judged.classes) > 1 else f"{judged.decision or 'no decision'}"
    return f"Scan of {name} without and with the model's evidence: {called}{truth}."
