"""Two runs held against each other on the studies that both judged.

Pairs say more than two intervals side by side: what is hard for one run is mostly hard for the other, and cancels. AUC
by DeLong's test over groups (:mod:`secondread.evaluate.delong`), everything else by a bootstrap that draws the same
groups for both runs. A difference is one where its 95 % interval leaves out 0; with many figures one in twenty does so
by chance alone, so name beforehand the one that decides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondread.errors import DataError
from secondread.evaluate import metrics
from secondread.evaluate.alarms import ALARM_RATES
from secondread.evaluate.delong import compare_areas
from secondread.evaluate.intervals import LOG, LOGIT, TO_TWO, Figure, apart, wilson
from secondread.evaluate.lines import Better, Measure, auc_of, mean_of, ratio_of
from secondread.index.words import counted

if TYPE_CHECKING:
    import polars as pl

MEANS: tuple[tuple[str, str, Better], ...] = (
    ("dice", "Dice, whole lesion", "high"),
    ("nsd", "Outline within 2 mm of the true one", "high"),
    ("assd_mm", "Mean distance of the outlines, mm", "low"),
    ("peak_in_mask", "Highest evidence lies in the lesion", "high"),
    ("brier", "Brier score of the classes", "low"),
    ("presence_brier", "Brier score of presence", "low"),
)
"""Columns of predictions.parquet whose mean over the studies that both runs have is compared."""

ABOVE_ONE = {"assd_mm": LOG, "brier": TO_TWO}
"""Of these, what may be above 1, and its scale."""


@dataclass(frozen=True)
class Duel:
    """One figure of both runs over the same studies.

    Attributes:
        difference: second minus first, paired.
        better: which direction is the better one.
        p: two-sided, from DeLong's test; None for what is bootstrapped.
        void: whoever seems ahead, it says nothing.
    """

    name: str
    title: str
    first: Figure
    second: Figure
    difference: Figure
    better: Better
    p: float | None = None
    void: bool = False

    @property
    def ahead(self) -> int | None:
        """0 or 1 for the run that is better by more than chance, None where they cannot be told apart."""
        low, high = self.difference.low, self.difference.high
        if self.void or math.isnan(low) or low <= 0 <= high:
            return None
        return int((low > 0) == (self.better == "high"))

    def to_json(self) -> dict[str, Any]:
        return {
            "first": self.first.to_json(),
            "second": self.second.to_json(),
            "difference": self.difference.to_json() | ({} if self.p is None else {"p": round(self.p, 6)}),
            "better": self.better,
            "ahead": None if self.ahead is None else ("first", "second")[self.ahead],
        }


@dataclass(frozen=True)
class Comparison:
    """Both runs' names, what they share, and each figure.

    Attributes:
        studies, groups: judged by both, and taken.
        left_out: studies that one alone judged.
        seen: studies that both judged, and left out because one has seen them, or others of their patients.
        leaks: what is to be known of that before anything else, in words.
        conclusive: whether what is left can say who is better.
        stamp: words for every sheet, where a run learned from a split that leaks.
    """

    names: tuple[str, str]
    studies: int
    groups: int
    left_out: tuple[int, int]
    duels: tuple[Duel, ...]
    seen: int = 0
    leaks: tuple[str, ...] = ()
    conclusive: bool = True
    stamp: str | None = None

    @property
    def sentence(self) -> str:
        """Who is ahead, in words."""
        shared = f"On the {counted(self.studies, 'study')} of {counted(self.groups, 'group')} that both runs judged"
        if self.seen:
            shared += " and neither has seen"
        if not self.conclusive:
            return f"{shared}, nothing can be concluded about {self.names[0]} and {self.names[1]}."
        told = [
            f"{self.names[side]} is better in {', '.join(won)}"
            for side in (0, 1)
            if (won := [d.name for d in self.duels if d.ahead == side])
        ]
        if not told:
            return f"{shared}, {self.names[0]} and {self.names[1]} cannot be told apart by any figure."
        return f"{shared}, {' and '.join(told)}; in the others they cannot be told apart."

    @property
    def table(self) -> list[str]:
        """A line of text per figure, below a heading."""
        wide = max(10, *(len(name) for name in self.names))
        lines = [f"{'':<34} {self.names[0]:>{wide}} {self.names[1]:>{wide}}  difference"]
        for duel in self.duels:
            low, high = duel.difference.low, duel.difference.high
            between = "" if math.isnan(low) else f" ({low:+.3f} to {high:+.3f})"
            p = "" if duel.p is None else f", p = {duel.p:.3g}"
            ahead = "" if duel.ahead is None else f"  {self.names[duel.ahead]} is better"
            lines.append(
                f"{duel.name:<34} {duel.first.value:>{wide}.3f} {duel.second.value:>{wide}.3f}  "
                f"{duel.difference.value:+.3f}{between}{p}{ahead}"
            )
        return lines

    def to_json(self) -> dict[str, Any]:
        return {
            "first": self.names[0],
            "second": self.names[1],
            "studies": self.studies,
            "groups": self.groups,
            "left_out": {"first": self.left_out[0], "second": self.left_out[1], "seen": self.seen},
            "stamp": self.stamp,
            "leaks": list(self.leaks),
            "conclusive": self.conclusive,
            "summary": " ".join((*self.leaks, self.sentence)),
            "metrics": {duel.name: duel.to_json() for duel in self.duels},
        }


def compare_predictions(first: pl.DataFrame, second: pl.DataFrame, names: tuple[str, str]) -> Comparison:
    """Compare two tables of predictions on the studies in both. Raises DataError: there is none, or the two know one
    otherwise."""
    shared = set(first["study"]) & set(second["study"])
    if not shared:
        raise DataError(
            f"{names[0]} and {names[1]} judged no study in common ({first.height} and {second.height} studies): judge "
            "both on the same data with --data"
        )
    a, b = (table.filter(table["study"].is_in(list(shared))).sort("study") for table in (first, second))
    for column in ("group", "label", "abnormal"):
        apart = a.filter(a[column].ne_missing(b[column]))
        if apart.height:
            raise DataError(
                f"{apart.height} of {a.height} studies that both runs judged differ in {column}, the first is "
                f"{apart['study'][0]!r}: these are other studies of the same name, or labels have changed since"
            )
    duels = [*_presence(a, b), *_classes(a, b), *_means(a, b), *_lesions(a, b)]
    return Comparison(
        names,
        a.height,
        a["group"].n_unique(),
        (first.height - a.height, second.height - a.height),
        tuple(duel for duel in duels if duel is not None),
    )


def _presence(a: pl.DataFrame, b: pl.DataFrame) -> list[Duel | None]:
    x, y = _both(a, b, "presence", "abnormal")
    if not x.height:
        return []
    truth = x["abnormal"].to_numpy().astype(np.bool_)
    groups = x["group"].to_list()
    scores = [table["presence"].to_numpy() for table in (x, y)]
    area, other = (auc_of(truth, score, groups).figure for score in scores)
    test = compare_areas(truth, scores[0], scores[1], groups)
    duels: list[Duel | None] = []
    if test is not None and area is not None and other is not None:
        p, difference = None if math.isnan(test.p) else test.p, test.difference
        if difference.value and math.isclose(difference.low, difference.high, abs_tol=1e-9):
            # No variance between groups: a perfect order beside a blind one. With few groups that is no certainty.
            low, high = apart(area, other)
            p, difference = None, replace(difference, low=max(-1.0, low), high=min(1.0, high))
        duels.append(Duel("presence_auc", "Presence, area under ROC", area, other, difference, "high", p))
    for rate in ALARM_RATES:
        both: tuple[tuple[bool, str, str, Better], ...] = (
            (
                True,
                f"presence_sensitivity_at_{rate}fp",
                f"Sensitivity at {counted(rate, 'false alarm')} per 100 normals",
                "high",
            ),
            (False, f"false_alarm_rate_at_{rate}fp", f"Normals that raise an alarm there ({rate} % meant)", "low"),
        )
        for kind, name, title, better in both:
            column = f"alarm_{rate}fp"
            u, v = _both(x.filter(x["abnormal"] == kind), y.filter(y["abnormal"] == kind), column)
            duels.append(_mean_duel(u, v, column, name, title, better))
    return duels


def _classes(a: pl.DataFrame, b: pl.DataFrame) -> list[Duel | None]:
    x, y = _both(a, b, "truth", "predicted")
    x, y = (table.filter(x["truth"] == y["truth"]) for table in (x, y))
    if not x.height:
        return []
    names = sorted({*x["truth"], *x["predicted"], *y["predicted"]})
    number = {name: at for at, name in enumerate(names)}
    truth = np.array([number[name] for name in x["truth"]], np.intp)
    groups = x["group"].to_list()
    labels = np.unique(truth)

    def f1(table: pl.DataFrame) -> Measure:
        said = np.array([number[name] for name in table["predicted"]], np.intp)
        return Measure(lambda w: metrics.macro_f1(metrics.confusion(truth, said, len(names), w), labels), groups)

    right = [mean_of((t["predicted"] == t["truth"]).to_numpy().astype(float), groups) for t in (x, y)]
    return [
        _duel("accuracy", "Accuracy", right[0], right[1]),
        _duel("macro_f1", "F1, mean over classes", f1(x), f1(y)),
    ]


def _means(a: pl.DataFrame, b: pl.DataFrame) -> list[Duel | None]:
    return [_mean_duel(*_both(a, b, column), column, column, title, better) for column, title, better in MEANS]


def _lesions(a: pl.DataFrame, b: pl.DataFrame) -> list[Duel | None]:
    x, y = _both(a, b, "lesions", "lesions_found")
    if not x.height:
        return []
    groups = x["group"].to_list()
    first, second = (
        ratio_of(t["lesions_found"].to_list(), t["lesions"].to_list(), groups, int(t["lesions"].sum())) for t in (x, y)
    )
    return [_duel("lesion_sensitivity", "Lesions found", first, second)]


def _mean_duel(a: pl.DataFrame, b: pl.DataFrame, column: str, name: str, title: str, better: Better) -> Duel | None:
    import polars as pl

    if not a.height:
        return None
    groups = a["group"].to_list()
    edge, scale = (None, ABOVE_ONE[name]) if name in ABOVE_ONE else (wilson, LOGIT)
    first, second = (
        replace(mean_of(t[column].cast(pl.Float64).to_numpy(), groups), edge=edge, scale=scale) for t in (a, b)
    )
    return _duel(name, title, first, second, better)


def _duel(name: str, title: str, first: Measure, second: Measure, better: Better = "high") -> Duel | None:
    figures = first.figure, second.figure
    # Second minus first, whichever direction is better.
    gained = second.over(first)
    if figures[0] is None or figures[1] is None or gained is None:
        return None
    return Duel(name, title, figures[0], figures[1], gained, better)


def _both(a: pl.DataFrame, b: pl.DataFrame, *columns: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows in which both tables have all of ``columns``; none where a table lacks a column."""
    if any(column not in table.columns for column in columns for table in (a, b)):
        return a.clear(), b.clear()
    full: NDArray[np.bool_] = np.logical_and.reduce(
        [table[column].is_not_null().to_numpy() for column in columns for table in (a, b)]
    )
    return a.filter(full), b.filter(full)
