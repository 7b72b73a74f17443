"""Where each side of a comparison comes from: which of the studies judged its run has seen, and what makes it again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from secondread.evaluate.run import leak_accepted
from secondread.index.split import find_leaks, units

if TYPE_CHECKING:
    from secondread.index import Index, Row


@dataclass(frozen=True)
class Origin:
    """One side of a comparison.

    Attributes:
        place: as it was given, with no more of the path than tells which it is.
        seen: studies that are tied to what the run learned from or was chosen by; None where nobody can tell which.
        accepted: the run learned from a split that leaks, and someone let it.
        metrics: what its evaluation wrote into metrics.json; empty where that is absent or damaged.
        plan, plan_sha256: of its training; empty where the run is not at hand.
        learned_sha256: fingerprint of the index that it was trained on.
    """

    place: str
    seen: frozenset[str] | None
    accepted: bool
    metrics: Mapping[str, Any] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)
    plan_sha256: str | None = None
    learned_sha256: str | None = None

    @property
    def facts(self) -> dict[str, str | None]:
        """What it takes to make this side again, by name."""
        model, data = self.metrics.get("model") or {}, self.metrics.get("data") or {}
        made = self.metrics.get("versions") or {}
        return {
            "Model": " ".join(str(model[key]) for key in ("name", "version") if key in model) or None,
            "Model, SHA-256": model.get("sha256"),
            "Index judged, SHA-256": data.get("index_sha256"),
            "Index trained on, SHA-256": self.learned_sha256,
            "Plan, SHA-256": self.plan_sha256,
            "Judged by": self.metrics.get("command"),
            "Judged with": ", ".join(f"{name} {made[name]}" for name in ("secondread", "code") if name in made) or None,
        }

    def to_json(self) -> dict[str, Any]:
        model, data = self.metrics.get("model") or {}, self.metrics.get("data") or {}
        return {
            "model": {key: model.get(key) for key in ("name", "version", "sha256")},
            "index_sha256": data.get("index_sha256"),
            "trained_on_index_sha256": self.learned_sha256,
            "plan_sha256": self.plan_sha256,
            "plan": dict(self.plan),
            "command": self.metrics.get("command"),
            "versions": self.metrics.get("versions"),
            "leak_accepted": self.accepted,
        }


def origin_of(run: Path, folder: Path, index: Index | None) -> Origin:
    """The side ``run`` of a comparison.

    Args:
        run: a run's folder, or an evaluation's; the run of one called ``evaluation`` is the folder that it lies in.
        folder: where its predictions and metrics.json lie.
        index: the data that it was judged on, where they were given; None takes what its own evaluation says.

    Raises as :meth:`secondread.index.Index.load`, where the run's index is damaged.
    """
    from secondread.index import Index

    run = run.resolve()
    home = run.parent if run.name == "evaluation" else run
    place = run.name if home == run else f"{home.name}/{run.name}"
    metrics = _read(folder / "metrics.json")[0]
    data = metrics.get("data") or {}
    plan, plan_sha256 = _read(home / "plan.json")
    if not (home / "index.parquet").is_file():
        return Origin(place, _untied(data), bool(metrics.get("stamp")), metrics, plan, plan_sha256)
    own = Index.load(home / "index.parquet")
    rows, learned = own.rows(None), own.fingerprint()
    judged = rows if index is None and data.get("index_sha256") == learned else None if index is None else index.rows()
    seen = _untied(data) if judged is None else tied(rows, judged)
    accepted = leak_accepted(own, len(find_leaks(rows))) or bool(metrics.get("stamp"))
    return Origin(place, seen, accepted, metrics, plan, plan_sha256, learned)


def tied(own: Sequence[Row], rows: Sequence[Row]) -> frozenset[str]:
    """Which of ``rows`` a run has seen, that was trained on ``own``: in one unit (of patients and near-duplicates) with
    a study of its training or validation set, byte for byte the same as one in such a unit, or of its patient."""
    mine, theirs = units(own).tolist(), units(rows).tolist()
    taught = {unit for row, unit in zip(own, mine, strict=True) if row.split in ("train", "validation")}
    known = [row for row, unit in zip(own, mine, strict=True) if unit in taught]
    prints = {row.sha256 for row in known if row.sha256}
    # A study that nothing is known of is a patient of its own, under a name that two data sets may share.
    patients = {row.group for row in known if row.group_from != "study"}
    touched = {
        unit
        for row, unit in zip(rows, theirs, strict=True)
        if row.sha256 in prints or (row.group_from != "study" and row.group in patients)
    }
    return frozenset(row.study for row, unit in zip(rows, theirs, strict=True) if unit in touched)


def command(origins: Sequence[Origin], out: Path, index: Index | None) -> str:
    """What makes a comparison again."""
    data = "" if index is None else " --data DATA"
    return f"secondread evaluate {' '.join(quote(o.place) for o in origins)}{data} -o {quote(out.resolve().name)}"


def _untied(data: Mapping[str, Any]) -> frozenset[str] | None:
    """Nothing seen where the evaluation itself found no leak; else nobody can tell which studies."""
    return frozenset() if data.get("leaks") == [] else None


def _read(path: Path) -> tuple[Mapping[str, Any], str | None]:
    """A JSON object and the SHA-256 of its file; nothing where it is absent or damaged."""
    try:
        content = path.read_bytes()
        found = json.loads(content)
    except (OSError, ValueError):
        return {}, None
    return (found, hashlib.sha256(content).hexdigest()) if isinstance(found, dict) else ({}, None)
