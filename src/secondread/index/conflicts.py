"""Near-duplicates that carry different labels: one of the two is wrong, or they are not what they seem."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from secondread.files import write_whole
from secondread.index.table import Row


@dataclass(frozen=True)
class Conflict:
    """Two studies of one cluster of near-duplicates whose labels differ, and which sides of the split they are on."""

    study: str
    label: str
    split: str | None
    other: str
    other_label: str
    other_split: str | None


def label_conflicts(rows: Sequence[Row]) -> list[Conflict]:
    """Of every cluster with several labels: each study, with the first that is labelled otherwise, in order of rows.
    Studies without a label, and excluded ones, are in none."""
    clusters: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        if row.label is not None and not row.excluded:
            clusters[row.cluster].append(row)
    found: dict[frozenset[str], Conflict] = {}
    for members in clusters.values():
        for row in members:
            other = next((o for o in members if o.label != row.label), None)
            if other is not None and row.label is not None and other.label is not None:
                pair = Conflict(row.study, row.label, row.split, other.study, other.label, other.split)
                found.setdefault(frozenset((row.study, other.study)), pair)
    return list(found.values())


def write_conflicts(rows: Sequence[Row], beside: Path) -> Path | None:
    """Write ``NAME.conflicts.csv`` beside the index ``NAME.parquet`` and return its path; None where there is none,
    and one of an earlier call is removed. Raises ResourceError."""
    path = beside.with_name(f"{beside.name.removesuffix('.parquet')}.conflicts.csv")
    found = label_conflicts(rows)
    if not found:
        path.unlink(missing_ok=True)
        return None
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow([field.name for field in fields(Conflict)])
    lines.writerows(astuple(conflict) for conflict in found)
    write_whole(path, text.getvalue().encode())
    return path
