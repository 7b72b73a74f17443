"""Cross-validation: every study is judged once, by a model that has not learned from its patient.

    python benchmarks/folds.py DATA [--folds 5] [--minutes 20] [--only 1 2] [--cold] [--out FOLDER]

Groups tied by near-duplicates move as one, and classes are spread evenly over the folds. A tenth of the studies, dealt
as ``secondread index`` deals them, chooses the thresholds of a fold, and its epoch where they are of patients enough.
Each fold is a run of ``secondread train`` with its own report; a call goes on where another ended. Prints one JSON
object: the figures over all studies judged so far, with 95 % intervals over groups, and each fold's own.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.model_selection import StratifiedGroupKFold

from secondread.console import Progress, say
from secondread.evaluate import evaluate, metrics
from secondread.evaluate.intervals import Figure
from secondread.evaluate.lines import Measure, auc_of, mean_of
from secondread.evaluate.predictions import read_predictions
from secondread.index import Index, Row, build_index
from secondread.index.split import freeze, units
from secondread.train import train

HELD = 0.1
"""Share of the studies that is for validation."""

OWN = ("accuracy", "dice", "baseline_dice", "slice_presence_auc", "baseline_slice_presence_auc", "peak_in_mask")
"""Figures told of each fold, as far as its report has them."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--only", type=int, nargs="+", help="of the folds, from 1")
    parser.add_argument("--cold", action="store_true", help="begin with random weights")
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "secondread-folds-dealt")
    given = parser.parse_args()
    if given.data is None:
        print(json.dumps({"skipped": "name the data to learn from: folds.py DATA"}))
        return
    overrides = {"minutes": given.minutes} | ({"start": "cold"} if given.cold else {})
    chosen = given.only or range(1, given.folds + 1)
    tables, own = [], {}
    with Progress() as progress:
        rows = build_index([given.data], progress=progress).rows()
        for number, index in enumerate(folds(rows, given.folds), 1):
            run = given.out / f"fold-{number}"
            if number not in chosen:
                continue
            found = judged(index, run, overrides, progress)
            tables.append(read_predictions(run / "evaluation"))
            own[number] = {name: round(found[name]["value"], 4) for name in OWN if name in found}
    print(json.dumps({"minutes": given.minutes, "all": pooled(tables), "folds": own}, indent=2))


def judged(index: Index, run: Path, overrides: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """The figures by name of a run on ``index``: trained and judged now, as far as it is not yet."""
    metrics_file = run / "evaluation" / "metrics.json"
    if not metrics_file.exists():
        say(f"{run.name}: {len(index.rows('train'))} to learn from, {len(index.rows('test'))} to judge")
        if (run / "checkpoints" / "latest.json").exists():  # finished ones come to their end at once
            train(None, run, resume=True, progress=progress, say=say)
        else:
            train(index, run, overrides=overrides, progress=progress, say=say)
        evaluate(run, run / "evaluation", progress=progress)
    found: dict[str, Any] = json.loads(metrics_file.read_text(encoding="utf-8"))["metrics"]
    return found


def folds(rows: Sequence[Row], count: int) -> Iterator[Index]:
    """An index for each fold; its test studies are those of no other."""
    labels, unit = np.array([row.label or "" for row in rows]), units(rows)
    for _, judge in StratifiedGroupKFold(count, shuffle=True, random_state=0).split(labels, labels, unit):
        judged_here = set(judge.tolist())
        tested = [replace(row, split="test" if n in judged_here else None) for n, row in enumerate(rows)]
        sides, _ = freeze(tested, seed=0, fractions=(1 - HELD, HELD, 0.0))
        yield Index.of([replace(row, split=side) for row, side in zip(rows, sides, strict=True)])


def pooled(tables: Sequence[pl.DataFrame]) -> dict[str, Any]:
    """Figures over the studies of all folds."""
    table = pl.concat(tables, how="diagonal")
    out: dict[str, Figure | None] = {}
    named = table.filter(pl.col("truth").is_not_null() & pl.col("predicted").is_not_null())
    if named.height:
        right = (named["truth"] == named["predicted"]).to_numpy()
        groups = named["group"].to_list()
        out["accuracy"] = mean_of(right, groups).figure
        confidence = named["confidence"].to_numpy()
        out["ece"] = Measure(lambda w: metrics.reliability(confidence, right, w).ece, groups, edge=None).figure
        out["accuracy_of_kind"] = _accuracy_of_kind(named)
    known = table.filter(pl.col("abnormal").is_not_null() & pl.col("presence").is_not_null())
    if known["abnormal"].n_unique() > 1:
        scores = known["presence"].to_numpy()
        out["presence_auc"] = auc_of(known["abnormal"].to_numpy(), scores, known["group"].to_list()).figure
    for name in ("dice", "peak_in_mask"):
        some = table.filter(pl.col(name).is_not_null())
        if some.height:
            out[name] = mean_of(some[name].to_numpy(), some["group"].to_list()).figure
    return {name: figure.to_json() for name, figure in out.items() if figure is not None}


def _accuracy_of_kind(named: pl.DataFrame) -> Figure | None:
    """Of the abnormal ones: whether the most probable category is the true one, whatever was said of presence."""
    kinds = [name.removeprefix("p_") for name in named.columns if name.startswith("p_")]
    abnormal = named.filter(pl.col("truth").is_in(kinds))
    if not abnormal.height:
        return None
    best = np.array(kinds)[abnormal.select(f"p_{kind}" for kind in kinds).to_numpy().argmax(axis=1)]
    return mean_of(best == abnormal["truth"].to_numpy(), abnormal["group"].to_list()).figure


if __name__ == "__main__":
    main()
