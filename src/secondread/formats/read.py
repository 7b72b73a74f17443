"""One door for all formats: what kind a source is, and which reader takes it.

A source is a file, a folder with one DICOM series, or ``folder#series=UID`` where a folder holds several.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from secondread.errors import SeriesError, UnsupportedFormat, locating
from secondread.formats.header import READABLE, Header, Kind, kind_of
from secondread.volume import Picture, Study, Volume

SERIES_MARK = "#series="


def probe(source: Path | str) -> Header:
    """The header of a scan or picture; of a volume no voxel is decoded.

    Raises:
        FormatError: and its kinds, see :mod:`secondread.errors`. UnsafeFileError: it points out of its folder.
        ResourceError: it may not be read.
    """
    path, series, kind = _place(source)
    match kind:
        case "nifti":
            from secondread.formats import nifti

            return nifti.probe(path)
        case "nrrd":
            from secondread.formats import nrrd

            return nrrd.probe(path)
        case "mha":
            from secondread.formats import metaimage

            return metaimage.probe(path)
        case "dicom":
            from secondread.formats import dicom

            return dicom.probe(path, series)
        case "picture":
            from secondread.formats import picture

            return picture.probe(path)


def read_volume(source: Path | str) -> Volume:
    """The voxels (i, j, k) of a scan and where they lie in LPS mm. Raises as :func:`probe`; UnsupportedFormat for a
    picture; FormatError where all voxels are equal or none is finite."""
    path, series, kind = _place(source)
    match kind:
        case "nifti":
            from secondread.formats import nifti

            return nifti.read(path)
        case "nrrd":
            from secondread.formats import nrrd

            return nrrd.read(path)
        case "mha":
            from secondread.formats import metaimage

            return metaimage.read(path)
        case "dicom":
            from secondread.formats import dicom

            return dicom.read(path, series)
        case "picture":
            raise UnsupportedFormat(f"{path} is a picture, a volume is expected here")


def read_picture(source: Path | str) -> Picture:
    """The pixels (row, column, channel) of a picture. Raises as :func:`probe`; UnsupportedFormat for a volume."""
    path, _, kind = _place(source)
    if kind != "picture":
        raise UnsupportedFormat(f"{path} is a volume ({kind}), a picture is expected here")
    from secondread.formats import picture

    return picture.read(path)


def read_study(name: str, images: Sequence[Path | str], contrasts: Sequence[str]) -> Study:
    """A study from its files: one picture, or a series per contrast in the order given (the first is the reference).

    Warnings of each series stay with it, its contrast in front.

    Raises:
        SeriesError: no image, two series of one contrast, pictures beside other images, counts that differ.
        FormatError and others: as :func:`probe`, with the study's name added as a note.
    """
    with locating(f"study {name!r}"):
        if not images or len(images) != len(contrasts):
            raise SeriesError(f"{len(images)} images and {len(contrasts)} contrasts: give one contrast per image")
        if any(_place(image)[2] == "picture" for image in images):
            if len(images) > 1:
                raise SeriesError(f"{len(images)} images, one of them a picture: a picture is a study of its own")
            return Study(name, picture=read_picture(images[0]))
        twice = next((c for n, c in enumerate(contrasts) if c in contrasts[:n]), None)
        if twice is not None:
            both = ", ".join(str(image) for image, c in zip(images, contrasts, strict=True) if c == twice)
            raise SeriesError(f"two series are both {twice}: name them ({both})")
        # Inflating leaves the interpreter free: several files take hardly longer than one.
        with ThreadPoolExecutor(min(len(images), os.cpu_count() or 1)) as pool:
            volumes = list(pool.map(read_volume, images))
        return Study(name, {c: _named(volume, c) for c, volume in zip(contrasts, volumes, strict=True)})


def split_source(source: Path | str) -> tuple[Path, str | None]:
    """A source's path and, where it names one, the UID of a DICOM series."""
    path, mark, series = str(source).rpartition(SERIES_MARK)
    return (Path(path), series) if mark else (Path(source), None)


def _place(source: Path | str) -> tuple[Path, str | None, Kind]:
    path, series = split_source(source)
    kind = kind_of(path)
    if kind is None:
        raise UnsupportedFormat(f"{path}: no reader for it; {READABLE} are read")
    return path, series, kind


def _named(volume: Volume, contrast: str) -> Volume:
    if not volume.warnings:
        return volume
    return Volume(volume.geometry, volume.voxels, tuple(f"{contrast}: {warning}" for warning in volume.warnings))
