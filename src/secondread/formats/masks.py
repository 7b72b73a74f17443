"""Masks: labels 0 to 255 on the grid of the scan that they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from secondread.errors import MaskError, UnsupportedFormat
from secondread.formats.header import READABLE, kind_of
from secondread.volume import Geometry, Mask

MAX_GREY_LABELS = 8
"""A grey mask picture of more values than this, up to 255, is a soft outline and no set of labels."""


@overload
def read_mask(path: Path | str, like: Geometry) -> Mask: ...
@overload
def read_mask(path: Path | str, like: tuple[int, int]) -> NDArray[np.uint8]: ...


def read_mask(path: Path | str, like: Geometry | tuple[int, int]) -> Mask | NDArray[np.uint8]:
    """The mask of a scan or picture.

    Of a volume (NIfTI, NRRD, MHA): whole numbers 0 to 255, taken as they are. Of a picture: a palette picture gives its
    indices; grey values of which the only one above 0 is the type's largest (0/255, bilevel) give 0 and 1; up to
    MAX_GREY_LABELS values are labels as they are; more, or JPEG, are a soft outline, 1 from the middle grey on.

    Args:
        like: the scan's grid, or the picture's (rows, columns).

    Returns:
        A Mask on ``like``; for a picture its labels (row, column) uint8.

    Raises:
        MaskError: another shape or place than the scan's, values that are no labels.
        FormatError, ResourceError: as for any file.
    """
    path = Path(path)
    kind = kind_of(path)
    if isinstance(like, Geometry):
        if kind == "nifti":
            from secondread.formats import nifti

            geometry, voxels, warnings = nifti.read_raw(path)
        elif kind == "nrrd":
            from secondread.formats import nrrd

            geometry, voxels, warnings = nrrd.read_raw(path)
        elif kind == "mha":
            from secondread.formats import metaimage

            geometry, voxels, warnings = metaimage.read_raw(path)
        else:
            raise UnsupportedFormat(f"{path}: the mask of a volume is NIfTI, NRRD or MHA")
        _check_grid(path, geometry, like, warnings)
        return Mask(like, _labels(voxels, path))
    if kind != "picture":
        raise UnsupportedFormat(f"{path}: the mask of a picture is a picture; of all, {READABLE} are read")
    return _read_picture_mask(path, like)


def _check_grid(path: Path, mask: Geometry, scan: Geometry, warnings: tuple[str, ...]) -> None:
    if mask.shape != scan.shape:
        raise MaskError(f"{path}: the mask has shape {mask.shape}, its scan {scan.shape}")
    if not mask.matches(scan):
        apart = float(np.abs(mask.affine - scan.affine).max())
        said = f"; of the mask, {warnings[0]}" if warnings else ""
        raise MaskError(
            f"{path}: the mask has its scan's shape but lies elsewhere, their affines differ by up to {apart:.4g}{said}"
        )


def _labels(values: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    if values.dtype.kind == "f":
        fractions = values[values != np.round(values)]  # NaN differs from itself, so it is caught here
        if fractions.size:
            raise MaskError(
                f"{path}: {fractions.size} values such as {float(fractions.flat[0]):g} are no labels; a mask holds "
                "whole numbers: apply a threshold to probabilities first"
            )
    if values.dtype.kind not in "biuf" or (values.size and (values.min() < 0 or values.max() > 255)):
        raise MaskError(f"{path}: labels go from 0 to 255, found {values.min()} to {values.max()}")
    return values.astype(np.uint8)


def _read_picture_mask(path: Path, like: tuple[int, int]) -> NDArray[np.uint8]:
    from PIL import ImageOps

    from secondread.formats import picture

    with picture.opened(path) as image:
        lossy = image.format in ("JPEG", "MPO")
        upright = ImageOps.exif_transpose(image)
        palette = upright.mode == "P"
        if upright.mode in ("LA", "RGBA", "RGBX"):
            upright = upright.convert("L" if upright.mode == "LA" else "RGB")
        values = np.asarray(upright)
    if values.shape[:2] != tuple(like):
        raise MaskError(f"{path}: the mask has {values.shape[:2]} rows and columns, its picture {tuple(like)}")
    if values.ndim == 3:
        if (values[..., :1] != values[..., 1:]).any():
            raise MaskError(f"{path} is in colour; a mask is grey or has a palette, a value per label")
        values = values[..., 0]
    if values.dtype.kind == "b" or palette:
        return values.astype(np.uint8)
    return _from_grey(values, path, lossy=lossy)


def _from_grey(values: NDArray[Any], path: Path, *, lossy: bool) -> NDArray[np.uint8]:
    full = 65535 if values.dtype.itemsize > 1 and values.max() > 255 else 255
    seen = np.unique(values)
    if set(seen.tolist()) <= {0, full} and not lossy:
        return (values > 0).astype(np.uint8)
    if lossy or (len(seen) > MAX_GREY_LABELS and seen[-1] == full):
        return (values > full // 2).astype(np.uint8)
    return _labels(values, path)
