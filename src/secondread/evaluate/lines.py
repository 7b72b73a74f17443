"""One line of the table of figures: a measure, what costs nothing beside it, and which of the two is better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from secondread.evaluate import metrics
from secondread.evaluate.intervals import (
    LOGIT,
    TO_TWO,
    Edge,
    Figure,
    Scale,
    Statistic,
    bootstrap,
    difference,
    newcombe,
    wilson,
)

Better = Literal["high", "low"]


@dataclass(frozen=True)
class Measure:
    """A statistic and the rows it is taken over. The other attributes are those of :func:`bootstrap`."""

    statistic: Statistic
    groups: Sequence[str]
    edge: Edge | None = wilson
    scale: Scale = LOGIT
    carriers: int | None = None
    n: int | None = None
    cells: int = 0

    @cached_property
    def figure(self) -> Figure | None:
        """With its interval; None where the rows do not allow it. Drawn once, for a difference needs it again."""
        return bootstrap(
            self.statistic,
            self.groups,
            n=self.n,
            edge=self.edge,
            scale=self.scale,
            carriers=self.carriers,
            cells=self.cells,
        )

    def over(self, other: Measure) -> Figure | None:
        """This minus ``other``, over rows of the same groups that are drawn together."""
        return difference(
            lambda weights: self.statistic(weights) - other.statistic(weights),
            self.groups,
            other.figure,
            self.figure,
            carriers=self.carriers,
            most={LOGIT: 1.0, TO_TWO: 2.0}.get(self.scale, math.inf),
        )


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        name: as in metrics.json; ``title``: for a person.
        figure: the model's.
        baseline: the figure of what costs nothing, or a number known without data (AUC of a coin), or None.
        difference: by how much the model is better, drawn in pairs over the same groups; None without a measured
            baseline.
        better: whether a higher or a lower figure is the better one.
    """

    name: str
    title: str
    figure: Figure
    baseline: Figure | float | None = None
    difference: Figure | None = None
    better: Better = "high"

    @property
    def beats_baseline(self) -> bool | None:
        """Whether the interval lies wholly on the better side; None where there is no baseline or no interval."""
        if self.baseline is None or np.isnan(self.figure.low):
            return None
        if isinstance(self.baseline, float):
            return self.figure.low > self.baseline if self.better == "high" else self.figure.high < self.baseline
        return self.difference is not None and self.difference.low > 0


def line(
    name: str,
    title: str,
    measure: Measure,
    baseline: Measure | float | None = None,
    *,
    better: Better = "high",
    gain: Figure | None = None,
) -> Line | None:
    """The line of a measure, None where the studies do not allow it. ``gain``: over the baseline, where that is taken
    over other rows."""
    figure = measure.figure
    if figure is None:
        return None
    if not isinstance(baseline, Measure):
        return Line(name, title, figure, baseline, better=better)
    gained = gain or (measure.over(baseline) if better == "high" else baseline.over(measure))
    return Line(name, title, figure, baseline.figure, gained, better)


def mean_of(values: Sequence[float] | NDArray[np.float64], groups: Sequence[str]) -> Measure:
    """The mean over rows."""
    return Measure(partial(metrics.mean, np.asarray(values, np.float64)), groups)


def ratio_of(top: Sequence[float], bottom: Sequence[float], groups: Sequence[str], n: int | None = None) -> Measure:
    """Sum over sum."""
    return Measure(partial(metrics.ratio, np.asarray(top, np.float64), np.asarray(bottom, np.float64)), groups, n=n)


def groups_of(truth: NDArray[np.bool_], groups: Sequence[str]) -> tuple[int, int]:
    """How many groups hold a true row and how many hold a false one: what an AUC rests on."""
    held = [{g for g, t in zip(groups, truth, strict=True) if t == kind} for kind in (True, False)]
    return len(held[0]), len(held[1])


def auc_edge(positives: int, negatives: int, area: float, _groups: int) -> tuple[float, float]:
    """:data:`Edge` of an AUC."""
    return newcombe(area, positives, negatives)


def auc_of(truth: NDArray[np.bool_], scores: NDArray[np.float64], groups: Sequence[str]) -> Measure:
    """Area under the ROC curve."""
    true, false = groups_of(truth, groups)
    return Measure(
        partial(metrics.auc, truth, scores), groups, edge=partial(auc_edge, true, false), carriers=min(true, false)
    )
