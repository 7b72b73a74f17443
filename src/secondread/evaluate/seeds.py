"""A figure over the seeds of one plan, and which plans seeds alone cannot tell from the best.

A plan's figure is the mean over its seeds, and its interval Student's: t with n - 1 degrees of freedom times
s / sqrt(n) (Biometrika 6, 1908). It says how far other seeds would move the mean on the same split, and nothing about
other patients.

Whether a plan is behind the best of k is Hsu's comparison with the best (Annals of Statistics 9, 1981): it is, where
the best's mean exceeds its own by more than t standard errors of their difference, one-sided. So that the plan that is
truly best is called behind in at most 5 of 100 comparisons, although the best was picked by looking, t is taken at
0.05 / (k - 1) (Bonferroni, in place of Dunnett's smaller value), with Welch's standard error and degrees of freedom
(Biometrika 34, 1947): one plan may jump where another is calm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
DIGITS = 12
"""Sums of the same values in another order differ in later digits than these."""


@dataclass(frozen=True)
class OverSeeds:
    """A figure over seeds: its mean, its interval at 95 % (NaN where one seed allows none), and each seed's value."""

    value: float
    low: float
    high: float
    values: tuple[float, ...]

    def to_json(self) -> dict[str, float | int | list[float] | None]:
        """Plain values: NaN as None, six digits."""
        low, high = (None if math.isnan(v) else round(v, 6) for v in (self.low, self.high))
        return {
            "value": round(self.value, 6),
            "low": low,
            "high": high,
            "seeds": len(self.values),
            "values": [round(v, 6) for v in self.values],
        }

    @property
    def words(self) -> str:
        """``0.912 (0.880 to 0.944)``, or ``0.912 (one seed: no interval)``."""
        if math.isnan(self.low):
            return f"{self.value:.3f} (one seed: no interval)"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def over_seeds(values: Sequence[float], *, share: bool) -> OverSeeds | None:
    """Mean and Student's interval of finite values, one a seed; None without any.

    Args:
        share: the figure lies between 0 and 1, and so does its interval.
    """
    finite = [float(v) for v in values if math.isfinite(v)]
    if not finite:
        return None
    mean = round(float(np.mean(finite)), DIGITS)
    if len(finite) == 1:
        return OverSeeds(mean, math.nan, math.nan, tuple(finite))
    reach = _quantile((1 + LEVEL) / 2, len(finite) - 1) * _error(finite)
    low, high = mean - reach, mean + reach
    return OverSeeds(mean, max(0.0, low) if share else low, min(1.0, high) if share else high, tuple(finite))


def behind(best: str, values: Mapping[str, Sequence[float]]) -> dict[str, bool | None]:
    """For each plan but ``best``, whether it is behind by more than seeds do; None where one seed cannot say.

    Args:
        best: the plan of the highest mean.
        values: by plan, a figure per seed; the higher, the better.
    """
    others = {name: list(found) for name, found in values.items() if name != best}
    leading = list(values[best])
    return {name: _exceeds(leading, found, len(others)) for name, found in others.items()}


def _exceeds(first: Sequence[float], second: Sequence[float], comparisons: int) -> bool | None:
    if min(len(first), len(second)) < 2:
        return None
    lead = round(float(np.mean(first)) - float(np.mean(second)), DIGITS)
    a, b = _error(first) ** 2, _error(second) ** 2
    if a + b == 0:
        return lead > 0  # every seed of each gave the same
    freedom = (a + b) ** 2 / (a**2 / (len(first) - 1) + b**2 / (len(second) - 1))
    return lead > _quantile(1 - (1 - LEVEL) / comparisons, freedom) * math.sqrt(a + b)


def _error(values: Sequence[float]) -> float:
    """Standard error of the mean."""
    return round(float(np.std(values, ddof=1)), DIGITS) / math.sqrt(len(values))


def _quantile(share: float, freedom: float) -> float:
    from scipy.stats import t

    return float(t.ppf(share, freedom))
