"""The same plan with several optimizers, on the same packed cases, and one report of their curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from secondread.errors import DataError, DivergenceError, UsageError
from secondread.evaluate import compare_report
from secondread.index import Index
from secondread.train import OPTIMIZERS, Plan, pack_data, plan_for, replan, train


def compare_optimizers(
    index: Index,
    names: Sequence[str],
    overrides: Mapping[str, Any],
    out: Path,
    *,
    device: str = "cpu",
    progress: Callable[[str, int, int], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Train a run per optimizer in ``OUT/<name>`` and write ``OUT/report.html``. Finished runs are not trained again.

    Returns:
        the path of the report.

    Raises:
        UsageError, DataError: as :func:`check_names` and :func:`secondread.train.train`.
    """
    check_names(names)
    runs = {name: out / name for name in dict.fromkeys(names)}
    chosen = {name: {**overrides, "optimizer": name} for name in runs}
    base = plan_for(index, overrides, device=device)
    begun = {name for name, run in runs.items() if (run / "checkpoints").exists()}
    for name in begun:
        same = Plan.load(runs[name] / "plan.json") == replan(base, chosen[name])
        if not same or Index.load(runs[name] / "index.parquet").fingerprint() != index.fingerprint():
            raise UsageError(f"{runs[name]} holds a run of other data or another plan: name another folder with -o")
    packed = pack_data(index, out / "store", base, progress=progress)
    for name, run in runs.items():
        if (run / "model" / "manifest.json").exists():
            continue
        if say:
            say(f"training with {name}: {OPTIMIZERS[name].when}")
        data, settings = (None, None) if name in begun else (packed, chosen[name])
        try:
            train(data, run, overrides=settings, resume=name in begun, device=device, progress=progress)
        except DivergenceError as error:
            # An optimizer that diverges is a result of the comparison, not the end of it.
            if say:
                say(f"{name}: {error}")
    finished = {name: run for name, run in runs.items() if (run / "history.jsonl").exists()}
    if not finished:
        raise DataError("no optimizer came through its first epoch: take a lower learning rate")
    return compare_report(finished, out)


def check_names(names: Sequence[str]) -> None:
    """Raise UsageError for an unknown optimizer, or fewer than two."""
    if unknown := [name for name in names if name not in OPTIMIZERS]:
        raise UsageError(f"no optimizer called {', '.join(unknown)}; there are {', '.join(OPTIMIZERS)}")
    if len(set(names)) < 2:
        raise UsageError("name at least two optimizers to compare, with a comma between")
