"""MetaImage, ``.mha`` and ``.mhd`` (itk.org/Wiki/ITK/MetaIO/Documentation). Its world is LPS and mm."""

from __future__ import annotations

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
    "met_char": "i1",
    "met_uchar": "u1",
    "met_short": "i2",
    "met_ushort": "u2",
    "met_int": "i4",
    "met_uint": "u4",
    "met_long_long": "i8",
    "met_ulong_long": "u8",
    "met_float": "f4",
    "met_double": "f8",
}
_YES_NO = {"true": True, "false": False, "1": True, "0": False}
_LAST_FIELD = "ElementDataFile"


def probe(path: Path) -> Header:
    """The header of a MetaImage file. Raises FormatError kinds, UnsafeFileError."""
    with reading(path, private=True):
        layout = _layout(path)
    return Header("mha", layout.geometry.shape, layout.geometry, 1, contrast_of(path.name), warnings=layout.warnings)


def read(path: Path) -> Volume:
    """The volume of a MetaImage file. Raises FormatError kinds, UnsafeFileError."""
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
    axes = counts(fields.get("NDims", ""), 1, "NDims", path)[0]
    if not 1 <= axes <= 10:
        raise FormatError(f"{path}: its header gives {quoted(axes)} axes; MetaImage has 1 to 10")
    channels = counts(fields.get("ElementNumberOfChannels", "1"), 1, "ElementNumberOfChannels", path)[0]
    if channels != 1:
        raise FormatError(f"{path} holds {quoted(channels)} values per voxel; a scan has one")
    shape = three_axes(counts(fields.get("DimSize", ""), axes, "DimSize", path), path)
    if not chosen(fields, "BinaryData", _YES_NO, path, "true"):
        raise UnsupportedFormat(f"{path}: voxels written as text are not supported; save it in binary")
    order = "BinaryDataByteOrderMSB" if "BinaryDataByteOrderMSB" in fields else "ElementByteOrderMSB"
    dtype = np.dtype(chosen(fields, "ElementType", _TYPES, path)).newbyteorder(
        ">" if chosen(fields, order, _YES_NO, path, "false") else "<"
    )
    encoding: Encoding = "zlib" if chosen(fields, "CompressedData", _YES_NO, path, "false") else "raw"
    affine, warnings = _affine(fields, axes, path)
    data, start = _data(fields, path, end, encoding)
    layout = Layout(geometry_of(shape, affine, path), dtype, data, start, encoding, warnings)
    layout.check_room(path)
    return layout


def _fields(path: Path) -> tuple[dict[str, str], int]:
    """The header's fields, and where the voxels begin if they follow it."""
    check_not_empty(path)
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        while file.tell() < MAX_HEADER_BYTES:
            line = file.readline(MAX_HEADER_BYTES)
            name, equals, value = (part.strip() for part in line.decode("utf-8", "replace").partition("="))
            if not equals:
                break
            fields[name] = value
            if name == _LAST_FIELD:
                return fields, file.tell()
    if fields.get("ObjectType") == "Image" or "NDims" in fields:
        raise TruncatedFile(f"{path}: its header ends without {_LAST_FIELD}; copy it again")
    raise FormatError(f"{path} is no MetaImage file: its header has no {_LAST_FIELD}")


def _affine(fields: dict[str, str], axes: int, path: Path) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The LPS affine; TransformMatrix holds the direction of each axis in turn."""

    def first_of(*names: str) -> str | None:
        return next((fields[name] for name in names if name in fields), None)

    spacing, turn = first_of("ElementSpacing", "ElementSize"), first_of("TransformMatrix", "Rotation", "Orientation")
    origin = first_of("Offset", "Position", "Origin")
    if spacing is None:
        raise GeometryError(f"{path}: its header gives no spacing between voxels; add it in mm")
    affine = np.eye(4)
    if turn is not None:
        matrix = np.array(numbers(turn, axes * axes, "TransformMatrix", path)).reshape(axes, axes)
        affine[:3, :3] = matrix[:3, :3].T
    affine[:3, :3] *= numbers(spacing, axes, "ElementSpacing", path)[:3]
    if origin is not None:
        affine[:3, 3] = numbers(origin, axes, "Offset", path)[:3]
    lacking = [name for name, value in (("orientation", turn), ("origin", origin)) if value is None]
    if not lacking:
        return affine, ()
    return affine, (f"the header gives no {' and no '.join(lacking)}: axes taken as left, posterior, superior from 0",)


def _data(fields: dict[str, str], path: Path, end: int, encoding: Encoding) -> tuple[Path, int]:
    named = fields[_LAST_FIELD]
    if not named:
        raise FormatError(f"{path}: {_LAST_FIELD} names no file")
    if named.upper() == "LOCAL":
        return path, end
    skip = counts(fields.get("HeaderSize", "0"), 1, "HeaderSize", path)[0]
    if skip < -1 or (skip == -1 and encoding != "raw"):
        raise UnsupportedFormat(f"{path}: 'HeaderSize = {quoted(skip)}' is not supported with these voxels")
    return data_beside(path, named), skip
