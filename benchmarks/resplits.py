"""Whether *unsure* keeps its promise on a trained model: the studies it was tested on, divided again and again.

    python benchmarks/resplits.py RUN [--repeats 200] [--rates 0.05 0.1 0.2]

Each time half of the patients choose the thresholds and the other half are decided. Prints one JSON object a rate:

- ``outside``: of a new patient's studies of a class, the share whose conformal set lacks that class. The promise is an
  expectation of at most the rate, and not much less;
- ``wrong``: the share given the word of the other class, which is at most that (where the classes are far apart, no
  study is outside both thresholds, and it is less);
- ``unsure``: the share given no word;
- ``left_out``: repeats in which the half that chose held too few patients of the class for a promise;
- ``error``: two binomial standard errors of a share of ``rate`` among so many patients.

RUN has been judged (``secondread evaluate RUN``); the model has learned from none of these patients.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.evaluate.predictions import read_predictions
from secondread.train.calibrate import conformal_threshold, presence_band


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.05, 0.1, 0.2])
    given = parser.parse_args()
    if given.run is None:
        print(json.dumps({"skipped": "name a run that has been judged: resplits.py RUN"}))
        return
    table = read_predictions(given.run / "evaluation").drop_nulls(["presence", "abnormal"])
    present, abnormal = table["presence"].to_numpy(), table["abnormal"].to_numpy().astype(bool)
    for rate in given.rates:
        print(json.dumps(resplit(present, abnormal, np.asarray(table["group"]), rate, given.repeats)))


def resplit(
    present: NDArray[np.float64], abnormal: NDArray[np.bool_], groups: NDArray[Any], rate: float, repeats: int
) -> dict[str, Any]:
    """The shares that the page above tells, of each class, averaged over patients and repeats."""
    rng = np.random.default_rng(0)
    names = np.unique(groups)
    found: dict[str, dict[str, list[float]]] = {
        name: {"outside": [], "wrong": [], "unsure": []} for name in ("normal", "abnormal")
    }
    left_out = dict.fromkeys(found, 0)
    for _ in range(repeats):
        chosen = rng.permutation(names)[: len(names) // 2]
        fitted = np.isin(groups, chosen)
        low, high, promise = presence_band(present[fitted], abnormal[fitted], groups[fitted].tolist(), rate)
        unsure = (present >= low) & (present < high)
        for name, own, scores, wrong, made in (
            ("normal", ~abnormal, present, present >= high, promise.normal.made),
            ("abnormal", abnormal, -present, present < low, promise.abnormal.made),
        ):
            if not made:
                left_out[name] += 1
                continue
            limit = conformal_threshold(scores[fitted & own], groups[fitted & own].tolist(), rate)
            for patient in np.unique(groups[~fitted & own]):
                mine = own & (groups == patient)
                found[name]["outside"].append(float((scores[mine] > limit).mean()))
                found[name]["wrong"].append(float(wrong[mine].mean()))
                found[name]["unsure"].append(float(unsure[mine].mean()))
    told: dict[str, Any] = {"rate": rate, "repeats": repeats}
    for name, own in (("normal", ~abnormal), ("abnormal", abnormal)):
        patients = len(np.unique(groups[own]))
        if not found[name]["outside"]:
            told[name] = {"patients": patients, "skipped": f"half of them are too few for a rate of {rate:g}"}
            continue
        told[name] = {
            "patients": patients,
            **{what: round(float(np.mean(shares)), 4) for what, shares in found[name].items()},
            "left_out": left_out[name],
            "error": round(2 * float(np.sqrt(rate * (1 - rate) / patients)), 4),
        }
    return told


if __name__ == "__main__":
    main()
