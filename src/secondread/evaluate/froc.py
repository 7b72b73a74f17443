"""Free-response ROC: lesions found against false marks per study, as the score that counts as a mark falls.

A lesion is found at a score when a mark of that score or more has its place inside it; further marks in the same lesion
count neither way; a mark outside every lesion is a false one. Studies without a lesion bring false marks alone. The
FROC score is the mean sensitivity at RATES false marks per study, read from the curve by straight lines between its
points (Ehteshami Bejnordi et al., JAMA 318, 2017, the CAMELYON16 challenge; the curve: Bunch et al., SPIE 127, 1977).
Beyond its last point the curve stays level: with fewer false marks than a rate allows, that rate finds no more.

Shape legend: n studies; D draws; K marks; L lesions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondread.evaluate.lesions import NO_LESION, Mark

RATES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False marks per study at which sensitivity is averaged."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Marked:
    """The marks of n studies in falling order of score.

    Attributes:
        scores: (K). study: (K) which of the n each belongs to. false: (K) whether it is a false mark; else it is the
            highest in its lesion (others are left out).
        lesions: (n) true lesions of each study.
    """

    scores: Floats
    study: NDArray[np.intp]
    false: NDArray[np.bool_]
    lesions: Floats


def gather(studies: Sequence[tuple[int, Sequence[Mark]]]) -> Marked:
    """From how many lesions each study holds and its marks."""
    kept: list[tuple[float, int, bool]] = []
    for at, (_, marks) in enumerate(studies):
        seen: set[int] = set()
        for mark in sorted(marks, key=lambda m: -m.score):
            if mark.lesion == NO_LESION:
                kept.append((mark.score, at, True))
            elif mark.lesion > 0 and mark.lesion not in seen:
                seen.add(mark.lesion)
                kept.append((mark.score, at, False))
    kept.sort(key=lambda item: -item[0])
    return Marked(
        np.array([score for score, _, _ in kept], np.float64),
        np.array([at for _, at, _ in kept], np.intp),
        np.array([false for _, _, false in kept], np.bool_),
        np.array([count for count, _ in studies], np.float64),
    )


def curve(marked: Marked, weights: Floats) -> tuple[Floats, Floats]:
    """False marks per study and sensitivity, (D, 1 + levels) each, from no mark on to all; ``weights`` (D, n)."""
    counted = weights[:, marked.study]
    last = np.flatnonzero(np.diff(marked.scores, append=-np.inf))  # equal scores are one level
    with np.errstate(invalid="ignore", divide="ignore"):
        false = np.cumsum(counted * marked.false, axis=1)[:, last] / weights.sum(axis=1, keepdims=True)
        found = np.cumsum(counted * ~marked.false, axis=1)[:, last] / (weights @ marked.lesions)[:, None]
    start = np.zeros((len(weights), 1))
    return np.hstack([start, false]), np.hstack([start, found])


def sensitivity_at(marked: Marked, rates: Sequence[float], weights: Floats) -> Floats:
    """Mean over ``rates`` of the share of lesions found at so many false marks per study, (D); NaN without a lesion."""
    false, found = curve(marked, weights)
    held = (weights @ marked.lesions) > 0
    return np.array(
        [np.interp(rates, x, y).mean() if some else np.nan for x, y, some in zip(false, found, held, strict=True)]
    )
