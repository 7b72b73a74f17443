"""NRRD, ``.nrrd`` and ``.nhdr`` (teem.sourceforge.net/nrrd/format.html)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.errors import FormatError, GeometryError, TruncatedFile, UnsupportedFormat
from secondread.formats.contrast import contrast_of
from secondread.formats.header import Header, check_not_empty, geometry_of, mend, reading, three_axes
from secondread.formats.textheader import (
    MAX_HEADER_BYTES,
    Encoding,
    Layout,
    chosen,
    counts,
    data_beside,
    numbers,
    quoted,
)
from secondread.volume import Geometry, Volume

_TYPES = {
    name: code
    for code, names in {
        "i1": "signed char|int8|int8_t",
        "u1": "uchar|unsigned char|uint8|uint8_t",
        "i2": "short|short int|signed short|signed short int|int16|int16_t",
        "u2": "ushort|unsigned short|unsigned short int|uint16|uint16_t",
        "i4": "int|signed int|int32|int32_t",
        "u4": "uint|unsigned int|uint32|uint32_t",
        "i8": "longlong|long long|long long int|signed long long|signed long long int|int64|int64_t",
        "u8": "ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t",
        "f4": "float",
        "f8": "double",
    }.items()
    for name in names.split("|")
}
_ENCODINGS: dict[str, Encoding] = {"raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}
_TO_LPS = {
    "left-posterior-superior": (1, 1, 1),
    "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1),
}
_MM = {"mm": 1.0, "cm": 10.0, "m": 1e3, "um": 1e-3, "µm": 1e-3, "": 1.0}
_VECTOR = re.compile(r"none|\(([^()]*)\)", re.IGNORECASE)


def probe(path: Path) -> Header:
    """The header of an NRRD file. Raises FormatError kinds, UnsafeFileError."""
    with reading(path, private=True):
        layout = _layout(path)
    return Header("nrrd", layout.geometry.shape, layout.geometry, 1, contrast_of(path.name), warnings=layout.warnings)


def read(path: Path) -> Volume:
    """The volume of an NRRD file. Raises FormatError kinds, UnsafeFileError."""
    geometry, voxels, warnings = read_raw(path)
    voxels, mended = mend(voxels, path)
    return Volume(geometry, voxels, warnings + mended)


def read_raw(path: Path) -> tuple[Geometry, NDArray[Any], tuple[str, ...]]:
    """Geometry, voxels (i, j, k), warnings: nothing mended, for masks."""
    with reading(path, private=True):
        layout = _layout(path)
        return layout.geometry, layout.voxels(path), layout.warnings


def _layout(path: Path) -> Layout:
    fields, end = _fields(path)
    dimension = counts(fields.get("dimension", ""), 1, "dimension", path)[0]
    if not 1 <= dimension <= 16:
        raise FormatError(f"{path}: its header gives {quoted(dimension)} axes; NRRD has 1 to 16")
    sizes = counts(fields.get("sizes", ""), dimension, "sizes", path)
    if sum(n > 1 for n in sizes) > 3:
        told = quoted(" ".join(map(str, sizes)))
        raise FormatError(f"{path} holds several volumes, or values per voxel (sizes {told}); a scan is one volume")
    spatial, affine, warnings = _place(fields, sizes, path)
    # An axis without direction holds values per voxel or time points.
    shape = three_axes([sizes[a] for a in spatial] + [n for a, n in enumerate(sizes) if a not in spatial], path)
    kind = np.dtype(chosen(fields, "type", _TYPES, path))
    if kind.itemsize > 1:
        kind = kind.newbyteorder(chosen(fields, "endian", {"little": "<", "big": ">"}, path))
    encoding = chosen(fields, "encoding", _ENCODINGS, path)
    data, start = _data(fields, path, end, encoding)
    layout = Layout(geometry_of(shape, affine, path), kind, data, start, encoding, warnings)
    layout.check_room(path)
    return layout


def _fields(path: Path) -> tuple[dict[str, str], int]:
    """The header's fields, names in lower case, and where the voxels begin if they follow it."""
    check_not_empty(path)
    with path.open("rb") as file:
        data = file.read(MAX_HEADER_BYTES)
    if not data.startswith(b"NRRD000"):
        raise FormatError(f"{path} is no NRRD file: it does not begin with 'NRRD000'")
    blank = re.search(rb"\r?\n\r?\n", data)
    text = data[: blank.start() if blank else len(data)].decode("utf-8", "replace")
    fields: dict[str, str] = {}
    for line in text.splitlines()[1:]:
        name, colon, value = line.partition(": ")
        if colon and not line.startswith("#"):
            fields[name.strip().lower()] = value.strip()
    if "datafile" in fields:
        fields["data file"] = fields.pop("datafile")
    if blank is None and "data file" not in fields:
        raise TruncatedFile(f"{path} ends within its header; copy it again")
    return fields, blank.end() if blank else len(data)


def _place(
    fields: dict[str, str], sizes: list[int], path: Path
) -> tuple[list[int], NDArray[np.float64], tuple[str, ...]]:
    """Which axes are spatial, the LPS affine, and a warning where the orientation is not told."""
    affine = np.eye(4)
    space = fields.get("space", "").lower()
    if "space directions" in fields:
        words = [match.group(1) for match in _VECTOR.finditer(fields["space directions"])]
        spatial = [axis for axis, inner in enumerate(words) if inner is not None]
        if len(words) != len(sizes) or len(spatial) != 3:
            raise GeometryError(
                f"{path}: space directions should be {len(sizes)} vectors or none, three of them vectors"
            )
        for column, axis in enumerate(spatial):
            affine[:3, column] = numbers(words[axis].replace(",", " "), 3, "a space direction", path)
        origin = fields.get("space origin")
        if origin is not None:
            affine[:3, 3] = numbers(origin.strip("()").replace(",", " "), 3, "space origin", path)
        affine[:3] *= _unit(fields, path)
        if space in _TO_LPS:
            affine = np.diag([*_TO_LPS[space], 1.0]) @ affine
            return spatial, affine, () if origin is not None else ("the header gives no origin: 0, 0, 0 taken",)
    elif "spacings" in fields:
        # Axes beyond the third have no spacing ("nan").
        spatial = [0, 1, 2][: len(sizes)]
        spacings = " ".join(fields["spacings"].split()[:3])
        affine[range(len(spatial)), range(len(spatial))] = numbers(spacings, len(spatial), "spacings", path)
    else:
        raise GeometryError(f"{path}: its header gives no spacing between voxels; add it in mm")
    warning = "the header says nothing of the patient's orientation: axes taken as left, posterior, superior"
    return spatial, affine, (warning,)


def _unit(fields: dict[str, str], path: Path) -> float:
    units = {unit.strip().lower() for unit in re.findall(r'"([^"]*)"', fields.get("space units", ""))}
    if len(units) > 1 or not units <= _MM.keys():
        raise GeometryError(
            f"{path}: space units should be one of {', '.join(filter(None, _MM))}, the same for all axes"
        )
    return _MM[units.pop()] if units else 1.0


def _data(fields: dict[str, str], path: Path, end: int, encoding: Encoding) -> tuple[Path, int]:
    named = fields.get("data file")
    if named is None:
        data, start = path, end
    else:
        data, start = data_beside(path, named), 0
    if counts(fields.get("line skip", fields.get("lineskip", "0")), 1, "line skip", path)[0]:
        raise UnsupportedFormat(f"{path}: 'line skip' is not supported; save the file anew")
    skip = counts(fields.get("byte skip", fields.get("byteskip", "0")), 1, "byte skip", path)[0]
    if skip == -1 and encoding == "raw":
        return data, -1
    if skip < 0 or (skip and encoding != "raw"):
        raise UnsupportedFormat(f"{path}: 'byte skip: {quoted(skip)}' with encoding {encoding} is not supported")
    return data, start + skip
