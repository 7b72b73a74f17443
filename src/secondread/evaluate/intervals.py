"""A figure and how far it can be trusted: percentile bootstrap over groups.

Studies of one patient resemble each other, so it is patients (groups) that are drawn with replacement, and each drawn
group brings all its studies. The interval holds the middle 95 % of the statistic over DRAWS such draws (Efron and
Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).

Where every draw agrees (accuracy 1.0 in 12 groups) that interval has no width, though twelve groups prove little. A
figure at 0 or 1 then gets a score interval: Wilson's for a proportion, of as many trials as there are groups (J. Am.
Stat. Assoc. 22, 1927), and Newcombe's for an AUC, of as many cases of each kind as there are groups (Statistics in
Medicine 25, 2006, part 2, method 5). Studies resemble each other within groups, so that counting groups is the
cautious choice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
LEVEL = 0.95
Z = 1.959963984540054
FEW_GROUPS = 10
"""With fewer groups than this an interval is rough, and its note says so."""

CHUNK = 4_000_000
"""Weights held at once: draws are taken in as many parts as this needs."""

Weights = NDArray[np.float64]
"""(D, n): how often each of n rows was drawn in each of D draws."""

Edge = Callable[[float, int], tuple[float, float]]
"""From a figure at 0 or 1 and the number of groups to its interval."""

Statistic = Callable[[Weights], NDArray[np.float64]]
"""From weights (D, n) to a figure per draw (D); NaN where a draw does not allow one (an AUC of one class)."""


@dataclass(frozen=True)
class Figure:
    """One figure with its 95 % interval.

    Attributes:
        value: the statistic over all rows.
        low, high: the interval; NaN where one group alone allows none.
        n: what was counted (studies, lesions).
        groups: how many groups they belong to.
        skipped: draws left out because they did not allow the statistic.
        note: what to know about the interval, in words, or None.
    """

    value: float
    low: float
    high: float
    n: int
    groups: int
    skipped: int = 0
    note: str | None = None

    def to_json(self) -> dict[str, float | int | str | None]:
        """Plain values for metrics.json: NaN as None, six digits."""
        out: dict[str, float | int | str | None] = {
            "value": _plain(self.value),
            "low": _plain(self.low),
            "high": _plain(self.high),
            "n": self.n,
            "groups": self.groups,
        }
        return out | ({"note": self.note} if self.note else {})

    @property
    def words(self) -> str:
        """``0.91 (0.87 to 0.94)``, or ``0.91 (no interval: one group)``."""
        if math.isnan(self.low):
            return f"{self.value:.2f} (no interval: {self.note or 'too few groups'})"
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"

    @property
    def inner_words(self) -> str:
        """The same for use inside brackets: ``0.91, 0.87 to 0.94``."""
        return f"{self.value:.2f}" if math.isnan(self.low) else f"{self.value:.2f}, {self.low:.2f} to {self.high:.2f}"


def bootstrap(
    statistic: Statistic,
    groups: Sequence[str],
    *,
    n: int | None = None,
    edge: Edge | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Figure | None:
    """The statistic over all rows with its percentile interval over groups.

    Args:
        statistic: see :data:`Statistic`.
        groups: the group of each row.
        n: what the figure counts, when that is not rows.
        edge: the interval of a figure at 0 or 1 on which all draws agree; None leaves it without width. :func:`wilson`
            and :func:`newcombe` make such.
        draws: how many draws.
        seed: the same seed gives the same interval.

    Returns:
        None where even all rows together do not allow the statistic.
    """
    if not len(groups):
        return None
    value = float(statistic(np.ones((1, len(groups))))[0])
    if math.isnan(value):
        return None
    names, member = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    many = len(names)
    count = len(groups) if n is None else n
    if many == 1:
        return Figure(value, math.nan, math.nan, count, 1, note="one group")
    times = np.random.default_rng(seed).multinomial(many, np.full(many, 1 / many), size=draws).astype(np.float64)
    parts = np.array_split(times, math.ceil(draws * len(groups) / CHUNK))
    values = np.concatenate([statistic(part[:, member]) for part in parts])
    allowed = values[~np.isnan(values)]
    skipped = draws - len(allowed)
    if not len(allowed):
        return Figure(value, math.nan, math.nan, count, many, skipped, "no draw allows it")
    tail = (1 - LEVEL) / 2
    low, high = (float(q) for q in np.quantile(allowed, [tail, 1 - tail]))
    notes = [f"{many} groups only: a rough interval"] if many < FEW_GROUPS else []
    if edge is not None and low == high and value in (0.0, 1.0):
        low, high = edge(value, many)
        notes.append("all draws agree: score interval over groups")
    if skipped:
        notes.append(f"{skipped} of {draws} draws held one class only and were left out")
    return Figure(value, low, high, count, many, skipped, "; ".join(notes) or None)


def wilson(share: float, trials: int) -> tuple[float, float]:
    """Wilson score interval of a proportion at 95 %."""
    centre = (share + Z * Z / (2 * trials)) / (1 + Z * Z / trials)
    half = Z / (1 + Z * Z / trials) * math.sqrt(share * (1 - share) / trials + Z * Z / (4 * trials * trials))
    return max(0.0, centre - half), min(1.0, centre + half)


def newcombe(area: float, positives: int, negatives: int) -> tuple[float, float]:
    """Newcombe's interval (method 5) of an AUC of exactly 0 or 1 at 95 %: the areas a from which the one seen is Z
    standard errors away, with the variance that Hanley and McNeil give for a.
    """
    from scipy.optimize import brentq

    mean_size = (positives + negatives) / 2

    def excess(a: float) -> float:
        spread = 1 + (mean_size - 1) * ((1 - a) / (2 - a) + a / (1 + a))
        return (1 - a) - Z * Z * a * spread / (positives * negatives)

    # Divided by (1 - a), which is the other root; by symmetry an area of 0 is one of 1 looked at from behind.
    low = float(brentq(excess, 0.0, 1.0))
    return (low, 1.0) if area == 1.0 else (0.0, 1 - low)


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)
