"""A BIDS tree: ``participants.tsv`` beside ``sub-XX[/ses-YY]/anat/*.nii.gz``, lesion masks perhaps in derivatives.

Source: the Brain Imaging Data Structure, "Modality agnostic files: participants file" and "Anatomy imaging data".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from secondread.errors import LabelError
from secondread.index.assemble import Item, Place, as_one_study
from secondread.index.draft import Draft
from secondread.index.sheet import Line, Sheet, read_sheet, split_cell

PARTICIPANTS = "participants.tsv"

LABEL_COLUMNS = (
    "label",
    "diagnosis",
    "dx",
    "group",
    "class",
    "condition",
    "category",
    "pathology",
    "disease",
    "status",
)
"""Columns of participants.tsv that may hold the label; the first that is there is taken."""

SITE_COLUMNS = ("site", "center", "centre", "scanner", "institution")

STRUCTURAL = frozenset({"anat", "dwi", "swi"})
"""Folders whose scans are taken; others (func, perf, fmap) hold time series or calibrations."""

_LESION = re.compile(r"lesion|tumou?r|label-L\b|_roi$|stroke", re.IGNORECASE)


def is_bids(folder: Path) -> bool:
    return (folder / PARTICIPANTS).is_file()


def read_bids(root: Path, items: Sequence[Item]) -> tuple[list[Draft], list[str]]:
    """Studies of a BIDS tree, one per subject and session, and notes that say which column gave the label.

    A participant without a scan becomes a draft with a reason. Masks are files named as masks beside the scans, and
    in derivatives those whose names say lesion.

    Raises LabelError: participants.tsv cannot be read, has no participant_id, or names one participant twice.
    """
    sheet = read_sheet(root / PARTICIPANTS)
    people = _people(sheet)
    label_column = next((column for column in LABEL_COLUMNS if column in sheet.columns), None)
    site_column = next((column for column in SITE_COLUMNS if column in sheet.columns), None)
    visits, left_out = _visits(items)
    drafts = []
    for (subject, session), found in visits.items():
        line = people.get(subject)
        place = Place(
            line.get(label_column) if line and label_column else None, split_cell(sheet, line) if line else None
        )
        name = f"{subject}/{session}" if session else subject
        site = line.get(site_column) if line and site_column else None
        for draft in as_one_study(found, name, place):
            drafts.append(replace(draft, group=subject, group_from="bids", site=site))
    scanned = {subject for subject, _ in visits}
    for subject in [subject for subject in people if subject not in scanned]:
        reason = f"{PARTICIPANTS} names it, and there is no scan below {subject}"
        drafts.append(
            Draft(subject, (), (), group=subject, group_from="bids", reason=reason, origin=sheet.at(people[subject]))
        )
    return drafts, _notes(root, sheet, label_column, sorted(scanned - set(people)), left_out)


def _people(sheet: Sheet) -> dict[str, Line]:
    if "participant_id" not in sheet.columns:
        raise LabelError(f"{sheet.path} has no column participant_id; it has {', '.join(sheet.columns)}")
    people: dict[str, Line] = {}
    for line in sheet.lines:
        cell = line.get("participant_id")
        if cell is None:
            continue
        subject = cell if cell.startswith("sub-") else f"sub-{cell}"
        if subject in people:
            raise LabelError(f"{sheet.path} names {subject} in lines {people[subject].number} and {line.number}")
        people[subject] = line
    return people


def _visits(items: Sequence[Item]) -> tuple[dict[tuple[str, str], list[Item]], int]:
    """Scans and lesion masks by (subject, session), and how many scans were of no structural kind."""
    visits: dict[tuple[str, str], list[Item]] = {}
    masks: dict[tuple[str, str], list[Item]] = {}
    left_out = 0
    for item in items:
        subject = next((part for part in item.folder if part.startswith("sub-")), None)
        if subject is None:
            continue
        visit = subject, next((part for part in item.folder if part.startswith("ses-")), "")
        if "derivatives" in item.folder:
            if item.role == "mask" and _LESION.search(item.stem):
                masks.setdefault(visit, []).append(item)
        elif not STRUCTURAL & set(item.folder) and len(item.folder) > 1 + bool(visit[1]):
            left_out += 1
        else:
            visits.setdefault(visit, []).append(item)
    for visit, found in masks.items():
        if visit in visits:
            visits[visit] += found
    return {visit: found for visit, found in visits.items() if any(i.role == "scan" for i in found)}, left_out


def _notes(root: Path, sheet: Sheet, column: str | None, strangers: Sequence[str], left_out: int) -> list[str]:
    notes = []
    if column is None:
        notes.append(
            f"{root.name}: {PARTICIPANTS} has none of the columns {', '.join(LABEL_COLUMNS)}, so there are no labels."
        )
    else:
        others = [other for other in LABEL_COLUMNS if other in sheet.columns and other != column]
        rest = f" ({', '.join(others)} could be meant too; --labels says otherwise)" if others else ""
        notes.append(f"{root.name}: labels are the column {column!r} of {PARTICIPANTS}{rest}.")
    if strangers:
        notes.append(f"{root.name}: {len(strangers)} subjects are not in {PARTICIPANTS} ({strangers[0]}): no label.")
    if left_out:
        notes.append(f"{root.name}: {left_out} scans outside {', '.join(sorted(STRUCTURAL))} were left aside.")
    return notes
