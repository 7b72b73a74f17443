"""Several runs side by side: validation curves in one picture, best epoch and verdict each."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from secondread.errors import SecondreadError, UsageError, writing
from secondread.evaluate import plots
from secondread.evaluate.curves import Epoch, Verdict, kept, read_history, series, verdict, watched
from secondread.evaluate.intervals import wilson
from secondread.files import write_whole

PLAN_KEYS = ("optimizer", "learning_rate", "loss", "batch", "epochs", "minutes", "seed")
METRICS = ("evaluation/metrics.json", "metrics.json")
"""Where a run's own evaluation lies, if it has one."""


@dataclass(frozen=True)
class RunLine:
    """One run of the table. The best epoch is the one kept, else that of the lowest validation loss; accuracy and loss
    are those of that epoch."""

    name: str
    epochs: int
    seconds: float | None
    best_epoch: int | None
    accuracy: float | None
    accuracy_name: str | None
    loss: float | None
    verdict: Verdict
    plan: dict[str, Any]
    test: dict[str, Any] | None
    groups: int | None

    def to_json(self) -> dict[str, Any]:
        return {
            "epochs": self.epochs,
            "seconds": self.seconds,
            "best_epoch": self.best_epoch,
            f"best_validation_{self.accuracy_name or 'accuracy'}": self.accuracy,
            "best_validation_loss": self.loss,
            "verdict": self.verdict.to_json(),
            "plan": self.plan,
            "test": self.test,
        }


def compare_report(runs: dict[str, Path], out: Path) -> Path:
    """Compare runs of one data set.

    Args:
        runs: run folders by the name to show.
        out: folder for ``compare.json`` and ``report.html``; made where it is not there.

    Returns:
        The path of ``report.html``.

    Raises:
        UsageError: no runs, or a folder that is no run. DataError: a history that is damaged.
        ResourceError: no space or permission for ``out``.
    """
    from secondread.evaluate.report import environment, versions

    if not runs:
        raise UsageError("there is no run to compare")
    histories = {name: read_history(run) for name, run in runs.items()}
    lines = [_line(name, run, histories[name]) for name, run in runs.items()]
    first = _first(lines)
    sentence = _standing(lines, first)
    summary = {
        "runs": {line.name: line.to_json() for line in lines},
        "first": None if first is None else first.name,
        "summary": sentence,
        "versions": versions(),
    }
    page = (
        environment()
        .get_template("compare.html.j2")
        .render(
            title="Comparison of runs",
            lines=lines,
            picture=plots.compare_svg(histories),
            accuracy=_accuracy_title(lines),
            sentence=sentence,
            keys=[key for key in PLAN_KEYS if any(line.plan.get(key) is not None for line in lines)],
            versions=versions(),
        )
    )
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / "compare.json", (json.dumps(summary, indent=2, ensure_ascii=False) + "\n").encode())
        write_whole(out / "report.html", page.encode())
    return out / "report.html"


def _line(name: str, run: Path, history: Sequence[Epoch]) -> RunLine:
    plan = _json(run / "plan.json")
    said = verdict(history, plan)
    position = kept(history)
    losses = series(history, "validation", "loss")
    if position is None and np.isfinite(losses).any():
        position = int(np.nanargmin(losses))
    shown = watched(history)
    value = series(history, "validation", shown)[position] if shown and position is not None else math.nan
    seconds = [float(epoch["seconds"]) for epoch in history if epoch.get("seconds") is not None]
    return RunLine(
        name=name,
        epochs=len(history),
        seconds=max(seconds) if seconds else None,
        best_epoch=None if position is None else int(history[position]["epoch"]),
        accuracy=None if math.isnan(value) else float(value),
        accuracy_name=shown,
        loss=None if position is None or math.isnan(losses[position]) else float(losses[position]),
        verdict=said,
        plan={key: value for key, value in plan.items() if key in PLAN_KEYS},
        test=next((m for place in METRICS if (m := _json(run / place).get("metrics"))), None),
        groups=_validation_groups(run),
    )


def _first(lines: Sequence[RunLine]) -> RunLine | None:
    """The run of highest accuracy (or what is watched), at equal values of lowest loss; by loss alone without one."""
    with_accuracy = [line for line in lines if line.accuracy is not None]
    if with_accuracy:
        return max(with_accuracy, key=lambda line: (line.accuracy or 0.0, -(line.loss or math.inf)))
    with_loss = [line for line in lines if line.loss is not None]
    return min(with_loss, key=lambda line: line.loss or math.inf) if with_loss else None


def _standing(lines: Sequence[RunLine], first: RunLine | None) -> str:
    """Who leads, and whether the lead is more than chance: each run was trained once and judged on few groups."""
    if first is None:
        return "No run has a validation figure yet."
    if first.accuracy is None:
        return f"{first.name} reached the lowest validation loss, {first.loss:.3g}. One run each: seeds alone differ."
    title = plots.TITLES[first.accuracy_name or "accuracy"].lower()
    lead = f"{first.name} reached the highest validation {title}, {first.accuracy:.3f} in epoch {first.best_epoch}."
    if first.groups is None or first.accuracy_name != "accuracy":
        return f"{lead} One run each: another seed may change the order."
    low, high = wilson(first.accuracy, first.groups)
    level = [line.name for line in lines if line is not first and line.accuracy is not None and line.accuracy >= low]
    if not level:
        return f"{lead} No other comes within what chance allows ({low:.3f} to {high:.3f} on {first.groups} groups)."
    return (
        f"{lead} On {first.groups} validation groups chance allows {low:.3f} to {high:.3f}, so "
        f"{', '.join(level)} cannot be told from it; another seed may change the order."
    )


def _accuracy_title(lines: Sequence[RunLine]) -> str:
    names = {line.accuracy_name for line in lines if line.accuracy_name}
    return plots.TITLES[names.pop()] if len(names) == 1 else "Accuracy"


def _validation_groups(run: Path) -> int | None:
    from secondread.index import Index

    try:
        return len({row.group for row in Index.load(run / "index.parquet").rows("validation")}) or None
    except SecondreadError:
        return None


def _json(path: Path) -> Mapping[str, Any]:
    """What a JSON file holds; empty where it is absent or damaged: a comparison does not hang on it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
