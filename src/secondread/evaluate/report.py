"""One self-contained HTML file from an evaluation: no script, no request, light and dark, screen and paper."""

from __future__ import annotations

import hashlib
import json
import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from secondread.evaluate import metrics, plots
from secondread.evaluate.audit import CONTROLS, Audit, class_of
from secondread.evaluate.checklist import SOURCES, checklist
from secondread.evaluate.figures import Line, class_arrays
from secondread.evaluate.modelcard import model_card
from secondread.evaluate.panels import panels
from secondread.evaluate.subgroups import Subgroup
from secondread.evaluate.words import BASELINES, beaten_words

if TYPE_CHECKING:
    from jinja2 import Environment

    from secondread.evaluate.evaluation import Evaluation
    from secondread.evaluate.gallery import Exhibit, Gallery
    from secondread.index import Row

SPLITS = ("train", "validation", "test")
PACKAGES = ("secondread", "torch", "monai", "numpy", "scikit-learn")
LISTED = 50
"""Unread and excluded studies beyond this many are counted and left to metrics.json and the index."""


def environment() -> Environment:
    """Templates of this room, with everything escaped that is not markup already."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("secondread.evaluate", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(result: Evaluation, gallery: Gallery, suspects: Sequence[Exhibit] = ()) -> str:
    """The page. ``suspects``: drawn studies whose labels are likely wrong."""
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            title=f"{result.run}: report",
            stamp=result.stamp,
            result=result,
            summary=result.summary,
            losing=[line for line in result.lines if line.beats_baseline is False],
            figures=[_figure_row(line) for line in result.lines],
            pictures=_pictures(result),
            sliced=_learned_from_slices(result.plan),
            panels=panels(result.judged, result.classes, result.lines, result.alarms),
            confusion=_confusion(result),
            audit=_audit_table(result.audit),
            shelves=gallery.shelves,
            suspects=suspects,
            data=_data(result.rows),
            subgroups=_subgroup_table(result.subgroups),
            card=model_card(result),
            items=checklist(result),
            sources=SOURCES,
            facts=_facts(result),
            plan=flat(result.plan),
            versions=versions(),
            listed=LISTED,
        )
    )


def versions() -> dict[str, str]:
    """What the figures were made with."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found | {"code": code_fingerprint()}


def _learned_from_slices(plan: dict[str, Any]) -> bool:
    """Whether a network of pictures learned from volumes."""
    network, recipe = plan.get("network") or {}, plan.get("recipe") or {}
    return network.get("dimensions") == 2 and recipe.get("spacing") is not None


def _pictures(result: Evaluation) -> dict[str, Markup]:
    """Inline SVG by name; those that the studies do not allow are absent."""
    out: dict[str, Markup] = {}
    if result.history:
        out["curves"] = plots.curves_svg(result.history, result.verdict)
    return out


def _figure_row(line: Line) -> dict[str, Any]:
    if line.baseline is None:
        trivial, what = "–", ""
    else:
        trivial = f"{line.baseline:.2f}" if isinstance(line.baseline, float) else line.baseline.words
        what = BASELINES.get(line.name, "chance")
    return {
        "name": line.name,
        "title": line.title,
        "value": f"{line.figure.value:.3f}",
        "interval": "–" if np.isnan(line.figure.low) else f"{line.figure.low:.3f} to {line.figure.high:.3f}",
        "count": f"{line.figure.n} / {line.figure.groups}",
        "baseline": trivial,
        "what": what,
        "beats": beaten_words(line),
        "note": line.figure.note or "",
    }


def _confusion(result: Evaluation) -> dict[str, Any] | None:
    """Rows of (class, cells of (count, share of the row), row total)."""
    names = result.classes.names
    truth, predicted, _ = class_arrays(result.judged, result.classes)
    if not len(truth):
        return None
    table = metrics.confusion(truth, predicted, len(names), metrics.once(len(truth)))[0]
    rows = [
        {
            "name": name,
            "cells": [(int(count), float(count / max(1, line.sum()))) for count in line],
            "total": int(line.sum()),
            "at": at,
        }
        for at, (name, line) in enumerate(zip(names, table, strict=True))
    ]
    return {"names": names, "rows": rows}


def _audit_table(audit: Audit) -> dict[str, Any]:
    """A line per class, a column per control; cells of (words, whether it separates, verdict)."""
    names = list(dict.fromkeys(line.label for line in audit.controls))
    cells = {(line.label, line.control): (line.figure.words, line.separates, line.verdict) for line in audit.controls}
    used = [control for control in CONTROLS if any(line.control == control for line in audit.controls)]
    return {
        "columns": [CONTROLS[control].removeprefix("a ") for control in used],
        "rows": [(name, [cells.get((name, control), ("–", False, "")) for control in used]) for name in names],
    }


def _subgroup_table(subgroups: Sequence[Subgroup]) -> dict[str, Any]:
    """Columns of figures, and a line per subgroup with the words of each."""
    columns = list(dict.fromkeys(name for line in subgroups for name in line.figures))
    rows = [
        {
            "line": line,
            "cells": [line.figures[name].words if name in line.figures else "–" for name in columns],
        }
        for line in subgroups
    ]
    return {"columns": columns, "rows": rows}


def _data(rows: Sequence[Row]) -> dict[str, Any]:
    """Counts of studies by class and split, and by what else is known of them."""
    counted = Counter((class_of(row) or "no label", row.split or "none") for row in rows)
    classes = sorted({name for name, _ in counted})
    splits = [s for s in (*SPLITS, "none") if any(split == s for _, split in counted)]
    table = [(name, [counted[(name, split)] for split in splits]) for name in classes]
    groups = [len({row.group for row in rows if (row.split or "none") == split}) for split in splits]
    return {
        "splits": splits,
        "classes": table,
        "groups": groups,
        "facts": [
            ("Sites", _counts(row.site or "unknown" for row in rows)),
            ("Contrasts", _counts(contrast for row in rows for contrast in row.contrasts)),
            ("Kinds of file", _counts(row.kind or "unknown" for row in rows)),
            ("With a mask", f"{sum(row.mask is not None for row in rows)} of {len(rows)}"),
            ("Groups found by", _counts(row.group_from for row in rows)),
        ],
    }


def _facts(result: Evaluation) -> list[tuple[str, str]]:
    model = result.model
    return [
        ("Model", f"{model['name']} {model['version']}"),
        ("Model SHA-256", str(model["sha256"])),
        ("Classes", ", ".join(result.classes.names) + (f" (normal: {model['normal']})" if model["normal"] else "")),
        ("Index fingerprint (SHA-256)", result.index_sha256),
        *([("Table about patients (SHA-256)", result.about_sha256)] if result.about_sha256 else []),
    ]


@cache
def code_fingerprint() -> str:
    """SHA-256 over this package's source files and their names: a version number may stay the same while code moves."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for file in sorted(path for path in root.rglob("*") if path.suffix in (".py", ".j2", ".html")):
        digest.update(f"{file.relative_to(root).as_posix()}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _counts(values: Iterable[str], most: int = 12) -> str:
    counter = Counter(values)
    told = [f"{name} {count}" for name, count in counter.most_common(most)]
    return ", ".join(told) + (f", and {len(counter) - most} more" if len(counter) > most else "")


def flat(plan: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested decisions as ``network.width``: value."""
    out: list[tuple[str, str]] = []
    for key, value in plan.items():
        if isinstance(value, dict):
            out += flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and all(isinstance(v, str | int | float) for v in value):
            out.append((prefix + key, "; ".join(map(str, value)) if key == "reasons" else ", ".join(map(str, value))))
        else:
            out.append((prefix + key, value if isinstance(value, str) else json.dumps(value)))
    return out
