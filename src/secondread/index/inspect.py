"""From a draft to a row: open the files, check them, and take their fingerprint. Nothing here is fatal to the rest."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from secondread.discreet import discreet, stand_in, without_places
from secondread.errors import MaskError, SecondreadError, SeriesError
from secondread.formats import Header, contrast_of, probe, read_mask, read_picture, read_volume
from secondread.formats.header import kind_of
from secondread.formats.read import split_source
from secondread.index.draft import Draft
from secondread.index.duplicates import sha256_of, thumbprint
from secondread.index.names import is_picture, squeeze, stem_of
from secondread.index.persons import may_name_patient, without_persons
from secondread.index.table import Row

Progress = Callable[[str, int, int], None]

CONTRAST_ORDER = ("t1", "t1c", "t2", "flair", "pd", "dwi", "adc", "swi")
"""The first contrast that a study has is its reference."""

WORKERS = 4
"""Threads: inflating, decoding and hashing leave Python's lock. More only hold more volumes in memory."""


SEVERAL = 2
"""A folder that holds so many known patients is called after none of them."""


def inspect(drafts: Sequence[Draft], progress: Progress | None = None, words: Collection[str] = ()) -> list[Row]:
    """A row per draft, in order; one that cannot be read is excluded, with the reason. ``words``: no person's names."""
    rows = []
    told = told_by(drafts) | set(map(squeeze, words))
    pool = ThreadPoolExecutor(min(WORKERS, os.cpu_count() or 1), thread_name_prefix="index")
    try:
        for done, row in enumerate(pool.map(lambda draft: inspect_one(draft, told), drafts), 1):
            rows.append(row)
            if progress:
                progress("reading scans", done, len(drafts))
    finally:
        # On Ctrl-C, what is under way ends and what waits is dropped.
        pool.shutdown(wait=True, cancel_futures=True)
    return rows


def inspect_one(draft: Draft, told: Collection[str] = ()) -> Row:
    """Open the files of one study. From here on it has a name that does not tell who the patient is. ``told``: names
    that are no person's, see :func:`told_by`."""
    written = {squeeze(part) for name in draft.written for part in name.split("/")}
    return _named_discreetly(_opened(draft), {*told, *written})


def told_by(drafts: Sequence[Draft]) -> frozenset[str]:
    """Names that the data themselves show to be no person's: of labels, of sites, and of folders that hold several
    patients who are known by something else. The same for all drafts, so that one group keeps one name."""
    patients: dict[str, set[str]] = defaultdict(set)
    for draft in drafts:
        known = draft.group if draft.group_from not in ("study", "folder") else None
        group = next((header.group for header in draft.headers if header and header.group), known)
        if group and draft.images:
            patients[str(split_source(draft.images[0])[0].parent)].add(group)
    below: dict[str, set[str]] = defaultdict(set)
    for folder, groups in patients.items():
        for place in (folder, *map(str, Path(folder).parents)):
            if len(below[place]) < SEVERAL:
                below[place] |= groups
    shared = {Path(place).name for place, groups in below.items() if len(groups) >= SEVERAL}
    said = {name for draft in drafts for name in (draft.label, draft.site) if name}
    return frozenset(map(squeeze, shared | said))


def _named_discreetly(row: Row, told: Collection[str]) -> Row:
    """The row with stand-ins for names that tell, see ``discreet``; ``images`` still say where the files lie."""
    known = any(tells_patient(image) for image in row.images)
    study = discreet(row.study, known=known)
    # A group that is no identifier by itself may be the name of a folder.
    group = discreet(row.group, known=known and row.group_from in ("study", "folder"))
    # A header that names its patient has been compared with the folders; else letters alone may be a name.
    if row.group_from != "dicom" and not known:
        study, group = without_persons(study, told), without_persons(group, told)
    if row.reason is None:
        return replace(row, study=study, group=group)
    files = [split_source(image)[0] for image in (*row.images, *([row.mask] if row.mask else []))]
    reason = without_places(row.reason, files, study)
    for name in {part for file in files for part in (file.name, stem_of(file.name))}:
        if known or may_name_patient(stem_of(name), told):
            reason = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", stand_in(name), reason)
    return replace(row, study=study, group=group, reason=reason)


def tells_patient(image: Path, name: str | None = None) -> bool:
    """Whether a source's names, or ``name``, repeat what its DICOM header says of the patient; False for other kinds
    and where no header can be read."""
    from secondread.formats import dicom

    path, _ = split_source(image)
    try:
        return kind_of(path) == "dicom" and dicom.tells_patient(path, name)
    except (SecondreadError, OSError):
        return False


def _opened(draft: Draft) -> Row:
    row = Row(
        study=draft.study,
        group=draft.group or draft.study,
        group_from=draft.group_from,
        images=draft.images,
        contrasts=tuple(contrast or "image" for contrast in draft.contrasts),
        site=draft.site,
        label=draft.label,
        mask=draft.mask,
        split=draft.split,
    )
    if draft.reason is not None:
        return _excluded(row, draft.reason)
    try:
        if is_picture(split_source(draft.images[0])[0]):
            return _picture(row)
        return _volume(row, draft)
    except (SecondreadError, OSError) as error:
        return _excluded(row, str(error))


def _excluded(row: Row, reason: str) -> Row:
    # The study is named beside the reason: its folders would only hide what is wrong.
    for path in (*row.images, *([row.mask] if row.mask else [])):
        reason = reason.replace(str(path), path.name)
    return replace(row, excluded=True, reason=reason)


def _picture(row: Row) -> Row:
    if len(row.images) > 1:
        raise SeriesError(f"{len(row.images)} images, the first a picture: a picture is a study of its own")
    picture = read_picture(row.images[0])
    rows, columns, channels = picture.pixels.shape
    if row.mask is not None:
        read_mask(row.mask, (rows, columns))
    sha256, size = sha256_of(row.images)
    return replace(
        row,
        shape=(rows, columns),
        channels=channels,
        kind="picture",
        sha256=sha256,
        bytes=size,
        thumbprint=thumbprint(picture),
    )


def _volume(row: Row, draft: Draft) -> Row:
    known = draft.headers or (None,) * len(draft.images)
    headers = [header or probe(image) for header, image in zip(known, draft.images, strict=True)]
    contrasts = [_contrast(name, header) for name, header in zip(draft.contrasts, headers, strict=True)]
    twice = sorted({contrast for contrast in contrasts if contrasts.count(contrast) > 1})
    if twice:
        raise SeriesError(f"two images are both of contrast {twice[0]}: name them in a contrast column")
    order = sorted(range(len(contrasts)), key=lambda n: (_rank(contrasts[n]), contrasts[n]))
    if row.mask is not None:
        order = _marked_first(order, headers, row.mask)
    row = replace(row, images=tuple(row.images[n] for n in order), contrasts=tuple(contrasts[n] for n in order))
    volume = read_volume(row.images[0])
    if row.mask is not None:
        read_mask(row.mask, volume.geometry)
    sha256, size = sha256_of(file for image in row.images for file in _files(image))
    header = headers[order[0]]
    # A patient identifier in the file is better evidence than a name; a column that a person wrote is better still.
    patient = header.group if row.group_from not in ("csv", "bids") else None
    return replace(
        row,
        group=patient or row.group,
        group_from="dicom" if patient else row.group_from,
        shape=volume.geometry.shape,
        spacing=volume.geometry.spacing,
        channels=header.channels,
        kind=header.kind,
        sex=header.sex,
        age=header.age,
        sha256=sha256,
        bytes=size,
        thumbprint=thumbprint(volume),
    )


def _contrast(named: str | None, header: Header) -> str:
    if named is None:
        return header.contrast
    known = contrast_of(named)
    return named if known == "image" else known


def _rank(contrast: str) -> int:
    return CONTRAST_ORDER.index(contrast) if contrast in CONTRAST_ORDER else len(CONTRAST_ORDER)


def _marked_first(order: Sequence[int], headers: Sequence[Header], mask: Path) -> list[int]:
    """The contrast on whose grid the mask lies comes first: findings and masks are in the reference's geometry.

    Raises MaskError where the mask lies on no contrast's grid.
    """
    grid = probe(mask).geometry
    if grid is None:
        raise MaskError(f"{mask} is a picture, its scan a volume")
    for n in order:
        geometry = headers[n].geometry
        if geometry is not None and geometry.matches(grid):
            return [n, *(other for other in order if other != n)]
    return list(order)  # read_mask says what differs


def _files(source: Path) -> list[Path]:
    """The files of a source: itself, or those of a DICOM series."""
    path, series = split_source(source)
    if path.is_file():
        return [path]
    from secondread.formats import dicom

    if series is None:
        return [file for file in sorted(path.iterdir()) if file.is_file() and dicom.is_dicom(file)]
    return sorted({image.path for image in dicom.select(dicom.images_below(path, series), path, series)})
