"""Two runs held against each other on the studies that both judged.

Pairs say more than two intervals side by side: what is hard for one run is mostly hard for the other, and cancels. AUC
by DeLong's test over groups (:mod:`secondread.evaluate.delong`), everything else by a bootstrap that draws the same
groups for both runs. A difference is one where its 95 % interval leaves out 0; with many figures one in twenty does so
by chance alone, so name beforehand the one that decides.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondread.errors import DataError, UsageError, writing
from secondread.evaluate import metrics
from secondread.evaluate.alarms import ALARM_RATES
from secondread.evaluate.delong import compare_areas
from secondread.evaluate.intervals import LOG, LOGIT, TO_TWO, Figure, wilson
from secondread.evaluate.lines import Better, Measure, auc_of, mean_of, ratio_of
from secondread.evaluate.predictions import PREDICTIONS, read_predictions
from secondread.evaluate.run import Progress, StudyReader, evaluate
from secondread.files import write_whole
from secondread.infer import load_model

if TYPE_CHECKING:
    import polars as pl

    from secondread.index import Index

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
    """

    name: str
    title: str
    first: Figure
    second: Figure
    difference: Figure
    better: Better
    p: float | None = None

    @property
    def ahead(self) -> int | None:
        """0 or 1 for the run that is better by more than chance, None where they cannot be told apart."""
        low, high = self.difference.low, self.difference.high
        if math.isnan(low) or low <= 0 <= high:
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
    """Both runs' names, what they share, and each figure. ``left_out``: studies that one alone judged."""

    names: tuple[str, str]
    studies: int
    groups: int
    left_out: tuple[int, int]
    duels: tuple[Duel, ...]

    @property
    def sentence(self) -> str:
        """Who is ahead, in words."""
        told = [
            f"{self.names[side]} is better in {', '.join(won)}"
            for side in (0, 1)
            if (won := [d.name for d in self.duels if d.ahead == side])
        ]
        shared = f"On the {self.studies} studies of {self.groups} groups that both runs judged"
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
            "left_out": {"first": self.left_out[0], "second": self.left_out[1]},
            "summary": self.sentence,
            "metrics": {duel.name: duel.to_json() for duel in self.duels},
        }


def compare_runs(
    first: Path,
    second: Path,
    out: Path,
    *,
    index: Index | None = None,
    load: Callable[[Path], StudyReader] | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Compare two runs, and write ``compare.json`` and ``compare.html``. A run that is not judged yet is judged first.

    Args:
        first, second: folders of runs, or of evaluations as :func:`evaluate` writes them.
        out: folder for the results; made where it is not there.
        index: data to judge both on, below ``out``; None takes each run's own evaluation.
        load: gives the reader of a run; None loads RUN/model.
        progress: called as ``progress(what, done, total)``.

    Raises:
        UsageError: neither a run nor an evaluation. DataError: no study in common, or one that the two know otherwise.
        ResourceError: no space or permission for ``out``. As :func:`evaluate`, for a run that is judged here.
    """
    from secondread.evaluate.report import environment, versions

    names = _names(first, second)
    folders = [
        _judged_in(run, name, out, index, load, progress) for run, name in zip((first, second), names, strict=True)
    ]
    tables = [read_predictions(folder) for folder in folders]
    result = compare_predictions(tables[0], tables[1], names)
    page = (
        environment()
        .get_template("paired.html.j2")
        .render(title=f"{result.names[0]} and {result.names[1]}", result=result, versions=versions())
    )
    content = result.to_json() | {"versions": versions()}
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / "compare.json", (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
        write_whole(out / "compare.html", page.encode())
    return result


def _judged_in(
    run: Path,
    name: str,
    out: Path,
    index: Index | None,
    load: Callable[[Path], StudyReader] | None,
    progress: Progress | None,
) -> Path:
    """The folder that holds the predictions of a run, judged now where they are missing or another model's."""
    if index is None and (run / PREDICTIONS).is_file():
        return run
    if not run.is_dir():
        raise UsageError(f"there is no run at {run}; give the folder that `secondread train -o` wrote")
    folder = run / "evaluation" if index is None else out / name
    reader = load(run) if load is not None else load_model(run)
    if index is not None or not (folder / PREDICTIONS).is_file() or _model_of(folder) != reader.sha256:
        evaluate(run, folder, index=index, reader=reader, progress=progress)
    return folder


def _model_of(folder: Path) -> str | None:
    """SHA-256 of the model that an evaluation judged; None where that cannot be told."""
    try:
        return str(json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["model"]["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def compare_predictions(first: pl.DataFrame, second: pl.DataFrame, names: tuple[str, str]) -> Comparison:
    """Compare two tables of predictions on the studies in both. Raises DataError as :func:`compare_runs`."""
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
    area, other = (auc_of(truth, score, groups).figure() for score in scores)
    test = compare_areas(truth, scores[0], scores[1], groups)
    duels: list[Duel | None] = []
    if test is not None and area is not None and other is not None:
        p = None if math.isnan(test.p) else test.p
        duels.append(Duel("presence_auc", "Presence, area under ROC", area, other, test.difference, "high", p))
    for rate in ALARM_RATES:
        both: tuple[tuple[bool, str, str, Better], ...] = (
            (True, f"presence_sensitivity_at_{rate}fp", f"Sensitivity at {rate} false alarms per 100 normals", "high"),
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
    figures = first.figure(), second.figure()
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


def _names(first: Path, second: Path) -> tuple[str, str]:
    """A name for each evaluation: its folder's, or the run's where that is called ``evaluation``."""
    said = [(p.parent.name if p.name == "evaluation" else p.name) for p in (first.resolve(), second.resolve())]
    return (said[0], said[1]) if said[0] != said[1] else (f"{said[0]} (first)", f"{said[1]} (second)")
