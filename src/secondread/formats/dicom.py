"""DICOM: classic series (a file per image) and enhanced multi-frame files, compressed or not.

Both become a list of :class:`~secondread.formats.stack.Slice`; :func:`~secondread.formats.stack.stack` makes a grid of
them. No identifier but UIDs leaves this module: PatientID becomes a hash, dates an age in years, and pydicom's own
messages, which may quote values, are dropped.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID

from secondread.errors import FormatError, SeriesError, TooLarge, TruncatedFile, UnsupportedFormat
from secondread.formats import codecs, person
from secondread.formats.contrast import UNKNOWN, contrast_of, contrast_of_timing, with_agent
from secondread.formats.header import DICOM_MARK_AT, MAX_VOXELS, Header, kind_of, mend, reading
from secondread.formats.silence import SILENCE
from secondread.formats.stack import Slice, stack
from secondread.volume import Volume

_TAGS = [
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "PatientID", "SeriesDescription", "ProtocolName", "ImageType",
    "ContrastBolusAgent", "ContrastBolusAgentSequence", "AcquisitionContrast", "ScanningSequence", "EchoTime",
    "RepetitionTime", "InversionTime", "InstanceNumber", "TemporalPositionIdentifier", "AcquisitionNumber", "Rows",
    "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated",
    "ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", *person.TAGS,
]  # fmt: skip
_PIXEL_TAGS = [
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths", "PixelData",
]  # fmt: skip
_IDENTITY_TAGS = [
    "PatientName", "PatientID", "PatientBirthDate", "OtherPatientIDs", "OtherPatientNames", "PatientBirthName",
    "AccessionNumber", "ReferringPhysicianName", "StudyDate",
]  # fmt: skip
_COLOURS = {"RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_420"}
"""Kinds of colour that a message may repeat; the field may hold anything."""
_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
_NOBODY = {"", "anon", "anonymous", "anonymized", "anonymised", "unknown", "none", "removed", "patient"}
"""PatientIDs that de-identification leaves behind (rows of X or 0 too): they name no patient, so make no group."""
MIN_TELLING = 3
"""Shorter words of a patient's name or number are found in any path; words of just this length must stand alone."""


@dataclass(frozen=True)
class Image:
    """One file with images: its series, contrast, group (a hash), sex and age of the person, and its slices."""

    path: Path
    series: str
    contrast: str
    group: str | None
    inverted: bool
    slices: tuple[Slice, ...]
    sex: str | None = None
    age: int | None = None


def probe(path: Path, series: str | None) -> Header:
    """The header of a series. ``path`` is a file, or a folder whose files hold it. Raises FormatError kinds."""
    return header_of(select(images_below(path, series), path, series), path)


def read(path: Path, series: str | None) -> Volume:
    """The volume of a series, (i, j, k) = (column, row, image along the normal). Raises FormatError kinds."""
    images = select(images_below(path, series), path, series)
    geometry, slices, notes = stack([s for image in images for s in image.slices], path)
    frames: dict[Path, list[tuple[int, Slice]]] = defaultdict(list)
    for k, one in enumerate(slices):
        frames[one.path].append((k, one))
    plain = all(s.slope == 1 and s.intercept == 0 for s in slices)
    voxels: NDArray[Any] | None = None
    for file, wanted in frames.items():
        pixels = _pixels(file)
        if voxels is None:
            voxels = np.empty(geometry.shape, pixels.dtype if plain else np.float32, order="F")
        for k, one in wanted:
            image = pixels[one.frame].T
            voxels[:, :, k] = image if plain else image.astype(np.float32) * one.slope + one.intercept
    if voxels is None:
        raise SeriesError(f"{path}: no image")
    if images[0].inverted:
        voxels = voxels.max() - voxels
        notes += ("stored with white as zero (MONOCHROME1); intensities were turned around",)
    voxels, mended = mend(voxels, path)
    return Volume(geometry, voxels, notes + mended)


def header_of(images: Sequence[Image], path: Path) -> Header:
    """The header of one series. Raises SeriesError and other FormatErrors where its images form no volume."""
    geometry, _, notes = stack([s for image in images for s in image.slices], path)
    first = images[0]
    contrast = contrast_of(path.name) if first.contrast == UNKNOWN and path.is_file() else first.contrast
    return Header("dicom", geometry.shape, geometry, 1, contrast, first.group, notes, first.sex, first.age)


def images_below(path: Path, series: str | None = None) -> list[Image]:
    """The images of a file, or of the files directly in a folder.

    A file that cannot be read spoils its own series, and every one where it does not tell which that is; a colour
    capture or segmentation beside a good series does not.

    Args:
        series: the one that is asked for; None where there should be one alone.

    Raises:
        FormatError: a file of the series is damaged or of a kind that is not supported; a folder without images.
    """
    if path.is_file():
        image = open_image(path)
        if image is None:
            raise UnsupportedFormat(f"{path} is DICOM, but no image (a report, raw data or directory)")
        return [image]
    with reading(path):
        files = [file for file in sorted(path.iterdir()) if file.is_file() and is_dicom(file)]
    images: list[Image] = []
    failures: list[tuple[str | None, FormatError]] = []
    for file in files:
        try:
            image = open_image(file)
        except FormatError as error:
            failures.append((_series_of(file), error))
        else:
            images += [image] if image is not None else []
    wanted = {image.series for image in images} if series is None else {series}
    for uid, failure in failures:
        if uid is None or uid in wanted or not images:
            raise failure
    if not images:
        raise FormatError(f"{path}: no DICOM image directly in this folder")
    return images


def select(images: Sequence[Image], path: Path, series: str | None) -> list[Image]:
    """The images of one series. Raises SeriesError for several of which none is named, or none of that name."""
    by_uid: dict[str, list[Image]] = defaultdict(list)
    for image in images:
        by_uid[image.series].append(image)
    if series is None and len(by_uid) == 1:
        return list(images)
    if series in by_uid:
        return by_uid[series]
    seen = "; ".join(f"{uid} ({len(members)} files)" for uid, members in sorted(by_uid.items())[:6])
    if series is None:
        raise SeriesError(f"{path} holds {len(by_uid)} series: {seen}. Name one as '{path}#series=UID'")
    raise SeriesError(f"{path} does not hold series {series}, but {seen}")


def is_dicom(path: Path) -> bool:
    """Whether the file has DICOM's mark, or is named .dcm or .ima."""
    return not path.name.startswith(".") and kind_of(path) == "dicom"


def tells_patient(path: Path, name: str | None = None) -> bool:
    """Whether ``name``, else the names of a DICOM file and the folders above it, repeat what its header says of the
    patient: a word of the name, a number, a date. ``path`` may be a folder with a series; where it cannot be read the
    first file beside it that can speaks for it, and False is said where none can."""
    said = _identity(path)
    words = {re.sub(r"[\W_]+", "", word) for text in said for word in re.split(r"[\^=,\s]+", text.casefold())}
    told = {word for word in words if len(word) >= MIN_TELLING and word not in _NOBODY and word.strip("x0")}
    place = (name or "/".join(path.parts)).casefold()
    named = set(re.split(r"[\W_]+", place))
    # Dates and numbers are written with dashes or without, names run into each other.
    run_together = re.sub(r"[\W_]+", "", place)
    return any(word in named or (len(word) > MIN_TELLING and word in run_together) for word in told)


def _identity(path: Path) -> list[str]:
    """What the first readable header of a file, else of its neighbours, or of a folder says of the patient. Never to
    leave this module."""
    folder = path.parent if path.is_file() else path
    beside = sorted(file for file in folder.iterdir() if file.is_file())
    for file in [path, *beside] if path.is_file() else beside:
        try:
            with _private(file):
                data = dcmread(file, stop_before_pixels=True, specific_tags=_IDENTITY_TAGS)
        except (FormatError, InvalidDicomError):
            continue
        said = [str(data.get(tag) or "") for tag in _IDENTITY_TAGS]
        if any(said):
            return said
    return []


def open_image(path: Path) -> Image | None:
    """The header of one DICOM file; None where it holds no image (a report, raw data, a directory).

    Raises:
        FormatError: damaged. TruncatedFile: shorter than its header says. UnsupportedFormat: colour, mosaic,
            segmentation, no position in the patient. TooLarge: beyond MAX_VOXELS.
    """
    with _private(path):
        try:
            data = dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
        except InvalidDicomError:
            raise FormatError(f"{path} is no DICOM file: the mark 'DICM' is missing at byte {DICOM_MARK_AT}") from None
        if "Rows" not in data or "Columns" not in data:
            if path.stat().st_size < 1024 and "SOPClassUID" not in data:
                raise TruncatedFile(f"{path} ends within its header; copy it again")
            return None
        _check(data, path)
        slices = _enhanced(data, path) if "PerFrameFunctionalGroupsSequence" in data else _classic(data, path)
        return Image(
            path,
            str(data.get("SeriesInstanceUID", "")),
            _contrast(data),
            _group(data),
            data.PhotometricInterpretation == "MONOCHROME1",
            slices,
            person.sex_of(data),
            person.age_of(data),
        )


def _series_of(path: Path) -> str | None:
    """The series that a file belongs to, if it says so."""
    try:
        with _private(path):
            uid = dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"]).get("SeriesInstanceUID")
    except FormatError:
        return None
    return str(uid) if uid else None


def _check(data: Dataset, path: Path) -> None:
    shape = (int(data.get("NumberOfFrames") or 1), int(data.Rows), int(data.Columns))
    if prod(shape) > MAX_VOXELS:
        raise TooLarge(f"{path}: its header promises {' x '.join(map(str, shape))} pixels, the cap is {MAX_VOXELS}")
    if data.get("SOPClassUID") == _SEGMENTATION:
        raise UnsupportedFormat(f"{path} is a DICOM segmentation, no scan")
    if int(data.get("SamplesPerPixel", 1)) != 1 or data.get("PhotometricInterpretation") not in (
        "MONOCHROME1",
        "MONOCHROME2",
    ):
        said = str(data.get("PhotometricInterpretation"))
        raise UnsupportedFormat(f"{path} is a colour image ({said if said in _COLOURS else 'unknown'}); a scan is grey")
    if "MOSAIC" in (data.get("ImageType") or ()):
        raise UnsupportedFormat(f"{path} is a mosaic of slices in one image; convert it to NIfTI with dcm2niix")
    syntax = UID(data.file_meta.get("TransferSyntaxUID", ""))
    needed = prod(shape) * int(data.get("BitsAllocated", 16)) // 8
    size = path.stat().st_size
    if syntax.is_transfer_syntax and not syntax.is_compressed and size < needed:
        raise TruncatedFile(f"{path} has {size} bytes, its header promises {needed} of pixels; copy it again")


def _classic(data: Dataset, path: Path) -> tuple[Slice, ...]:
    if int(data.get("NumberOfFrames") or 1) > 1:
        raise UnsupportedFormat(f"{path} has {data.NumberOfFrames} frames and no position for each")
    return (_slice(data, path, 0, [data]),)


def _enhanced(data: Dataset, path: Path) -> tuple[Slice, ...]:
    shared = list(data.get("SharedFunctionalGroupsSequence") or [])[:1]
    frames = data.PerFrameFunctionalGroupsSequence
    if len(frames) != int(data.get("NumberOfFrames") or 1):
        raise FormatError(f"{path} declares {data.get('NumberOfFrames')} frames and describes {len(frames)}")
    return tuple(_slice(data, path, n, [frame, *shared]) for n, frame in enumerate(frames))


def _slice(data: Dataset, path: Path, frame: int, groups: Sequence[Dataset]) -> Slice:
    """One image; ``groups`` are where its attributes may stand, the nearest first."""
    orientation = _found(groups, "PlaneOrientationSequence", "ImageOrientationPatient")
    position = _found(groups, "PlanePositionSequence", "ImagePositionPatient")
    spacing = _found(groups, "PixelMeasuresSequence", "PixelSpacing")
    lacking = [
        name
        for name, value, count in (
            ("ImageOrientationPatient", orientation, 6),
            ("ImagePositionPatient", position, 3),
            ("PixelSpacing", spacing, 2),
        )
        if value is None or len(value) != count
    ]
    if lacking:
        raise UnsupportedFormat(f"{path} does not say where it lies in the patient ({', '.join(lacking)} missing)")
    slope = _found(groups, "PixelValueTransformationSequence", "RescaleSlope")
    intercept = _found(groups, "PixelValueTransformationSequence", "RescaleIntercept")
    number = data.get("InstanceNumber")
    return Slice(
        path,
        frame,
        str(data.get("SOPInstanceUID", path.name)),
        int(number) if number is not None and groups[0] is data else None,
        int(data.Rows),
        int(data.Columns),
        tuple(float(c) for c in orientation),
        tuple(float(c) for c in position),
        (float(spacing[0]), float(spacing[1])),
        1.0 if slope is None else float(slope),
        0.0 if intercept is None else float(intercept),
        _traits(data, groups),
    )


def _traits(data: Dataset, groups: Sequence[Dataset]) -> tuple[tuple[str, str], ...]:
    kind = _found(groups, "MRImageFrameTypeSequence", "FrameType") or data.get("ImageType") or ()
    pairs = (
        ("echo time", _found(groups, "MREchoSequence", "EffectiveEchoTime") or data.get("EchoTime")),
        (
            "time point",
            _found(groups, "FrameContentSequence", "TemporalPositionIndex") or data.get("TemporalPositionIdentifier"),
        ),
        ("acquisition", data.get("AcquisitionNumber")),
        ("image type", "/".join(str(part) for part in kind)),
    )
    return tuple((name, str(value)) for name, value in pairs if value not in (None, ""))


def _found(groups: Sequence[Dataset], sequence: str, keyword: str) -> Any:
    """An attribute from the first functional group that has it, or from a classic dataset itself."""
    for group in groups:
        items = group.get(sequence)
        value = items[0].get(keyword) if items else group.get(keyword)
        if value is not None:
            return value
    return None


def _contrast(data: Dataset) -> str:
    """From the description, else what an enhanced header names, else timing; t1c where an agent was given."""
    description = f"{data.get('SeriesDescription', '')}"
    named = next((c for c in map(contrast_of, (description, f"{data.get('ProtocolName', '')}")) if c != UNKNOWN), None)
    groups = [
        *list(data.get("PerFrameFunctionalGroupsSequence") or [])[:1],
        *(data.get("SharedFunctionalGroupsSequence") or []),
    ]
    if named is None:
        stated = data.get("AcquisitionContrast") or _found(groups, "MRImageFrameTypeSequence", "AcquisitionContrast")
        named = {"T1": "t1", "T2": "t2", "PROTON_DENSITY": "pd", "FLUID_ATTENUATED": "flair", "DIFFUSION": "dwi"}.get(
            str(stated)
        )
    if named is None:
        echo = data.get("EchoTime") or _found(groups, "MREchoSequence", "EffectiveEchoTime")
        repetition = data.get("RepetitionTime") or _found(
            groups, "MRTimingAndRelatedParametersSequence", "RepetitionTime"
        )
        inversion = data.get("InversionTime") or _found(groups, "MRModifierSequence", "InversionTimes")
        codes = data.get("ScanningSequence") or ""
        named = contrast_of_timing(
            _number(echo), _number(repetition), _number(inversion), codes if isinstance(codes, str) else " ".join(codes)
        )
    agent = str(data.get("ContrastBolusAgent") or "").strip().lower() not in ("", "no", "none", "n", "0")
    agent = agent or bool(data.get("ContrastBolusAgentSequence"))
    return "t1c" if named == "t1" and agent and with_agent(description) is not False else named


def _number(value: Any) -> float | None:
    if value is None or value == "":
        return None
    return float(value) if isinstance(value, int | float | str) else float(value[0]) if len(value) else None


def _group(data: Dataset) -> str | None:
    patient = str(data.get("PatientID") or "").strip()
    if patient.lower() in _NOBODY or not patient.strip("xX0"):
        return None
    return "patient-" + hashlib.sha256(b"secondread patient\0" + patient.encode()).hexdigest()[:16]


def _pixels(path: Path) -> NDArray[Any]:
    """The stored values of a file, (frame, row, column)."""
    codecs.register()
    with _private(path):
        data = dcmread(path, specific_tags=_PIXEL_TAGS)
        if "PixelData" not in data:
            raise TruncatedFile(f"{path} ends before its pixels; copy it again")
        syntax = data.file_meta.TransferSyntaxUID
        try:
            pixels = pixel_array(data)
        except (NotImplementedError, RuntimeError):
            raise UnsupportedFormat(f"{path}: its pixels cannot be decoded ({syntax.name})") from None
        except ValueError as error:
            if "less than expected" in str(error):
                raise TruncatedFile(f"{path} ends before its last pixel; copy it again") from None
            raise
        return pixels.reshape(-1, *pixels.shape[-2:])


@contextmanager
def _private(path: Path) -> Iterator[None]:
    """Read DICOM without pydicom's warnings and messages, which may quote what a header holds."""
    with reading(path, private=True), SILENCE:
        yield
