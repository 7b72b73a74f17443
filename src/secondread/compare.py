"""The same plan with several optimizers, on the same packed cases, and one report of their curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondread.errors import DataError, UsageError
from secondread.evaluate import compare_report
from secondread.train import OPTIMIZERS, Plan, pack_data, replan, train
from secondread.train.plan import GRID_OVERRIDES

if TYPE_CHECKING:
    from secondread.index import Index


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
    packed = pack_data(index, out / "store", overrides, device=device, progress=progress)
    shared = {name: value for name, value in overrides.items() if name not in GRID_OVERRIDES}
    runs = {name: out / name for name in dict.fromkeys(names)}
    for name, run in runs.items():
        chosen = {**shared, "optimizer": name}
        started = (run / "plan.json").exists()
        if started and Plan.load(run / "plan.json") != replan(packed.plan, chosen):
            raise UsageError(f"{run} holds a run of another plan: name another folder with -o")
        if (run / "model" / "manifest.json").exists():
            continue
        if say:
            say(f"training with {name}: {OPTIMIZERS[name].when}")
        data, settings = (None, None) if started else (packed, chosen)
        try:
            train(data, run, overrides=settings, resume=started, device=device, progress=progress)
        except DataError as error:
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
