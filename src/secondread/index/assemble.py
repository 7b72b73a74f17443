"""Which files of one folder belong together: contrasts of one study, and the mask of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from secondread.formats import Header
from secondread.index.draft import Draft
from secondread.index.names import Role, base_of
from secondread.index.words import counted


@dataclass(frozen=True)
class Item:
    """One readable thing: a file, or a DICOM series.

    Attributes:
        source: as ``formats`` takes it.
        folder: where it lies, below the root.
        stem: its name without suffix; of a series, its folder's name or a number.
        contrast: by its name; of a series, by its header.
        header: of a DICOM series, whose name tells nothing.
        error: why it cannot be read.
    """

    source: Path
    folder: tuple[str, ...]
    stem: str
    picture: bool
    role: Role = "scan"
    contrast: str = "image"
    header: Header | None = None
    mask: Path | None = None
    error: str | None = None

    @property
    def patient(self) -> str | None:
        """Hash of the DICOM PatientID."""
        return self.header.group if self.header else None


@dataclass(frozen=True)
class Place:
    """What the folders above say."""

    label: str | None = None
    split: str | None = None
    group: str | None = None


def one_study(items: Sequence[Item]) -> bool:
    """Whether these can all be one study: one scan; contrasts that differ; or series of one DICOM patient."""
    scans = [item for item in items if item.role == "scan"]
    if not scans:
        return False
    if len(scans) == 1:
        return True
    if any(item.picture for item in scans):
        return False
    patients = {item.patient for item in scans}
    if len(patients) == 1 and None not in patients:
        return True
    return _distinct(scans)


def as_one_study(items: Sequence[Item], name: str, place: Place) -> list[Draft]:
    """All scans of a patient's folder as one study; a second series of one contrast becomes a study beside it."""
    scans = [item for item in items if item.role == "scan"]
    first: dict[str, Item] = {}
    further: list[Item] = []
    for item in scans:
        if item.contrast in first:
            further.append(item)
        else:
            first[item.contrast] = item
    # All studies made of one folder are of one patient, whatever their headers say.
    group = place.group or (name if further else None)
    masks = [item for item in items if item.role == "mask"]
    beside = replace(place, group=group)
    main = _draft(list(first.values()), masks, name, beside)
    return [main, *(_draft([item], [], f"{name}/{item.stem}", beside) for item in further)]


def as_studies(items: Sequence[Item], folder: str, place: Place) -> tuple[list[Draft], list[str]]:
    """The files of one folder as studies: volumes whose names differ by contrast alone together, all else apart.

    Returns:
        The drafts, a mask without a scan among them with its reason; and notes.
    """
    scans = [item for item in items if item.role == "scan"]
    masks = [item for item in items if item.role == "mask"]
    bases: dict[str, list[Item]] = {}
    for item in scans:
        bases.setdefault(base_of(item.stem), []).append(item)
    owners: dict[str, list[Item]] = {}
    orphans: list[Item] = []
    for mask in masks:
        owner = _owner(base_of(mask.stem), bases)
        if owner is None:
            orphans.append(mask)
        else:
            owners.setdefault(owner, []).append(mask)
    drafts: list[Draft] = []
    for base, group in bases.items():
        together = len(group) > 1 and not any(item.picture for item in group) and _distinct(group)
        if together:
            drafts.append(_draft(group, owners.get(base, []), _join(folder, base), place))
        else:
            # Names that differ by contrast alone are of one patient, even where they make no one study.
            shared = replace(place, group=place.group or _join(folder, base)) if base and len(group) > 1 else place
            drafts += [_draft([i], owners.get(base, []), _join(folder, i.stem), shared) for i in group]
    pictures = [item for item in orphans if item.picture]
    drafts += [_draft([item], [], _join(folder, item.stem), place) for item in pictures]
    notes = []
    if pictures:
        named = counted(len(pictures), "picture is", "pictures are")
        notes.append(
            f"{named} named like masks ({pictures[0].source.name}), with no other picture to belong to: taken as scans."
        )
    reason = "it is named like a mask, and no scan beside it has the same name"
    drafts += [
        replace(_draft([item], [], _join(folder, item.stem), place), reason=item.error or reason)
        for item in orphans
        if not item.picture
    ]
    return drafts, notes


def _distinct(scans: Sequence[Item]) -> bool:
    contrasts = [item.contrast for item in scans]
    return len(set(contrasts)) == len(contrasts)


def _owner(base: str, bases: dict[str, list[Item]]) -> str | None:
    """The scans whose name the mask's name repeats or continues (``IMG1`` owns ``IMG1_lesion``)."""
    if base in bases:
        return base
    starts = [other for other in bases if other and base.startswith(f"{other}_")]
    return max(starts, key=len) if starts else None


def _draft(scans: Sequence[Item], masks: Sequence[Item], name: str, place: Place) -> Draft:
    files = list(dict.fromkeys([*(m.source for m in masks), *(s.mask for s in scans if s.mask)]))
    reasons = [item.error for item in (*scans, *masks) if item.error]
    if len(files) > 1:
        reasons.append(f"it has {len(files)} masks ({', '.join(file.name for file in files[:3])}): keep one")
    return Draft(
        study=name,
        images=tuple(item.source for item in scans),
        contrasts=(None,) * len(scans),
        headers=tuple(item.header for item in scans),
        label=place.label,
        label_from_folder=place.label is not None,
        mask=files[0] if len(files) == 1 else None,
        group=place.group,
        group_from="folder" if place.group else "study",
        split=place.split,
        reason="; ".join(reasons) or None,
        origin=name,
    )


def _join(folder: str, stem: str) -> str:
    return "/".join(part for part in (folder, stem) if part)
