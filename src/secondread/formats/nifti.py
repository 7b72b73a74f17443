"""NIfTI-1 and NIfTI-2, ``.nii`` and ``.nii.gz``. The header says RAS; what is returned is LPS."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from isal import igzip
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from secondread.errors import FormatError, GeometryError, TruncatedFile, UnsupportedFormat
from secondread.formats.contrast import contrast_of
from secondread.formats.header import Header, check_not_empty, geometry_of, mend, reading, rescaled, three_axes
from secondread.volume import RAS_TO_LPS, Geometry, Volume

_GZIP_MAGIC = b"\x1f\x8b"
_DEFLATE_LIMIT = 1032
"""Deflate never shrinks by more than this factor (zlib.net, "technical details")."""

_HEADER_BYTES = 540  # NIfTI-2; NIfTI-1 needs 348
_MM_PER_UNIT = {"unknown": 1.0, "mm": 1.0, "meter": 1e3, "micron": 1e-3}
_AGREE_MM = 0.1
"""sform and qform may differ by this much at a corner of the scan before the reader says which one it took."""


@dataclass(frozen=True)
class _Layout:
    """Where the voxels lie in the file and in the patient."""

    geometry: Geometry
    dtype: np.dtype[Any]
    offset: int
    slope: float
    intercept: float
    warnings: tuple[str, ...]

    @property
    def bytes(self) -> int:
        return prod(self.geometry.shape) * self.dtype.itemsize


def probe(path: Path) -> Header:
    """The header of a NIfTI file. Raises FormatError kinds; the voxels are not inflated."""
    with reading(path), _open(path) as file:
        layout = _layout(file, path)
    geometry = layout.geometry
    return Header("nifti", geometry.shape, geometry, 1, contrast_of(path.name), warnings=layout.warnings)


def read(path: Path) -> Volume:
    """The volume of a NIfTI file, intensities scaled by its slope. Raises FormatError kinds."""
    geometry, voxels, warnings = read_raw(path)
    voxels, mended = mend(voxels, path)
    return Volume(geometry, voxels, warnings + mended)


def read_raw(path: Path) -> tuple[Geometry, NDArray[Any], tuple[str, ...]]:
    """Geometry, voxels (i, j, k) as the file has them after scaling, warnings: nothing mended, for masks."""
    with reading(path), _open(path) as file:
        layout = _layout(file, path)
        file.seek(layout.offset)
        data = file.read(layout.bytes)
        if len(data) < layout.bytes:
            raise TruncatedFile(f"{path} ends after {len(data)} of {layout.bytes} bytes of voxels; copy it again")
        file.read(1)  # makes gzip compare its checksum
    voxels = np.frombuffer(data, layout.dtype).reshape(layout.geometry.shape, order="F")
    return layout.geometry, rescaled(voxels, layout.slope, layout.intercept), layout.warnings


def _open(path: Path) -> BinaryIO:
    check_not_empty(path)
    with path.open("rb") as file:
        zipped = file.read(2) == _GZIP_MAGIC
    # By content: files named .nii.gz that were never compressed, and the reverse, are common.
    return cast(BinaryIO, igzip.open(path, "rb")) if zipped else path.open("rb")


def _layout(file: BinaryIO, path: Path) -> _Layout:
    header = _header(file, path)
    shape = three_axes(_shape(header, path), path)
    try:
        dtype = header.get_data_dtype()
        slope, intercept = header.get_slope_inter()
    except HeaderDataError as error:
        raise UnsupportedFormat(f"{path}: {error}") from error
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise UnsupportedFormat(f"{path}: voxels of type {dtype} are not supported; save real numbers")
    affine, warnings = _affine(header, shape, path)
    offset = int(header.get_data_offset())
    layout = _Layout(
        geometry_of(shape, RAS_TO_LPS @ affine, path),
        dtype,
        max(offset, int(header.single_vox_offset)),
        1.0 if slope is None else float(slope),
        0.0 if intercept is None else float(intercept),
        warnings,
    )
    _check_room(path, layout.offset + layout.bytes)
    return layout


def _header(file: BinaryIO, path: Path) -> Any:
    try:
        data = file.read(_HEADER_BYTES)
    except zlib.error as error:
        raise FormatError(f"{path}: its gzip stream is damaged ({error})") from error
    for kind, size in ((Nifti1Header, 348), (Nifti2Header, _HEADER_BYTES)):
        if len(data) >= size and kind.may_contain_header(data):
            return kind.from_fileobj(io.BytesIO(data[:size]), check=False)
    if len(data) < 348:
        raise TruncatedFile(f"{path} ends after {len(data)} bytes, within its header; copy it again")
    raise FormatError(f"{path} is no NIfTI file: the mark 'n+1' is missing from its header")


def _shape(header: Any, path: Path) -> tuple[int, ...]:
    count = int(header["dim"][0])
    if not 1 <= count <= 7:
        raise FormatError(f"{path}: its header gives {count} axes; NIfTI has 1 to 7")
    return tuple(int(n) for n in header["dim"][1 : count + 1])


def _affine(header: Any, shape: tuple[int, int, int], path: Path) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The RAS affine in mm: the sform, else the qform, else spacing alone with a warning."""
    scale = np.diag([_MM_PER_UNIT.get(header.get_xyzt_units()[0], 1.0)] * 3 + [1.0])
    sform, s_code = header.get_sform(coded=True)
    try:
        qform, q_code = header.get_qform(coded=True)
    except (HeaderDataError, ValueError) as error:
        if not s_code:
            raise GeometryError(f"{path}: its qform is no rotation ({error})") from error
        qform, q_code = None, 0
    if s_code:
        return scale @ sform, _disagreement(sform, qform, shape) if q_code else ()
    if q_code:
        return scale @ qform, ()
    spacing = np.abs(header["pixdim"][1:4].astype(np.float64))
    warning = (
        "the header says nothing of the patient's orientation (sform and qform codes are 0): spacing "
        f"{' x '.join(f'{s:g}' for s in spacing)} mm kept, axes taken as right, anterior, superior"
    )
    return scale @ np.diag([*spacing, 1.0]), (warning,)


def _disagreement(
    sform: NDArray[np.float64], qform: NDArray[np.float64], shape: tuple[int, int, int]
) -> tuple[str, ...]:
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape])).reshape(3, -1)
    apart = (sform - qform)[:3, :3] @ corners + (sform - qform)[:3, 3:]
    worst = float(np.linalg.norm(apart, axis=0).max())
    if not worst > _AGREE_MM:
        return ()
    return (f"sform and qform place the scan up to {worst:.3g} mm apart; the sform is used",)


def _check_room(path: Path, needed: int) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        zipped = file.read(2) == _GZIP_MAGIC
    most = size * _DEFLATE_LIMIT if zipped else size
    if needed > most:
        raise TruncatedFile(f"{path} has {size} bytes, its header promises {needed}; copy it again")
