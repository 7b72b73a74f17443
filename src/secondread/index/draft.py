"""What the data say of a study before any file is opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from secondread.formats import Header


@dataclass(frozen=True)
class Draft:
    """A study as the folders or tables describe it.

    Attributes:
        study: name, not yet sure to be unique.
        images: sources as ``formats`` takes them: a file, a folder of one series, or ``folder#series=UID``.
        contrasts: one per image where the data name it; None where the image's header or name is to tell.
        split: as given by the data, else None.
        group, group_from: the patient where the data name one, and how.
        reason: why the study cannot be used, if that is known already.
        origin: where it stands in the data, for messages: ``labels.csv, line 3``.
        label_from_folder: whether the label is the name of a folder.
        written: names of the study and the group that a table's columns give: a person chose them, they are no paths.
        headers: one per image where they were read on the way (a DICOM series has hundreds of them), else empty.
    """

    study: str
    images: tuple[Path, ...]
    contrasts: tuple[str | None, ...]
    label: str | None = None
    mask: Path | None = None
    group: str | None = None
    group_from: str = "study"
    site: str | None = None
    split: str | None = None
    reason: str | None = None
    origin: str = ""
    label_from_folder: bool = False
    written: tuple[str, ...] = ()
    headers: tuple[Header | None, ...] = ()
