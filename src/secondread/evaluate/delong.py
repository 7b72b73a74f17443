"""Areas under ROC curves of the same studies, their covariance, and whether two of them differ.

DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988) take studies as independent; Obuchowski (Biometrics 53, 1997)
extends their estimate to studies that come in groups, with abnormal and normal ones in the same group. Where every
group is one study hers is theirs, to the last digit.

Shape legend: n studies; M abnormal, N normal; R readers (models); G groups.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondread.evaluate.intervals import LEVEL, Figure

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Areas:
    """AUC of each reader (R), their covariance (R, R), and how many groups hold an abnormal and a normal study."""

    values: Floats
    covariance: Floats
    groups: tuple[int, int]


@dataclass(frozen=True)
class AreaTest:
    """Second area minus first: the figure with its interval, z, and the two-sided p-value (NaN without a variance)."""

    difference: Figure
    z: float
    p: float


def areas(abnormal: NDArray[np.bool_], scores: Floats, groups: Sequence[str]) -> Areas | None:
    """Areas and their covariance over groups.

    Args:
        abnormal: (n).
        scores: (R, n), one row per reader.
        groups: of each study.

    Returns:
        None without both kinds. The covariance is NaN where one group alone holds all of a kind.
    """
    if abnormal.all() or not abnormal.any():
        return None
    positive, negative = scores[:, abnormal], scores[:, ~abnormal]
    m, n = positive.shape[1], negative.shape[1]
    # Structural components: the share of normals that an abnormal study lies above, and the other way round.
    above = np.stack([_placed(np.sort(q), p) for p, q in zip(positive, negative, strict=True)])
    below = 1 - np.stack([_placed(np.sort(p), q) for p, q in zip(positive, negative, strict=True)])
    values = above.mean(axis=1)
    names, member = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    held = len(np.unique(member[abnormal])), len(np.unique(member[~abnormal]))
    total = len(names)
    if min(held) < 2:
        return Areas(values, np.full((len(scores),) * 2, np.nan), held)
    a = _summed(above - values[:, None], member[abnormal], total)
    b = _summed(below - values[:, None], member[~abnormal], total)
    cross = total / (total - 1) * (a @ b.T) / (m * n)
    covariance = (
        held[0] / (held[0] - 1) * (a @ a.T) / m**2 + held[1] / (held[1] - 1) * (b @ b.T) / n**2 + cross + cross.T
    )
    return Areas(values, covariance, held)


def compare_areas(abnormal: NDArray[np.bool_], first: Floats, second: Floats, groups: Sequence[str]) -> AreaTest | None:
    """Whether the second reader's area differs from the first's, (n) each; None without both kinds.

    Student's t, not the normal deviate, with one degree of freedom fewer than the groups of the rarer kind: with few
    groups the variance is itself a guess.
    """
    from scipy.stats import t

    found = areas(abnormal, np.stack([first, second]), groups)
    if found is None:
        return None
    difference = float(found.values[1] - found.values[0])
    contrast = np.array([-1.0, 1.0])
    error = math.sqrt(max(0.0, float(contrast @ found.covariance @ contrast)))
    many = len(set(groups))
    if math.isnan(error):
        return AreaTest(Figure(difference, error, error, len(first), many, note="one group of a kind"), error, error)
    freedom = min(found.groups) - 1
    reach = float(t.ppf((1 + LEVEL) / 2, freedom)) * error
    # Two readers of the same order have no variance between them, and no difference either.
    z = difference / error if error > 0 else 0.0 if difference == 0 else math.copysign(math.inf, difference)
    figure = Figure(difference, difference - reach, difference + reach, len(first), many)
    return AreaTest(figure, z, 2 * float(t.sf(abs(z), freedom)))


def _placed(ordered: Floats, values: Floats) -> Floats:
    """Share of ``ordered`` below each of ``values``, ties counted half."""
    left = np.searchsorted(ordered, values, "left")
    right = np.searchsorted(ordered, values, "right")
    return np.asarray((left + right) / (2 * len(ordered)), np.float64)


def _summed(components: Floats, member: NDArray[np.intp], groups: int) -> Floats:
    """Sum of the components (R, .) within each group: (R, G)."""
    return np.stack([np.bincount(member, weights=row, minlength=groups) for row in components])
