"""A figure and how far it can be trusted: percentile bootstrap over groups.

Studies of one patient resemble each other, so it is patients (groups) that are drawn with replacement, and each drawn
group brings all its studies. The interval holds the middle 95 % of the statistic over DRAWS such draws (Efron and
Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).

Where every draw agrees (accuracy 1.0 in 12 groups) that interval has no width, though twelve groups prove little. A
figure at 0 or 1 then gets the Wilson score interval for a proportion of as many trials as there are groups (Wilson,
J. Am. Stat. Assoc. 22, 1927), which for studies that resemble each other within groups is the cautious choice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
LEVEL = 0.95
FEW_GROUPS = 10
"""With fewer groups than this an interval is rough, and its note says so."""

Statistic = Callable[[NDArray[np.intp]], float]
"""From row numbers (with repeats) to a figure; NaN where the rows do not allow one (an AUC of one class)."""


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


def bootstrap(
    statistic: Statistic,
    groups: Sequence[str],
    *,
    n: int | None = None,
    trials: int | None = None,
    proportion: bool = True,
    draws: int = DRAWS,
    seed: int = 0,
) -> Figure | None:
    """The statistic over all rows with its percentile interval over groups.

    Args:
        statistic: see :data:`Statistic`.
        groups: the group of each row.
        n: what the figure counts, when that is not rows.
        trials: trials of the Wilson interval at 0 or 1; None is the number of groups. An AUC gives the groups of its
            rarer class.
        proportion: whether the statistic lies between 0 and 1, so that the Wilson interval makes sense.
        draws: how many draws.
        seed: the same seed gives the same interval.

    Returns:
        None where even all rows together do not allow the statistic.
    """
    if not len(groups):
        return None
    everything = np.arange(len(groups))
    value = float(statistic(everything))
    if math.isnan(value):
        return None
    members = _members(groups)
    count = len(groups) if n is None else n
    if len(members) == 1:
        return Figure(value, math.nan, math.nan, count, 1, note="one group")
    generator = np.random.default_rng(seed)
    picks = generator.integers(0, len(members), size=(draws, len(members)))
    values = np.array([statistic(np.concatenate([members[g] for g in pick])) for pick in picks])
    allowed = values[~np.isnan(values)]
    skipped = draws - len(allowed)
    if not len(allowed):
        return Figure(value, math.nan, math.nan, count, len(members), skipped, "no draw allows it")
    tail = (1 - LEVEL) / 2
    low, high = (float(q) for q in np.quantile(allowed, [tail, 1 - tail]))
    notes = [f"{len(members)} groups only: a rough interval"] if len(members) < FEW_GROUPS else []
    if proportion and low == high and value in (0.0, 1.0):
        low, high = wilson(value, trials or len(members))
        notes.append(f"all draws agree: Wilson interval of {trials or len(members)} groups")
    if skipped:
        notes.append(f"{skipped} of {draws} draws held one class only and were left out")
    return Figure(value, low, high, count, len(members), skipped, "; ".join(notes) or None)


def wilson(share: float, trials: int) -> tuple[float, float]:
    """Wilson score interval of a proportion at 95 %. Wilson 1927."""
    z = 1.959963984540054
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return max(0.0, centre - half), min(1.0, centre + half)


def _members(groups: Sequence[str]) -> list[NDArray[np.intp]]:
    _, inverse = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(inverse[order])) + 1)


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)
