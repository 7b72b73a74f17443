"""What a header tells, how large a file may be, and the checks that all formats share."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from secondread.errors import (
    FormatError,
    GeometryError,
    ResourceError,
    SecondreadError,
    TooLarge,
    TruncatedFile,
    UnsupportedFormat,
)
from secondread.volume import Geometry

MAX_VOXELS = 2**30
"""A volume of more voxels than this is refused before any memory is taken for it (1024^3)."""

MAX_PIXELS = 2**26
"""A picture of more pixels than this is refused before it is decoded (8192 x 8192)."""

MIN_VOLUME_SIDE = 2
"""A volume has at least this many voxels along each axis: one slice alone says nothing of the next."""

MIN_PICTURE_SIDE = 8
"""A picture has at least this many pixels along each side."""

Kind = Literal["nifti", "nrrd", "mha", "dicom", "picture"]

KIND_OF_SUFFIX: dict[str, Kind] = {
    ".nii": "nifti",
    ".nii.gz": "nifti",
    ".nrrd": "nrrd",
    ".nhdr": "nrrd",
    ".mha": "mha",
    ".mhd": "mha",
    ".dcm": "dicom",
    ".ima": "dicom",
    ".png": "picture",
    ".jpg": "picture",
    ".jpeg": "picture",
    ".tif": "picture",
    ".tiff": "picture",
    ".bmp": "picture",
    ".gif": "picture",
    ".webp": "picture",
}

UNSUPPORTED_SUFFIXES = frozenset({".hdr", ".mgh", ".mgz", ".mnc", ".par", ".heic", ".avif", ".jp2"})
"""Scans and pictures in forms without a reader: listed with an error, so that none is left out silently."""

READABLE = "NIfTI (.nii, .nii.gz), NRRD, MHA, MHD, DICOM, PNG, JPEG, TIFF"

CONTACT_SHEET = "contact-sheet.png"
"""What ``secondread simulate`` draws beside its scans; it is none."""

DICOM_MARK_AT, DICOM_MARK = 128, b"DICM"


@dataclass(frozen=True)
class Header:
    """What can be known of a scan without its voxels.

    Attributes:
        shape: voxels (i, j, k), or a picture's (row, column).
        geometry: where the voxels lie; None for pictures.
        channels: 1, or 3 for a picture in colour; a picture stored as RGB whose colours are equal everywhere has 1.
        contrast: ``t1 t1c t2 flair pd dwi adc swi``, or ``image`` where nothing tells.
        group: a hash of the DICOM PatientID; None elsewhere.
        sex, age: of a DICOM header, see ``formats.person``; None elsewhere, or where it does not say.
        warnings: what is odd in the header, in words for a person.
    """

    kind: Kind
    shape: tuple[int, ...]
    geometry: Geometry | None
    channels: int
    contrast: str
    group: str | None = None
    warnings: tuple[str, ...] = ()
    sex: str | None = None
    age: int | None = None


@dataclass(frozen=True)
class Found:
    """A scan, picture or mask below a folder. ``source`` goes to ``probe`` and the readers: a path, or
    ``folder#series=UID`` where a folder holds several DICOM series. ``error`` says why it cannot be read."""

    source: str
    error: FormatError | None = None


def suffix_of(path: Path) -> str:
    """The lower-case suffix that decides the format; ``.nii.gz`` counts as one."""
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else path.suffix.lower()


def kind_of(path: Path) -> Kind | None:
    """The format of a file by its suffix, or by DICOM's mark where the suffix says nothing; a folder is DICOM.

    Raises:
        FormatError: no such file. ResourceError: it may not be read.
    """
    known = KIND_OF_SUFFIX.get(suffix_of(path))
    with reading(path):
        if path.is_dir():
            return "dicom"
        if known is not None and path.exists():
            return known
        with path.open("rb") as file:
            file.seek(DICOM_MARK_AT)
            return "dicom" if file.read(len(DICOM_MARK)) == DICOM_MARK else None


@contextmanager
def reading(path: Path | str, *, private: bool = False) -> Iterator[None]:
    """Turn whatever a parser throws while reading ``path`` into the error tree.

    Args:
        private: the parser's own words may hold a patient's name: leave them out.

    Raises:
        TruncatedFile: the file ends too early. FormatError: missing or damaged.
        ResourceError: permission or memory. Any SecondreadError passes as it is.
    """
    try:
        yield
    except SecondreadError:
        raise
    except FileNotFoundError:
        raise FormatError(f"{path}: no such file") from None
    except PermissionError as error:
        raise ResourceError(f"cannot read {path}: permission denied") from error
    except MemoryError as error:
        raise ResourceError(f"cannot read {path}: out of memory") from error
    except EOFError as error:
        raise TruncatedFile(f"{path} ends before its header says; copy it again") from (None if private else error)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise ResourceError(f"cannot read {path}: {error.strerror}") from error
        # Parsers of foreign bytes raise anything at all (struct.error, KeyError, zlib.error, ...).
        said = type(error).__name__ if private else f"{type(error).__name__}: {error}"
        raise FormatError(f"{path} cannot be read, it may be damaged ({said})") from (None if private else error)


def check_not_empty(path: Path) -> int:
    """The file's size in bytes. Raises TruncatedFile for none."""
    size = os.stat(path).st_size  # noqa: PTH116 - one call, no Path object per file of a large folder
    if size == 0:
        raise TruncatedFile(f"{path} is empty (0 bytes)")
    return size


def three_axes(shape: Sequence[int], path: Path) -> tuple[int, int, int]:
    """The shape of a volume without trailing axes of 1, checked against the caps.

    Raises:
        FormatError: fewer than three axes, a 4D file, an axis below MIN_VOLUME_SIDE. TooLarge: beyond MAX_VOXELS.
    """
    axes = [int(n) for n in shape]
    while len(axes) > 3 and axes[-1] == 1:
        axes.pop()
    # A number of six digits where a size belongs may be a date, or a patient's.
    told = " x ".join(str(n) if abs(n) < 100_000 else "100,000 or more" for n in map(int, shape))
    if min(axes, default=0) < 1:
        raise FormatError(f"{path}: its header gives the shape {told}; every axis needs at least one voxel")
    if len(axes) > 3:
        raise FormatError(
            f"{path} holds {prod(axes[3:])} volumes (shape {told}); a scan is one volume: split the file and name the "
            "volume to read"
        )
    if len(axes) < 3 or min(axes) < MIN_VOLUME_SIDE:
        raise FormatError(
            f"{path} is a single slice (shape {told}); a volume needs at least {MIN_VOLUME_SIDE} voxels along each "
            "axis. Save single slices as PNG and read them as pictures"
        )
    if prod(axes) > MAX_VOXELS:
        raise TooLarge(f"{path}: its header promises {told} voxels, the cap is {MAX_VOXELS}")
    return axes[0], axes[1], axes[2]


def geometry_of(shape: tuple[int, int, int], affine: NDArray[np.float64], path: Path | str) -> Geometry:
    """A Geometry whose GeometryError names the file."""
    try:
        return Geometry(shape, affine)
    except GeometryError as error:
        raise GeometryError(f"{path}: {error}") from None


def mend(voxels: NDArray[Any], path: Path | str) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Voxels as the rest of the program takes them, and what was mended.

    float64 becomes float32, bool becomes uint8, foreign byte order becomes native; a few non-finite voxels take the
    lowest finite value.

    Raises:
        FormatError: all voxels are equal, or none is finite.
        UnsupportedFormat: complex or structured voxels.
    """
    if voxels.dtype.kind not in "biuf":
        raise UnsupportedFormat(f"{path}: voxels of type {voxels.dtype} are not supported; save real numbers")
    warnings: tuple[str, ...] = ()
    if voxels.dtype.kind == "b":
        voxels = voxels.astype(np.uint8)
    if voxels.dtype.kind == "f":
        with np.errstate(over="ignore"):
            voxels = voxels.astype(np.float32, copy=False)
        finite = np.isfinite(voxels)
        if not finite.any():
            raise FormatError(f"{path}: no voxel is a finite number")
        if not finite.all():
            bad = int(voxels.size - np.count_nonzero(finite))
            lowest = voxels[finite].min()
            voxels = np.where(finite, voxels, lowest)
            warnings = (
                f"{bad} of {voxels.size} voxels were not finite numbers; they were set to the lowest, {lowest:g}",
            )
    voxels = voxels.astype(voxels.dtype.newbyteorder("="), copy=False)
    low, high = voxels.min(), voxels.max()
    if low == high:
        raise FormatError(f"{path}: every voxel has the value {low:g}, there is nothing to read")
    return voxels, warnings


def rescaled(voxels: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]:
    """``voxels * slope + intercept`` as float32; the stored integers where that changes nothing."""
    if slope == 1 and intercept == 0:
        return voxels
    wide = voxels.dtype.itemsize > 2  # 32-bit integers do not fit a float32's mantissa before scaling
    scaled: NDArray[Any] = voxels.astype(np.float64) if wide else voxels.astype(np.float32)
    scaled *= slope
    scaled += intercept
    return scaled.astype(np.float32, copy=False)
