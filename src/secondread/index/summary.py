"""An index in words and columns, for a person."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from secondread.discreet import HIDDEN, printable
from secondread.index.table import SPLITS, Index, Row
from secondread.index.words import counted

MAX_LINES = 12
"""So many values of one column, or excluded studies, are shown."""


def summarise(index: Index) -> str:
    """Counts by label and split (studies, and patients in brackets), by site and contrast; ranges of size and
    spacing; copies; what was excluded and why; notes. Plain text."""
    rows = index.rows()
    excluded = [row for row in index.all_rows() if row.excluded]
    parts = [
        f"{studies_of_patients(rows)}, {len(excluded):,} excluded",
        _by_label(rows),
        _facts(rows),
        _excluded(excluded),
        "\n".join(f"- {printable(note)}" for note in index.notes),
    ]
    return "\n\n".join(part for part in parts if part)


def studies_of_patients(rows: Sequence[Row]) -> str:
    """In words: 12 studies of 1 patient."""
    patients = len({row.group for row in rows})
    return f"{counted(len(rows), 'study', 'studies')} of {counted(patients, 'patient', 'patients')}"


def _by_label(rows: Sequence[Row]) -> str:
    labels = sorted({row.label for row in rows}, key=lambda label: (label is None, label or ""))
    lines = [["label", "normal", *SPLITS, "all", "with mask"]]
    for label in labels:
        mine = [row for row in rows if row.label == label]
        normal = {True: "yes", False: "no", None: "-"}[mine[0].normal]
        sides = [_count(row for row in mine if row.split == split) for split in SPLITS]
        masks = f"{sum(row.mask is not None for row in mine):,}"
        lines.append(["(none)" if label is None else label, normal, *sides, _count(mine), masks])
    if len(labels) > 1:
        sides = [_count(row for row in rows if row.split == split) for split in SPLITS]
        lines.append(["all", "", *sides, _count(rows), f"{sum(row.mask is not None for row in rows):,}"])
    return "Studies (patients)\n" + _columns(lines)


def _count(rows: Iterable[Row]) -> str:
    groups = Counter(row.group for row in rows)
    return f"{groups.total():,} ({len(groups):,})"


def _facts(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    lines = [
        ["kind", _values(rows, lambda row: [row.kind or "?"])],
        ["contrast", _values(rows, lambda row: row.contrasts)],
        ["channels", _values(rows, lambda row: [str(row.channels)])],
        ["site", _values(rows, lambda row: [row.site or "unknown"])],
        ["patient from", _values(rows, lambda row: [row.group_from])],
    ]
    for name, some in (
        ("picture", [r for r in rows if r.is_picture]),
        ("volume", [r for r in rows if not r.is_picture]),
    ):
        if some:
            lines.append([f"{name} size", _range([row.shape for row in some], "{:.0f}")])
    spacings = [row.spacing for row in rows if row.spacing is not None]
    if spacings:
        lines.append(["spacing, mm", _range(spacings, "{:.3g}")])
    lines.append(["bytes", f"{sum(row.bytes for row in rows) / 1e6:,.1f} MB"])
    return _columns(lines)


def _values(rows: Sequence[Row], of: Callable[[Row], Iterable[str]]) -> str:
    counts = Counter(value for row in rows for value in of(row))
    shown = ", ".join(f"{value} {count:,}" for value, count in counts.most_common(MAX_LINES))
    return shown + (f", and {len(counts) - MAX_LINES:,} more" if len(counts) > MAX_LINES else "")


def _range(values: Sequence[Sequence[float]], form: str) -> str:
    """The least and the most along each axis: ``240 to 512 x 240 x 90 to 155``."""
    out = []
    for axis in zip(*values, strict=True):
        low, high = form.format(min(axis)), form.format(max(axis))
        out.append(low if low == high else f"{low} to {high}")
    return " x ".join(out)


def _excluded(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    lines = [f"Excluded ({len(rows):,})", *(f"  {line}" for line in excluded_lines(rows))]
    if any(HIDDEN in row.study and row.images for row in rows):
        lines.append("  The index's column images has the files that hidden names stand for.")
    return "\n".join(lines)


def excluded_lines(rows: Sequence[Row]) -> list[str]:
    """For each reason why some of ``rows`` are excluded, the most frequent first: a study by name, how many more, and
    the reason. None for those that are not."""
    reasons: dict[str, list[Row]] = {}
    for row in rows:
        if row.excluded:
            reasons.setdefault(_common(row), []).append(row)
    lines = []
    for reason, mine in sorted(reasons.items(), key=lambda item: -len(item[1]))[:MAX_LINES]:
        others = f" and {len(mine) - 1:,} more" if len(mine) > 1 else ""
        own = mine[0].reason or "" if len(mine) == 1 else reason
        named = own.startswith(f"{mine[0].study}: ") and len(mine) == 1
        lines.append(printable(own if named else f"{mine[0].study}{others}: {own}"))
    if len(reasons) > MAX_LINES:
        lines.append(f"and {len(reasons) - MAX_LINES:,} other reasons")
    return lines


def _common(row: Row) -> str:
    """The reason without the names of the study and its own files, so that equal faults count together."""
    reason = row.reason or ""
    names = {path.name for path in (*row.images, *([row.mask] if row.mask else []))}
    for name in sorted({row.study, *names} - {""}, key=len, reverse=True):
        reason = re.sub(rf"(the (?:image|mask) )?(?<!\w){re.escape(name)}(?!\w)", _nameless, reason)
    return reason


def _nameless(found: re.Match[str]) -> str:
    return (found[1] or "the file ").rstrip()


def _columns(lines: Sequence[Sequence[str]]) -> str:
    lines = [list(map(printable, line)) for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
