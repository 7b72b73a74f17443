"""Folders taken for classes that may be patients'. A class folder's name is a label, and labels stand everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from secondread.discreet import identifying
from secondread.errors import LabelError
from secondread.index.draft import Draft
from secondread.index.inspect import tells_patient
from secondread.index.persons import is_full_name, may_name_patient
from secondread.index.tree import MIN_PATIENT_FOLDERS


def without_patients(drafts: Sequence[Draft], *, labels_follow: bool) -> tuple[list[Draft], list[str]]:
    """Drafts no label of which is a folder called after a patient; and notes.

    Folders are, where a DICOM header proves it of one, where most of their names hold a date or a number, or where most
    of MIN_PATIENT_FOLDERS or more may be a first and a last name. ``labels_follow``: a table gives the labels. Then no
    folder gives one, and those called after persons tell who the patient is.

    Raises LabelError: there are such folders, and no table.
    """
    folders = {draft.label for draft in drafts if draft.label and draft.label_from_folder}
    suspects = {name for name in folders if identifying(name) or may_name_patient(name)}
    dated = {name for name in suspects if identifying(name)}
    full = {name for name in suspects if name in dated or is_full_name(name)}
    proven = {
        draft.label
        for draft in drafts
        if draft.label_from_folder
        and draft.label in suspects
        and any(tells_patient(image, draft.label) for image in draft.images)
    }
    likely = 2 * len(dated) > len(folders) or (len(folders) >= MIN_PATIENT_FOLDERS and 2 * len(full) > len(folders))
    if not proven and not likely:
        return list(drafts), []
    if not labels_follow:
        how = (
            "are called after patients, by a DICOM header" if proven else "may be called after patients, by their names"
        )
        raise LabelError(
            f"{len(suspects) if likely else len(proven)} of {len(folders)} folders would be classes and {how}; as "
            f"labels, those names would stand in every report. Give the labels in a table (--labels TABLE, "
            f"with the columns study and label), and folders tell patients; or rename the folders"
        )
    out = []
    for draft in drafts:
        if draft.label_from_folder:
            # Several scans of one person, or each would count as a patient.
            known = draft.label in suspects and draft.group_from in ("study", "folder")
            group, source = (draft.label, "folder") if known else (draft.group, draft.group_from)
            draft = replace(draft, label=None, label_from_folder=False, group=group, group_from=source)
        out.append(draft)
    return out, ["Folders are called after patients: no label is taken from a folder, all are from the table."]
