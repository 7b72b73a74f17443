"""What beginning with the starter model gained, against the same training begun with random weights."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Any

from secondread.errors import SecondreadError
from secondread.evaluate.predictions import PREDICTIONS, read_predictions
from secondread.index import Index
from secondread.index.words import counted

_OF_NO_MATTER = ("start", "reasons")
"""Entries of a plan that may differ between the two."""

DECIDES = ("accuracy", "presence_auc", "dice")
"""The figures that are told, as far as both runs have them."""


def gain_of_starter(run: Path, out: Path, plan: dict[str, Any]) -> str:
    """A sentence for the report; empty for a run that began cold.

    The twin is looked for among the folders beside ``run``: the same plan but for its start, the same studies and
    split, judged already.

    Args:
        run: the run that is judged.
        out: where its predictions have been written.
        plan: the run's.
    """
    if plan.get("start") != "starter":
        return ""
    twin = next((at for at in _beside(run) if _is_twin(at, run, plan)), None)
    if twin is None:
        cold = quote(f"{run.name}-cold")
        return (
            "Began with the starter model's weights. What that gained is not known: train the same with --cold into "
            f"{cold} beside this run, judge that (secondread evaluate {cold}), and then this one again."
        )
    from secondread.evaluate.paired import compare_predictions

    try:
        found = compare_predictions(
            read_predictions(twin / "evaluation"), read_predictions(out), (twin.name, run.resolve().name)
        )
    except SecondreadError:
        return f"Began with the starter model's weights; {twin.name}, which began cold, judged other studies."
    told = [
        f"{duel.title} {duel.difference.value:+.3f} ({duel.difference.low:+.3f} to {duel.difference.high:+.3f})"
        for duel in found.duels
        if duel.name in DECIDES
    ]
    return (
        f"Began with the starter model's weights. Against the same training begun cold ({twin.name}), on the same "
        f"{counted(found.studies, 'study')} of {counted(found.groups, 'group')}: "
        f"{'; '.join(told) or 'no figure in common'}."
    )


def _beside(run: Path) -> list[Path]:
    """Whatever lies in the folder that the run lies in; nothing where that may not be listed."""
    try:
        return [at for at in sorted(run.resolve().parent.iterdir()) if at != run.resolve()]
    except OSError:
        return []


def _is_twin(at: Path, run: Path, plan: dict[str, Any]) -> bool:
    import json

    try:
        if not (at / "evaluation" / PREDICTIONS).is_file():
            return False
        other = json.loads((at / "plan.json").read_text(encoding="utf-8"))
        matters = [{k: v for k, v in one.items() if k not in _OF_NO_MATTER} for one in (plan, other)]
        same = other["start"] == "cold" and matters[0] == matters[1]
        return (
            same and Index.load(at / "index.parquet").fingerprint() == Index.load(run / "index.parquet").fingerprint()
        )
    except (OSError, ValueError, KeyError, AttributeError, SecondreadError):
        return False  # no run of this release, or a folder that may not be entered
