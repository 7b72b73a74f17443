"""The starter model: made again from one command, and measured on real scans that it never saw.

    python benchmarks/starter.py make [--go-on] [--out FOLDER] [--work FOLDER] [--epochs N] [--samples N] [--threads N]
    python benchmarks/starter.py measure [--data FOLDER] [--model RUN]

``make`` trains on simulated scans alone (on a GPU where there is one), chooses thresholds on simulated scans, and
writes what ``read`` uses without a model; a training that was cut off goes on from its newest checkpoint in ``--work``.
With ``--go-on`` it begins with the weights of the starter that is packaged.

``measure`` reads, with the packaged starter or with a model that was trained on healthy heads, FLAIR alone, T1 with
contrast alone and T1 alone of each tumour patient (``tumour/*/*_flair.nii.gz``, ``*_t1ce.nii.gz``, ``*_t1.nii.gz``,
``*_seg.nii.gz``) and each healthy head (``healthy/*.nii.gz``; of a model's own run, those of its test split), and
prints one JSON object: Dice of the mask as ``read`` writes it, the AUC at which the highest evidence of an axial slice
tells slices with tumour within a patient, both beside voxels above 1.5 SD (largest component), and how many healthy
heads are called abnormal. 95 % intervals are bootstrapped over patients.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from secondread.console import Progress
from secondread.evaluate import metrics
from secondread.evaluate.baselines import brightest_region, head_of
from secondread.formats import read_mask, read_volume
from secondread.index import Index
from secondread.infer import Reader, load_model
from secondread.infer.starter import STARTER, Starter
from secondread.train.starter import Curriculum, make_starter
from secondread.volume import Study

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "volumes"
CONTRASTS = {"flair": "flair", "t1c": "t1ce", "t1": "t1"}
RESAMPLES = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb")
    make = verbs.add_parser("make")
    make.add_argument("--go-on", action="store_true")
    make.add_argument("--out", type=Path, default=STARTER)
    make.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "secondread-starter")
    make.add_argument("--epochs", type=int, default=Curriculum.epochs)
    make.add_argument("--samples", type=int, default=Curriculum.samples)
    make.add_argument("--threads", type=int, default=1, help="of the network; one more renders")
    measuring = verbs.add_parser("measure")
    measuring.add_argument("--data", type=Path, default=DATA)
    measuring.add_argument("--model", type=Path, help="a run instead of the starter")
    given = parser.parse_args()
    if given.verb == "make":
        torch.set_num_threads(given.threads)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        curriculum = Curriculum(given.epochs, given.samples, start="starter" if given.go_on else "cold")
        with Progress() as progress:
            make_starter(curriculum, given.out, given.work, device=device, report=progress)
        return
    data = DATA if given.verb is None else given.data
    if not data.is_dir():
        print(json.dumps({"skipped": f"{data} is not there: name a folder of real scans with --data"}))
        return
    print(json.dumps(measure(data, None if given.verb is None else given.model), indent=2))


def measure(data: Path, model: Path | None = None) -> dict[str, Any]:
    """All figures by name; of the starter, or of the run ``model``."""
    reader, began = Starter() if model is None else load_model(model), time.monotonic()
    out: dict[str, Any] = {}
    patients = sorted(path for path in (data / "tumour").glob("*") if path.is_dir())
    for contrast, suffix in CONTRASTS.items():
        rows = [_patient(reader, folder, contrast, suffix) for folder in patients]
        out[contrast] = {name: _interval([row[name] for row in rows]) for name in rows[0] if name != "decision"}
        out[contrast]["decisions"] = Counter(row["decision"] for row in rows)
    heads = sorted((data / "healthy").glob("*.nii.gz"))
    if model is not None:
        judged = {path.name for row in Index.load(model / "index.parquet").rows("test") for path in row.images}
        heads = [path for path in heads if path.name in judged]
    decisions = [_decision(reader, Study(path.name, {"t1": read_volume(path)})) for path in heads]
    alarms = sum(decision == "abnormal" for decision in decisions)
    out["healthy"] = {
        "heads": len(heads),
        "false_alarms": alarms / len(heads) if heads else None,
        "decisions": Counter(decisions),
    }
    out["seconds_a_volume"] = (time.monotonic() - began) / (len(heads) + len(CONTRASTS) * len(patients))
    return out


def _patient(reader: Starter | Reader, folder: Path, contrast: str, suffix: str) -> dict[str, Any]:
    volume = read_volume(next(folder.glob(f"*_{suffix}.nii.gz")))
    lesion = read_mask(next(folder.glob("*_seg.nii.gz")), volume.geometry).labels > 0
    reading = reader.read(Study(folder.name, {contrast: volume}))
    axis = volume.geometry.canonical_axes()[0][2]
    others = tuple(a for a in range(3) if a != axis)
    scan = volume.voxels.astype(np.float32)
    head = head_of(scan)
    bright = brightest_region(scan, head)
    highest = reading.evidence.sum(0).max(axis=others).astype(np.float64)
    presence = reading.findings.presence
    return {
        "dice": metrics.dice(reading.mask > 0, lesion),
        "slice_auc": metrics.slice_auc(highest, lesion, axis, head),
        "baseline_dice": metrics.dice(bright, lesion),
        "baseline_slice_auc": metrics.slice_auc(bright.sum(axis=others).astype(np.float64), lesion, axis, head),
        "decision": presence.decision if presence else "none",
    }


def _decision(reader: Starter | Reader, study: Study) -> str:
    presence = reader.read(study).findings.presence
    return presence.decision if presence else "none"


def _interval(values: list[float]) -> dict[str, Any]:
    """Mean and 95 % interval over patients, and each patient's."""
    every: NDArray[np.float64] = np.array(values)
    picks = np.random.default_rng(0).integers(len(every), size=(RESAMPLES, len(every)))
    low, high = np.percentile(every[picks].mean(1), [2.5, 97.5])
    return {"mean": every.mean(), "low": low, "high": high, "each": [round(v, 3) for v in values]}


if __name__ == "__main__":
    main()
