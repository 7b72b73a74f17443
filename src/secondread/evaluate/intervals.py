"""A figure and how far it can be trusted: bootstrap over groups.

Studies of one patient resemble each other, so it is patients (groups) that are drawn with replacement, and each drawn
group brings all its studies. The standard deviation s of the statistic over DRAWS such draws, times sqrt(g / (g - 1))
for g groups, is its standard error (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 6; factor:
Hesterberg, The American Statistician 69, 2015, section 3.2). The interval is the figure, on a scale where it has no
bounds (:data:`LOGIT` for shares and areas: Pepe, The Statistical Evaluation of Medical Tests, 2003, section 5.2),
plus and minus as many standard errors as Student's t with g - 1 degrees of freedom takes for 95 %. An AUC rests on the
groups of its rarer kind, and g counts those.

Percentiles of the draws, which this replaces, held the truth in 84 to 96 of 100 repeats where these intervals hold it
in 95 to 99: docs/decisions/005-intervals.md has the measurement.

Where every draw agrees (accuracy 1.0 in 12 groups) that interval has no width, though twelve groups prove little. A
figure at 0 or 1 then gets a score interval: Wilson's for a proportion, of as many trials as there are groups (J. Am.
Stat. Assoc. 22, 1927), and Newcombe's for an AUC, of as many cases of each kind as there are groups (Statistics in
Medicine 25, 2006, part 2, method 5). Studies resemble each other within groups, so that counting groups is the
cautious choice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from secondread.index.words import counted

DRAWS = 1000
LEVEL = 0.95
Z = 1.959963984540054
FEW_GROUPS = 10
"""With fewer groups than this an interval is rough, and its note says so."""

AGREED = 1e-9
"""Draws that differ by no more than rounding agree."""

CHUNK = 4_000_000
"""Weights held at once: draws are taken in as many parts as this needs."""

Weights = NDArray[np.float64]
"""(D, n): how often each of n rows was drawn in each of D draws."""

Edge = Callable[[float, int], tuple[float, float]]
"""From a figure at 0 or 1 and the number of groups that it rests on to its interval."""

Statistic = Callable[[Weights], NDArray[np.float64]]
"""From weights (D, n) to a figure per draw (D); NaN where a draw does not allow one (an AUC of one class)."""


@dataclass(frozen=True)
class Scale:
    """Where a figure has no bounds: there, its derivative and back; ``inside`` where the figure is not at a bound."""

    there: Callable[[float], float]
    slope: Callable[[float], float]
    back: Callable[[float], float]
    inside: Callable[[float], bool]


def _expit(x: float) -> float:
    # Either form overflows on the other side of 0.
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


LOGIT = Scale(lambda p: math.log(p / (1 - p)), lambda p: 1 / (p * (1 - p)), _expit, lambda p: 0 < p < 1)
"""Shares, areas, overlaps: between 0 and 1."""
TO_TWO = Scale(
    lambda v: math.log(v / (2 - v)), lambda v: 2 / (v * (2 - v)), lambda x: 2 * _expit(x), lambda v: 0 < v < 2
)
"""The Brier score of several classes: between 0 and 2."""
LOG = Scale(math.log, lambda v: 1 / v, math.exp, lambda v: v > 0)
"""Distances: above 0."""
PLAIN = Scale(lambda v: v, lambda _: 1.0, lambda v: v, lambda _: True)
"""Differences: see :func:`difference`."""


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
    scale: Scale = LOGIT,
    carriers: int | None = None,
    cells: int = 0,
    draws: int | None = None,
    seed: int = 0,
) -> Figure | None:
    """The statistic over all rows with its interval over groups; the rule stands at the head of this module.

    Args:
        statistic: see :data:`Statistic`.
        groups: the group of each row.
        n: what the figure counts, when that is not rows.
        edge: the interval of a figure at 0 or 1 on which all draws agree; None leaves it without width. :func:`wilson`
            and :func:`newcombe` make such.
        scale: where the figure has no bounds.
        carriers: how many groups the figure rests on, where that is not all: for an AUC those of the rarer kind.
        cells: numbers that the statistic holds per draw, where they are more than the rows.
        draws: how many draws; None for DRAWS.
        seed: the same seed gives the same interval.

    Returns:
        None where even all rows together do not allow the statistic.
    """
    if not len(groups):
        return None
    value = float(statistic(np.ones((1, len(groups))))[0])
    if math.isnan(value):
        return None
    draws = DRAWS if draws is None else draws
    many = len(set(groups))
    count = len(groups) if n is None else n
    if many == 1:
        return Figure(value, math.nan, math.nan, count, 1, note="one group")
    values = np.concatenate([statistic(weights) for weights in drawn(groups, draws, cells=cells, seed=seed)])
    allowed = values[~np.isnan(values)]
    skipped = draws - len(allowed)
    if len(allowed) < 2:
        return Figure(value, math.nan, math.nan, count, many, skipped, "no draw allows it")
    rests_on = many if carriers is None else min(carriers, many)
    notes = [f"{counted(rests_on, 'group')} only: a rough interval"] if rests_on < FEW_GROUPS else []
    low, high = _interval(value, float(allowed.std()), max(2, rests_on), scale)
    end = round(value)
    if edge is not None and float(np.ptp(allowed)) <= AGREED and end in (0, 1) and abs(value - end) <= AGREED:
        low, high = edge(end, rests_on)
        notes.append("all draws agree: score interval over groups")
    if skipped:
        notes.append(f"{skipped} of {draws} draws held one class only and were left out")
    return Figure(value, low, high, count, many, skipped, "; ".join(notes) or None)


def difference(
    statistic: Statistic,
    groups: Sequence[str],
    first: Figure | None,
    second: Figure | None,
    *,
    carriers: int | None = None,
    most: float = 1.0,
) -> Figure | None:
    """``second`` minus ``first`` with its interval, both drawn together over the same groups.

    Args:
        statistic: of the difference; on no scale but its own, for it has no bound at 0.
        first, second: the two by themselves: where all draws agree on the difference, its interval comes from theirs
            (:func:`apart`).
        carriers: as in :func:`bootstrap`.
        most: neither end of the interval lies further from 0.

    Returns:
        None where one of the two, or the difference, is not allowed.
    """
    if first is None or second is None:
        return None
    found = bootstrap(statistic, groups, scale=PLAIN, carriers=carriers)
    if found is None or math.isnan(found.low):
        return found
    low, high = (found.low, found.high) if found.high - found.low > AGREED else apart(first, second)
    return replace(found, low=max(low, -most), high=min(high, most))


def drawn(groups: Sequence[str], draws: int, *, cells: int = 0, seed: int = 0) -> Iterator[Weights]:
    """Weights (D, n) of ``draws`` draws of groups with replacement, in as many parts as memory asks for."""
    names, member = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    many = len(names)
    times = np.random.default_rng(seed).multinomial(many, np.full(many, 1 / many), size=draws).astype(np.float64)
    for part in np.array_split(times, math.ceil(draws * max(len(groups), cells) / CHUNK)):
        yield part[:, member]


def _interval(value: float, deviation: float, groups: int, scale: Scale) -> tuple[float, float]:
    from scipy.stats import t

    if not scale.inside(value) or deviation <= AGREED:
        return value, value
    reach = float(t.ppf((1 + LEVEL) / 2, groups - 1)) * deviation * math.sqrt(groups / (groups - 1))
    centre = scale.there(value)
    away = reach * scale.slope(value)
    return scale.back(centre - away), scale.back(centre + away)


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


def apart(first: Figure, second: Figure) -> tuple[float, float]:
    """Interval of second minus first from the interval of each, as if they were independent, which is cautious for
    pairs (Zou and Donner, Statistics in Medicine 27, 2008, equation 6): for a difference on which all draws agree."""
    value = second.value - first.value
    down = math.hypot(second.value - second.low, first.high - first.value)
    up = math.hypot(second.high - second.value, first.value - first.low)
    return value - down, value + up


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)
