"""The learning curve: how much data the starter model saves, at shares of what there is to learn from.

    python benchmarks/curve.py DATA [--shares 0.05 0.2 1] [--minutes 4] [--seed 0] [--out FOLDER]

The studies are those of the first fold of ``benchmarks/folds.py``. Of its training split a share is drawn at random
from each class, for a run that begins with the starter model's weights and one that begins cold, each at the learning
rate that it comes with; an epoch has as many samples whatever the share. Validation, which chooses the epoch, and the
test split are the same for all. A call goes on where another ended. Prints one JSON object: each run's figures with
95 % intervals over groups, and by how much the starter is ahead on the same test studies.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from folds import folds, judged

from secondread.console import Progress
from secondread.evaluate.paired import compare_predictions
from secondread.evaluate.predictions import read_predictions
from secondread.index import Index, Row, build_index
from secondread.train.plan import STARTS, Start

FOLDS = 5
TOLD = ("accuracy", "presence_auc", "dice", "peak_in_mask")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.05, 0.2, 1.0])
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn")
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "secondread-curve")
    given = parser.parse_args()
    if given.data is None:
        print(json.dumps({"skipped": "name the data to learn from: curve.py DATA"}))
        return
    out: dict[str, Any] = {"minutes": given.minutes}
    with Progress() as progress:
        index = next(folds(build_index([given.data], progress=progress).rows(), FOLDS))
        for share in given.shares:
            part = drawn(index.rows(), share, given.seed)
            runs = {start: given.out / f"{share:g}-{start}" for start in STARTS}
            same = {"minutes": given.minutes, "samples": len(index.rows("train"))}
            figures = {start: judged(part, run, same | {"start": start}, progress) for start, run in runs.items()}
            out[f"{share:g}"] = {"studies": len(part.rows("train"))} | told(runs, figures)
    print(json.dumps(out, indent=2))


def drawn(rows: Sequence[Row], share: float, seed: int) -> Index:
    """The index of ``rows`` with a share of each class of the training split, one study at least."""
    rng = np.random.default_rng(seed)
    classes: dict[str | None, list[Row]] = defaultdict(list)
    for row in rows:
        if row.split == "train":
            classes[row.label].append(row)
    kept = {
        own[n].study
        for own in classes.values()
        for n in rng.permutation(len(own))[: max(1, round(share * len(own)))].tolist()
    }
    return Index.of([row for row in rows if row.split != "train" or row.study in kept])


def told(runs: Mapping[Start, Path], figures: Mapping[Start, Mapping[str, Any]]) -> dict[str, Any]:
    """Figures of the two runs, and the differences."""
    out: dict[str, Any] = {
        start: {name: [round(found[name][key], 3) for key in ("value", "low", "high")] for name in TOLD}
        for start, found in figures.items()
    }
    cold, starter = (read_predictions(runs[start] / "evaluation") for start in ("cold", "starter"))
    duels = compare_predictions(cold, starter, ("cold", "starter")).duels
    out["gain"] = {
        duel.name: [round(v, 3) for v in (duel.difference.value, duel.difference.low, duel.difference.high)]
        for duel in duels
        if duel.name in TOLD
    }
    return out


if __name__ == "__main__":
    main()
