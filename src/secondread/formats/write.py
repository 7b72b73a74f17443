"""Volumes and masks to files. A file is written under another name beside its own, flushed, and renamed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.errors import MaskError, UnsupportedFormat, writing
from secondread.files import write_whole
from secondread.formats.header import suffix_of
from secondread.volume import RAS_TO_LPS, Geometry, Mask, Volume

_COMPRESSION = 2
"""igzip's level: at 3 files shrink by another percent and take half as long again."""

_NARROWER = {"float16": np.float32, "bool": np.uint8}
_NRRD_TYPES = {
    "uint8": "uint8", "int8": "int8", "int16": "int16", "uint16": "uint16", "int32": "int32", "uint32": "uint32",
    "int64": "int64", "uint64": "uint64", "float32": "float", "float64": "double",
}  # fmt: skip
_META_TYPES = {
    "uint8": "MET_UCHAR", "int8": "MET_CHAR", "int16": "MET_SHORT", "uint16": "MET_USHORT", "int32": "MET_INT",
    "uint32": "MET_UINT", "int64": "MET_LONG_LONG", "uint64": "MET_ULONG_LONG", "float32": "MET_FLOAT",
    "float64": "MET_DOUBLE",
}  # fmt: skip


def write_volume(volume: Volume, path: Path | str) -> None:
    """Write a volume as ``.nii.gz``, ``.nii``, ``.nrrd`` or ``.mha``, whole or not at all.

    NIfTI keeps its affine (sform and qform, RAS) as float32: exact to 1e-7 of each entry. NRRD and MHA keep all digits.

    Raises:
        UnsupportedFormat: another suffix, or voxels of a type that the format lacks.
        ResourceError: disk, permission or memory.
    """
    _write(volume.geometry, volume.voxels, Path(path), label=False)


def write_mask(mask: Mask, path: Path | str) -> None:
    """Write a mask as uint8 in its own geometry. Formats and errors as :func:`write_volume`."""
    _write(mask.geometry, mask.labels, Path(path), label=True)


def write_picture_mask(labels: NDArray[np.uint8], path: Path | str) -> None:
    """Write labels (row, column) uint8 as a PNG of the same grey values.

    A mask whose only label is 255 would read as 1 again (see ``read_mask``); findings use 1 and up.

    Raises:
        MaskError: not (row, column) uint8. UnsupportedFormat: the suffix is not .png. ResourceError.
    """
    from PIL import Image

    path = Path(path)
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise MaskError(f"a picture's mask is (row, column) uint8, got {labels.shape} {labels.dtype}")
    if path.suffix.lower() != ".png":
        raise UnsupportedFormat(f"{path}: a picture's mask is written as .png, which loses nothing")
    buffer = io.BytesIO()
    Image.fromarray(labels).save(buffer, format="PNG")
    _save(path, buffer.getvalue())


def _write(geometry: Geometry, voxels: NDArray[Any], path: Path, *, label: bool) -> None:
    voxels = voxels.astype(_NARROWER.get(voxels.dtype.name, voxels.dtype), copy=False)
    match suffix_of(path):
        case ".nii" | ".nii.gz" as suffix:
            data = _nifti(geometry, voxels, path, label=label)
            packed = _gzip(data) if suffix == ".nii.gz" else data
        case ".nrrd":
            packed = _nrrd(geometry, voxels, path)
        case ".mha":
            packed = _mha(geometry, voxels, path)
        case suffix:
            raise UnsupportedFormat(
                f"{path}: cannot write {suffix or 'a file without suffix'}; .nii.gz, .nii, .nrrd, .mha"
            )

    _save(path, packed)


def _nifti(geometry: Geometry, voxels: NDArray[Any], path: Path, *, label: bool) -> bytes:
    import nibabel as nib

    try:
        image = nib.Nifti1Image(voxels, RAS_TO_LPS @ geometry.affine, dtype=voxels.dtype)
    except (nib.spatialimages.HeaderDataError, ValueError) as error:
        raise UnsupportedFormat(f"{path}: NIfTI cannot hold voxels of type {voxels.dtype} ({error})") from error
    image.set_sform(image.affine, code="scanner")
    image.set_qform(image.affine, code="scanner")
    image.header.set_xyzt_units("mm")
    if label:
        image.header.set_intent("label")
    return bytes(image.to_bytes())


def _nrrd(geometry: Geometry, voxels: NDArray[Any], path: Path) -> bytes:
    """teem.sourceforge.net/nrrd/format.html"""
    columns = [_numbers(geometry.affine[:3, axis], ",") for axis in range(3)]
    header = [
        "NRRD0005",
        f"type: {_typed(_NRRD_TYPES, voxels, path)}",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, geometry.shape))}",
        f"space directions: {' '.join(f'({column})' for column in columns)}",
        "kinds: domain domain domain",
        "endian: little",
        "encoding: gzip",
        f"space origin: ({_numbers(geometry.affine[:3, 3], ',')})",
    ]
    return "\n".join([*header, "", ""]).encode() + _gzip(_little(voxels))


def _mha(geometry: Geometry, voxels: NDArray[Any], path: Path) -> bytes:
    """itk.org/Wiki/ITK/MetaIO/Documentation; TransformMatrix holds the direction of each axis in turn."""
    from isal import isal_zlib

    spacing = np.array(geometry.spacing)
    data = isal_zlib.compress(_little(voxels), _COMPRESSION)
    header = [
        "ObjectType = Image",
        "NDims = 3",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        "CompressedData = True",
        f"CompressedDataSize = {len(data)}",
        f"TransformMatrix = {_numbers((geometry.affine[:3, :3] / spacing).T.ravel(), ' ')}",
        f"Offset = {_numbers(geometry.affine[:3, 3], ' ')}",
        f"ElementSpacing = {_numbers(spacing, ' ')}",
        f"DimSize = {' '.join(map(str, geometry.shape))}",
        f"ElementType = {_typed(_META_TYPES, voxels, path)}",
        "ElementDataFile = LOCAL",
    ]
    return "\n".join([*header, ""]).encode() + data


def _typed(names: dict[str, str], voxels: NDArray[Any], path: Path) -> str:
    if voxels.dtype.name not in names:
        raise UnsupportedFormat(f"{path}: this format cannot hold voxels of type {voxels.dtype}")
    return names[voxels.dtype.name]


def _numbers(values: NDArray[np.float64], separator: str) -> str:
    return separator.join(repr(float(v)) for v in values)


def _little(voxels: NDArray[Any]) -> bytes:
    """The voxels with i running fastest, little-endian."""
    return voxels.astype(voxels.dtype.newbyteorder("<"), copy=False).tobytes(order="F")


def _gzip(data: bytes) -> bytes:
    from isal import igzip

    return bytes(igzip.compress(data, _COMPRESSION, mtime=0))  # no time in it: equal masks are equal files


def _save(path: Path, content: bytes) -> None:
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)
