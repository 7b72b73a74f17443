"""Which folders are classes: a class folder's name is a label, labels stand everywhere, and none may be a patient's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from secondread.discreet import identifying
from secondread.errors import LabelError
from secondread.index.draft import Draft
from secondread.index.inspect import tells_patient
from secondread.index.join import join_labels
from secondread.index.names import squeeze
from secondread.index.persons import is_full_name, may_name_patient
from secondread.index.tree import MIN_PATIENT_FOLDERS

MANY = 20
"""Nobody sorts scans into more classes than this, each called by two words, unless a table says so."""

MAY_BE_PATIENTS = (
    "Folders are taken for classes that may be called after patients. If they are, their names stand as labels in "
    "every report: give the labels in a table then (--labels TABLE, with the columns study and label)."
)
ARE_PATIENTS = "Folders are called after patients: no label is taken from a folder, all are from the table."


def labelled(drafts: Sequence[Draft], table: Path | None) -> tuple[list[Draft], list[str]]:
    """Drafts with the labels of folders and of a table, no label being a folder called after a patient; and notes.

    Folders are called so where a DICOM header proves it of one, where most of their names hold a date or a number,
    where most read ``Doe, Jane``, or where most of more than MANY may be a first and a last name. Where that is so of
    MIN_PATIENT_FOLDERS or more, they may be; but two words of any language look so, and it is said and refused to
    nobody. Of names without a date or a number, a table tells, if it has labels for them: a class has one, and no
    other folder has the same; a patient may have several, and several patients the same.

    Raises LabelError: there are such folders for sure, and no table with labels of theirs; and as :func:`join_labels`.
    """
    folders = _Folders.of(drafts)
    if table is None:
        if folders.sure:
            raise folders.refusal()
        return list(drafts), [MAY_BE_PATIENTS] if folders.likely else []
    if not (folders.sure or folders.likely):
        return join_labels(drafts, table)
    patients, notes = join_labels([folders.as_patient(draft) for draft in drafts], table)
    told = folders.told(drafts, patients)
    if folders.sure and not told:
        raise folders.refusal()
    if folders.shown or (told and not folders.are_classes(told)):
        return patients, [ARE_PATIENTS, *notes]
    try:
        classes, notes = join_labels(drafts, table)
    except LabelError:  # its lines are about folders as patients, and about nothing else
        return patients, [ARE_PATIENTS, *notes]
    kept = {draft.label for draft in classes if draft.label_from_folder} & folders.suspects
    return classes, [*notes, MAY_BE_PATIENTS] if kept else notes


@dataclass(frozen=True)
class _Folders:
    """Folders that would be classes.

    Attributes:
        names: all of them. ``suspects``: those that may be called after a person; ``full``: by first and last name;
            ``turned``: as ``Doe, Jane``; ``dated``: with a date or a number; ``proven``: by a DICOM header.
    """

    names: frozenset[str]
    suspects: frozenset[str]
    full: frozenset[str]
    turned: frozenset[str]
    dated: frozenset[str]
    proven: frozenset[str]

    @classmethod
    def of(cls, drafts: Sequence[Draft]) -> _Folders:
        names = {draft.label for draft in drafts if draft.label and draft.label_from_folder}
        suspects = {name for name in names if identifying(name) or may_name_patient(name)}
        full = {name for name in suspects if is_full_name(name)}
        # Of "Glioma, low grade" the comma proves nothing, of "Doe, Jane" it does.
        turned = {name for name in full if name.partition(",")[2].strip()[:1].isupper()}
        dated = {name for name in suspects if identifying(name.replace(",", " "))}
        proven = {
            draft.label
            for draft in drafts
            if draft.label_from_folder
            and draft.label in suspects
            and any(tells_patient(image, draft.label) for image in draft.images)
        }
        return cls(*map(frozenset, (names, suspects, full | dated, turned, dated, proven)))

    @property
    def shown(self) -> bool:
        return bool(self.proven) or self._are_most(self.dated)

    @property
    def likely(self) -> bool:
        return len(self.names) >= MIN_PATIENT_FOLDERS and self._are_most(self.full)

    @property
    def sure(self) -> bool:
        written = self._are_most(self.turned | self.dated)
        return bool(self.proven) or written or (self.likely and len(self.names) > MANY)

    def _are_most(self, some: frozenset[str]) -> bool:
        return 2 * len(some) > len(self.names)

    def refusal(self) -> LabelError:
        how = "a DICOM header" if self.proven else "their names"
        return LabelError(
            f"{len(self.proven or self.full)} of {len(self.names)} folders would be classes and are called after "
            f"patients by {how}; as labels, those names would stand in every report. Give the labels in a table "
            f"(--labels TABLE, with the columns study and label), and folders tell patients; or rename the folders"
        )

    def as_patient(self, draft: Draft) -> Draft:
        """A draft whose folder is no class, and is its patient where it may be called after one."""
        if not draft.label_from_folder:
            return draft
        # Several scans of one person, or each would count as a patient.
        known = draft.label in self.suspects and draft.group_from in ("study", "folder")
        group, source = (draft.label, "folder") if known else (draft.group, draft.group_from)
        return replace(draft, label=None, label_from_folder=False, group=group, group_from=source)

    def told(self, drafts: Sequence[Draft], joined: Sequence[Draft]) -> dict[str, set[str]]:
        """The labels that a table has given, ``joined``, to the folders of ``drafts``, by folder."""
        told: dict[str, set[str]] = defaultdict(set)
        for before, after in zip(drafts, joined, strict=True):
            if before.label and before.label_from_folder and after.label:
                told[before.label].add(after.label)
        return dict(told)

    def are_classes(self, told: Mapping[str, set[str]]) -> bool:
        """Whether the labels ``told`` of folders leave these classes: one is called as a folder that may be a
        patient's, or each folder has one, and no two the same."""
        labels = set().union(*told.values())
        if set(map(squeeze, labels)) & set(map(squeeze, self.suspects)):
            return True
        return told.keys() == self.names and len(labels) == len(told) and all(len(own) == 1 for own in told.values())
