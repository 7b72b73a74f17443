"""Folders taken for classes that may be patients'. A class folder's name is a label, and labels stand everywhere."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from secondread.discreet import identifying
from secondread.errors import LabelError
from secondread.index.draft import Draft
from secondread.index.inspect import tells_patient
from secondread.index.persons import is_full_name, may_name_patient
from secondread.index.tree import MIN_PATIENT_FOLDERS

MANY = 20
"""Nobody sorts scans into more classes than this, each called by two words."""

MAY_BE_PATIENTS = (
    "Folders are taken for classes that may be called after patients. If they are, their names stand as labels in "
    "every report: give the labels in a table then (--labels TABLE, with the columns study and label)."
)


def without_patients(drafts: Sequence[Draft], table: Collection[str] | None) -> tuple[list[Draft], list[str]]:
    """Drafts no label of which is a folder called after a patient; and notes.

    Folders are, where a DICOM header proves it of one, where most of their names hold a date or a number, or where most
    of more than MANY may be a first and a last name. Where that is so of MIN_PATIENT_FOLDERS or more, they may be; but
    two words of any language look so, and it is said and refused to nobody. ``table``: the labels that a table gives,
    None without one. With fewer labels than there are folders it renames no classes: then no folder gives a label, and
    those that may be called after persons tell who the patient is.

    Raises LabelError: there are such folders for sure, and no table.
    """
    folders = {draft.label for draft in drafts if draft.label and draft.label_from_folder}
    suspects = {name for name in folders if identifying(name) or may_name_patient(name)}
    # Of "Glioma, low grade" the comma proves nothing.
    dated = {name for name in suspects if identifying(name.replace(",", " "))}
    proven = {
        draft.label
        for draft in drafts
        if draft.label_from_folder
        and draft.label in suspects
        and any(tells_patient(image, draft.label) for image in draft.images)
    }
    full = dated | {name for name in suspects if is_full_name(name)}
    likely = len(folders) >= MIN_PATIENT_FOLDERS and 2 * len(full) > len(folders)
    sure = bool(proven) or 2 * len(dated) > len(folders) or (likely and len(folders) > MANY)
    if sure and table is None:
        how = "a DICOM header" if proven else "their names"
        raise LabelError(
            f"{len(proven or full)} of {len(folders)} folders would be classes and are called after patients by {how}; "
            f"as labels, those names would stand in every report. Give the labels in a table (--labels TABLE, "
            f"with the columns study and label), and folders tell patients; or rename the folders"
        )
    if not sure and not (likely and table is not None and len(table) < len(folders)):
        return list(drafts), [MAY_BE_PATIENTS] if likely and table is None else []
    out = []
    for draft in drafts:
        if draft.label_from_folder:
            # Several scans of one person, or each would count as a patient.
            known = draft.label in suspects and draft.group_from in ("study", "folder")
            group, source = (draft.label, "folder") if known else (draft.group, draft.group_from)
            draft = replace(draft, label=None, label_from_folder=False, group=group, group_from=source)
        out.append(draft)
    return out, ["Folders are called after patients: no label is taken from a folder, all are from the table."]
