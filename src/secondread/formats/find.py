"""Everything below a folder that is, or should be, a scan, a picture or a mask."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from secondread.errors import FormatError, SecondreadError, UnsupportedFormat
from secondread.formats.header import (
    CONTACT_SHEET,
    KIND_OF_SUFFIX,
    READABLE,
    UNSUPPORTED_SUFFIXES,
    Found,
    Kind,
    kind_of,
    suffix_of,
)
from secondread.formats.read import SERIES_MARK, probe

if TYPE_CHECKING:
    from secondread.formats.dicom import Image


def find_scans(folder: Path | str) -> list[Found]:
    """What can be read below ``folder``, sorted by source: a file each, one entry per DICOM series and folder.

    Headers are read, so a damaged header or a series with a missing slice carries its error; voxels are not, so a
    truncated body shows later. Files that are no images, hidden files and folders are left out. Links are followed
    once.

    Raises:
        FormatError: no such folder. ResourceError: it may not be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FormatError(f"{folder}: no such folder")
    found: list[Found] = []
    for files in _folders(folder):
        dicom: list[Path] = []
        for file in files:
            try:
                if file.exists() and not file.is_file():
                    found += _special(file)
                    continue
                kind = kind_of(file)
                if kind == "dicom":
                    dicom.append(file)
                elif suffix_of(file) in UNSUPPORTED_SUFFIXES:
                    found.append(Found(str(file), UnsupportedFormat(f"{file}: no reader for it; {READABLE} are read")))
                elif kind is not None:
                    _check(file, kind)
                    found.append(Found(str(file)))
            except SecondreadError as error:
                found.append(Found(str(file), _as_format_error(error)))
        found += _series(dicom)
    return sorted(found, key=lambda one: one.source)


def _folders(folder: Path) -> Iterator[list[Path]]:
    """The visible files of each folder, depth first; a folder reached by several links comes once."""
    seen: set[str] = set()
    for place, inner, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        yield [Path(place, name) for name in sorted(names) if not name.startswith(".") and name != CONTACT_SHEET]


def _special(file: Path) -> list[Found]:
    """A pipe or a device, which is never opened: an error where it bears a scan's name."""
    named = suffix_of(file) in KIND_OF_SUFFIX
    return [Found(str(file), FormatError(f"{file}: no ordinary file"))] if named else []


def _check(file: Path, kind: Kind) -> None:
    if kind == "picture":
        from secondread.formats import picture

        picture.check(file)
    else:
        probe(file)


def _series(files: list[Path]) -> list[Found]:
    """The DICOM series among the files of one folder."""
    if not files:
        return []
    from secondread.formats import dicom

    by_uid: dict[str, list[Image]] = defaultdict(list)
    found: list[Found] = []
    for file in files:
        try:
            image = dicom.open_image(file)
        except SecondreadError as error:
            found.append(Found(str(file), _as_format_error(error)))
        else:
            if image is not None:
                by_uid[image.series].append(image)
    for uid, images in by_uid.items():
        source = _source(uid, images, alone=len(by_uid) == 1 and not found)
        try:
            dicom.header_of(images, Path(source))
        except FormatError as error:
            found.append(Found(source, error))
        else:
            found.append(Found(source))
    return found


def _source(uid: str, images: list[Image], *, alone: bool) -> str:
    if len(images) == 1:
        return str(images[0].path)
    folder = images[0].path.parent
    return str(folder) if alone else f"{folder}{SERIES_MARK}{uid}"


def _as_format_error(error: SecondreadError) -> FormatError:
    """A file that is unsafe or may not be read is, for a list of files, one that cannot be read."""
    return error if isinstance(error, FormatError) else FormatError(str(error))
