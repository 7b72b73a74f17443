"""DICOM images to one grid: pure geometry, no file is read.

An image has ``rows`` and ``columns``; a volume's axis i runs along a row (its column index), j down a column (its row
index), k from image to image along the normal. Positions and directions are LPS mm as DICOM gives them (PS3.3
C.7.6.2.1.1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from secondread.errors import FormatError, GeometryError, SeriesError
from secondread.formats.header import geometry_of, three_axes
from secondread.volume import Geometry

DIRECTION_TOLERANCE = 1e-3
"""Direction cosines that differ by less are one orientation."""

SAME_PLACE_MM = 1e-2
"""Two images nearer than this along the normal are at one position."""

EVEN_SHARE = 0.05
"""Image positions may lie this share of the spacing (at least SAME_PLACE_MM) off an even row."""


@dataclass(frozen=True)
class Slice:
    """One image of a series, without its pixels.

    Attributes:
        frame: its place in a multi-frame file; 0 in a classic one.
        instance: the file's SOPInstanceUID.
        number: InstanceNumber of a classic image.
        orientation: direction cosines of a row, then of a column.
        position: centre of the first pixel, LPS mm.
        spacing: mm between rows, then between columns (DICOM's order).
        slope, intercept: stored value to intensity.
        traits: what may tell images at one position apart, by name: echo, time, type.
    """

    path: Path
    frame: int
    instance: str
    number: int | None
    rows: int
    columns: int
    orientation: tuple[float, ...]
    position: tuple[float, ...]
    spacing: tuple[float, float]
    slope: float = 1.0
    intercept: float = 0.0
    traits: tuple[tuple[str, str], ...] = ()


def stack(slices: Sequence[Slice], where: Path) -> tuple[Geometry, list[Slice], tuple[str, ...]]:
    """The grid that the images of one series form, the images in the order of k, and warnings.

    Raises:
        SeriesError: images of several shapes, spacings or orientations; missing, duplicate or unevenly spaced images;
            one image only. FormatError: several images at each position (4D). GeometryError: no usable affine.
    """
    _alike(slices, where)
    first = slices[0]
    along_row, along_column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    normal = np.cross(along_row, along_column)
    if not abs(np.linalg.norm(normal) - 1) <= 1e-2:  # NaN, too
        raise GeometryError(f"{where}: ImageOrientationPatient {list(first.orientation)} is no pair of right angles")
    positions = np.array([s.position for s in slices])
    if not np.isfinite(positions).all():
        raise GeometryError(f"{where}: an ImagePositionPatient is no finite number")
    order = np.argsort(positions @ normal, kind="stable")
    slices, positions = [slices[i] for i in order], positions[order]
    heights = positions @ normal
    _one_per_place(slices, heights, where)
    if len(slices) == 1:
        raise SeriesError(f"{where} holds one image of {first.rows} x {first.columns}; a volume needs its whole series")
    step = _even_step(positions, heights, where)
    affine = np.eye(4)
    affine[:3, 0] = along_row * first.spacing[1]
    affine[:3, 1] = along_column * first.spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = positions[0]
    shape = three_axes((first.columns, first.rows, len(slices)), where)
    return geometry_of(shape, affine, where), slices, _numbering(slices)


def _alike(slices: Sequence[Slice], where: Path) -> None:
    first = slices[0]
    shapes = Counter((s.rows, s.columns) for s in slices)
    if len(shapes) > 1:
        seen = ", ".join(f"{n} of {rows} x {columns}" for (rows, columns), n in shapes.most_common(6))
        raise SeriesError(f"{where}: images of {len(shapes)} sizes in one series ({seen})")
    turned = np.abs(np.array([s.orientation for s in slices]) - first.orientation).max(axis=1) > DIRECTION_TOLERANCE
    if turned.any():
        distinct = {tuple(round(c, 2) + 0.0 for c in s.orientation) for s in slices}
        raise SeriesError(
            f"{where}: {len(distinct)} orientations among {len(slices)} images, as in a localiser; a volume has one"
        )
    spacings = np.array([s.spacing for s in slices])
    if np.abs(spacings - spacings[0]).max() > DIRECTION_TOLERANCE:
        seen = ", ".join(f"{a:g} x {b:g} mm" for a, b in sorted({s.spacing for s in slices})[:6])
        raise SeriesError(f"{where}: images of several pixel spacings in one series ({seen})")


def _one_per_place(slices: list[Slice], heights: NDArray[np.float64], where: Path) -> None:
    """Refuse several images at one position, and say what tells them apart."""
    places = np.concatenate([[0], np.cumsum(np.diff(heights) > SAME_PLACE_MM)])
    counts = np.bincount(places)
    if counts.max() == 1:
        return
    at = float(heights[int(np.argmax(counts[places] > 1))])
    copies = Counter((s.instance, s.frame) for s in slices)
    if max(copies.values()) > 1:
        twice = sum(n > 1 for n in copies.values())
        raise SeriesError(f"{where}: {twice} images are there more than once (the same SOPInstanceUID); keep one copy")
    if counts.min() == counts.max():
        apart = _apart(slices)
        raise FormatError(
            f"{where} holds {counts[0]} images at each of {len(counts)} positions{apart}: a 4D series (perfusion, "
            "diffusion, functional, several echoes); a scan is one volume: export the one to read"
        )
    raise SeriesError(
        f"{where}: {int((counts > 1).sum())} of {len(counts)} positions hold several images, the first {at:.2f} mm "
        f"along the normal{_apart(slices)}; duplicate slices, or two series in one"
    )


def _apart(slices: list[Slice]) -> str:
    seen: dict[str, set[str]] = {}
    for one in slices:
        for name, value in one.traits:
            seen.setdefault(name, set()).add(value)
    told = [f"{name} {', '.join(sorted(values)[:4])}" for name, values in seen.items() if len(values) > 1]
    return f" ({'; '.join(told)})" if told else ""


def _even_step(positions: NDArray[np.float64], heights: NDArray[np.float64], where: Path) -> NDArray[np.float64]:
    """The vector from one image to the next. Raises SeriesError where they do not stand in an even row."""
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    allowed = max(SAME_PLACE_MM, EVEN_SHARE * usual)
    wide = np.flatnonzero(gaps > 1.5 * usual)
    if len(wide):
        missing = int(sum(round(gaps[i] / usual) - 1 for i in wide))
        raise SeriesError(
            f"{where}: about {max(1, missing)} images are missing; spacing is {usual:.3f} mm, but "
            f"{gaps[wide[0]]:.3f} mm between images {wide[0] + 1} and {wide[0] + 2} of {len(heights)}"
        )
    if np.abs(gaps - usual).max() > allowed:
        raise SeriesError(f"{where}: images are spaced unevenly, {gaps.min():.3f} to {gaps.max():.3f} mm")
    step: NDArray[np.float64] = (positions[-1] - positions[0]) / (len(positions) - 1)
    stray = np.linalg.norm(positions - (positions[0] + np.arange(len(positions))[:, None] * step), axis=1)
    if stray.max() > allowed:
        raise SeriesError(f"{where}: image positions do not lie on one line, the worst is {stray.max():.3f} mm off")
    return step


def _numbering(slices: list[Slice]) -> tuple[str, ...]:
    """A series cut short at its end is even all the same: its numbering may tell."""
    numbers = sorted(s.number for s in slices if s.number is not None)
    if len(numbers) < len(slices) or len(set(numbers)) < len(numbers):
        return ()
    if numbers[0] in (0, 1) and numbers[-1] - numbers[0] == len(numbers) - 1:
        return ()
    return (f"image numbers run from {numbers[0]} to {numbers[-1]} for {len(numbers)} images: some may be missing",)
