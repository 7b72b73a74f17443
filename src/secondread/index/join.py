"""Labels from a table of their own, joined on studies that were found without it."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

from secondread.errors import LabelError
from secondread.index.draft import Draft
from secondread.index.names import squeeze, stem_of
from secondread.index.persons import without_persons
from secondread.index.sheet import LABEL_COLUMNS, Line, Sheet, check_columns, read_sheet, split_cell, why_missing
from secondread.index.words import counted

KEYS = ("study", "image", "group")
"""The columns that say what a line is about, the most exact first; the first that the table has is the key."""

Lookup = dict[str, list[int]]


def join_labels(drafts: Sequence[Draft], path: Path) -> tuple[list[Draft], list[str]]:
    """Give drafts the label, mask, group, site and split of the lines about them; lines win over folders.

    A line is about the study of that name (its whole name, the last part of it, its file's name, or its patient), the
    image at that path or of that file name, or all studies of that group.

    Raises:
        LabelError: no key column, an unknown column, a line that could be about several studies, no line about any
            study, or two lines that disagree about one.
    """
    sheet = read_sheet(path)
    check_columns(sheet, LABEL_COLUMNS, KEYS)
    key = next(column for column in KEYS if column in sheet.columns)
    lookups = _lookups(drafts, key)
    about: dict[int, Line] = {}
    strangers: list[Line] = []
    out = list(drafts)
    # Errors are said aloud; labels are no names of persons.
    spoken = partial(without_persons, told={squeeze(draft.label) for draft in drafts if draft.label})
    for line in sheet.lines:
        found = _find(sheet, line, key, lookups, drafts, spoken)
        if not found:
            strangers.append(line)
        for n in found:
            other = about.setdefault(n, line)
            if any(other.cells[c] != line.cells[c] for c in sheet.columns if c not in KEYS):
                study = spoken(drafts[n].study)
                raise LabelError(
                    f"{path}: lines {other.number} and {line.number} disagree about study {study!r}: keep one"
                )
            out[n] = _apply(drafts[n], sheet, line, key)
    if not about:
        names = ", ".join(map(spoken, sorted({(line.get(key) or "") for line in sheet.lines})[:3]))
        known = ", ".join(spoken(draft.study) for draft in drafts[:3])
        raise LabelError(f"no line of {path} is about any study: its column {key!r} says {names}; studies are {known}")
    return out, _notes(sheet, key, strangers, drafts, out)


def _lookups(drafts: Sequence[Draft], key: str) -> list[Lookup]:
    """Ways to find a draft, the most exact first."""
    makers = {
        "study": (
            lambda d: [d.study],
            lambda d: [PurePosixPath(d.study).name],
            lambda d: [stem_of(image.name) for image in d.images],
            lambda d: [d.group] if d.group else [],
        ),
        "image": (
            lambda d: [os.path.realpath(image) for image in d.images],
            lambda d: [image.name for image in d.images],
        ),
        "group": (lambda d: [d.group or d.study],),
    }[key]
    out = []
    for maker in makers:
        lookup: Lookup = defaultdict(list)
        for n, draft in enumerate(drafts):
            for name in dict.fromkeys(maker(draft)):
                lookup[name].append(n)
        out.append(dict(lookup))
    return out


def _find(
    sheet: Sheet,
    line: Line,
    key: str,
    lookups: Sequence[Lookup],
    drafts: Sequence[Draft],
    spoken: Callable[[str], str],
) -> list[int]:
    cell = line.get(key)
    if cell is None:
        return []
    names = [cell] * len(lookups)
    if key == "image":
        names = [os.path.realpath(sheet.path.parent / cell), Path(cell).name]
    for name, lookup in zip(names, lookups, strict=True):
        found = lookup.get(name, [])
        groups = {drafts[n].group or drafts[n].study for n in found}
        if len(found) > 1 and key != "group" and len(groups) > 1:
            one, other = (spoken(drafts[n].study) for n in found[:2])
            raise LabelError(f"{sheet.at(line)}: {spoken(cell)!r} could be {one!r} or {other!r}: write the whole name")
        if found:
            return found
    return []


def _apply(draft: Draft, sheet: Sheet, line: Line, key: str) -> Draft:
    mask = line.get("mask")
    group = line.get("group") if key != "group" else None
    changed = replace(
        draft,
        label=line.get("label") or draft.label,
        label_from_folder=draft.label_from_folder and not line.get("label"),
        site=line.get("site") or draft.site,
        split=split_cell(sheet, line) or draft.split,
        group=group or draft.group,
        group_from="csv" if group else draft.group_from,
    )
    if mask is None:
        return changed
    place = sheet.path.parent / mask
    if reason := why_missing("mask", place):
        return replace(changed, reason=draft.reason or f"{reason} ({sheet.at(line)})")
    return replace(changed, mask=place)


def _notes(
    sheet: Sheet, key: str, strangers: Sequence[Line], before: Sequence[Draft], after: Sequence[Draft]
) -> list[str]:
    notes = [f"Labels were joined from {sheet.path.name} by its column {key!r}."]
    if strangers:
        # Not what they say: it may be somebody's name.
        named = ", ".join(f"{line.number}" for line in strangers[:3]) + ", ..." * (len(strangers) > 3)
        lines = counted(len(strangers), f"line of {sheet.path.name} is", f"lines of {sheet.path.name} are")
        notes.append(f"{lines} about no study that was found ({'line' if len(strangers) == 1 else 'lines'} {named}).")
    changed = [a for b, a in zip(before, after, strict=True) if b.label and b.label != a.label]
    if changed:
        notes.append(f"{sheet.path.name} renamed {counted(len(changed), 'label', 'labels')} that folders gave.")
    return notes
