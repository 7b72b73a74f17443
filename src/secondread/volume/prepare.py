"""From a study to the array a network sees, and back. Packing and reading both take this one path.

Shape legend: C contrasts or colours; S the prepared grid, (i, j, k) nearest to (L, P, S) for a volume, (row, column)
for a picture; N the scan's own grid.

Resampling is separable: one small matrix per axis, a triangle filter as wide as the coarser grid's voxel, so that
shrinking does not alias and enlarging is linear interpolation (the filter that image libraries call bilinear with
antialiasing). Outside the scan the nearest voxel is repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from secondread.errors import DataError
from secondread.volume.foreground import box_of, foreground
from secondread.volume.geometry import Geometry
from secondread.volume.volume import Mask, Picture, Study, Volume

T = TypeVar("T", bound=np.generic)

CLIP_Z = 10.0
"""Normalised voxels are cut at this many standard deviations."""

SAME_VOXEL = 1e-4
"""Grids whose voxels lie no further apart than this share of a voxel are one."""


@dataclass(frozen=True)
class Recipe:
    """How studies become arrays.

    Attributes:
        channels: contrasts in channel order; ``("grey",)`` or ``("red", "green", "blue")`` for pictures.
        spacing: mm along L, P, S of the prepared grid; None for pictures.
        size: (rows, columns) of a prepared picture; None for volumes.
    """

    channels: tuple[str, ...]
    spacing: tuple[float, float, float] | None = None
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if (self.spacing is None) == (self.size is None):
            raise DataError("a recipe has either a spacing (volumes) or a size (pictures)")

    @property
    def dimensions(self) -> int:
        return 2 if self.spacing is None else 3


@dataclass(frozen=True, eq=False)
class Frame:
    """Which part of the scan the prepared grid covers.

    Attributes:
        shape: N, the scan's own shape.
        order: prepared axis a is the scan's axis ``order[a]``.
        flips: reversed if ``flips[a]``.
        start: where the prepared grid begins, in voxels of the reordered scan, per prepared axis (edge, not centre).
        step: scan voxels per prepared voxel.
        size: S.
    """

    shape: tuple[int, ...]
    order: tuple[int, ...]
    flips: tuple[bool, ...]
    start: tuple[float, ...]
    step: tuple[float, ...]
    size: tuple[int, ...]

    def from_scan(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values on the scan's grid N -> on the prepared grid S."""
        axes = self._axes()
        # Air that the frame leaves out is cut off along every axis before anything is copied or multiplied.
        parts = [_needed(n, m, start, step) for n, start, step, m in axes]
        out = self._reorder(values)[tuple(parts)]
        for axis, (part, (n, start, step, m)) in enumerate(zip(parts, axes, strict=True)):
            if _crop(n, m, start, step) is None:
                out = _along(axis, axis_matrix(n, m, start, step)[:, part], out)
        return out

    def to_scan(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values on the prepared grid (..., S) -> on the scan's grid (..., N), linear; 0 outside the prepared grid."""
        lead = values.ndim - len(self.size)
        out = values
        for axis, (n, start, step, m) in enumerate(self._axes()):
            # What the network has not seen has no evidence, whatever the last voxel beside it says.
            out = _along(lead + axis, axis_matrix(m, n, -start / step, 1 / step, beyond=False), out)
        flipped = tuple(lead + a for a, flip in enumerate(self.flips) if flip)
        out = np.flip(out, flipped) if flipped else out
        return np.ascontiguousarray(np.moveaxis(out, range(lead, out.ndim), [lead + o for o in self.order]))

    def mask_from_scan(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Labels on N -> on S: each prepared voxel takes the label that covers it most."""
        crops = [_crop(n, m, start, step) for n, start, step, m in self._axes()]
        if all(crop is not None for crop in crops):
            return self._reorder(labels)[tuple(crop for crop in crops if crop is not None)].copy()
        best = np.full(self.size, 0.5, np.float32)
        out = np.zeros(self.size, np.uint8)
        for label in np.unique(labels[labels > 0]):
            share = self.from_scan((labels == label).astype(np.float32))
            # Thin structures of several labels may share a voxel: any label may win, if together they cover half.
            wins = share >= best
            out[wins], best[wins] = label, share[wins]
        uncovered = (out == 0) & (self.from_scan((labels > 0).astype(np.float32)) >= 0.5)
        if uncovered.any():
            out[uncovered] = self._nearest(labels)[uncovered]
        return out

    def _nearest(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        picks = [
            np.clip(np.round(start + (np.arange(m) + 0.5) * step - 0.5).astype(int), 0, n - 1)
            for n, start, step, m in self._axes()
        ]
        return self._reorder(labels)[np.ix_(*picks)]

    def _reorder(self, values: NDArray[T]) -> NDArray[T]:
        out = np.transpose(values, self.order)
        flipped = tuple(a for a, flip in enumerate(self.flips) if flip)
        return np.flip(out, flipped) if flipped else out

    def _axes(self) -> list[tuple[int, float, float, int]]:
        shape = [self.shape[o] for o in self.order]
        return list(zip(shape, self.start, self.step, self.size, strict=True))


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a network sees of one study.

    Attributes:
        array: (C, S) float32, foreground mean 0 and standard deviation 1 per channel; 0 where a contrast is missing.
        present: per channel, whether the study has it.
        frame: the way back.
    """

    array: NDArray[np.float32]
    present: tuple[bool, ...]
    frame: Frame


def prepare(study: Study, recipe: Recipe) -> Prepared:
    """Crop to the foreground, resample, normalise.

    Raises:
        DataError: a picture for a recipe of volumes or the reverse, none of the recipe's contrasts, a scan without
            any contrast between its voxels.
    """
    if study.picture is not None:
        return _prepare_picture(study.picture, recipe)
    if recipe.spacing is None:
        raise DataError(f"study {study.name!r} is a volume, and this model reads pictures")
    named = {name: study.series[name] for name in recipe.channels if name in study.series}
    if not named:
        raise DataError(
            f"study {study.name!r} has {', '.join(study.series)}; the model reads {', '.join(recipe.channels)}"
        )
    frame = _volume_frame(study.reference, recipe.spacing)
    channels = [
        normalise(_on_frame(named[name], study.reference.geometry, frame), name)
        if name in named
        else np.zeros(frame.size, np.float32)
        for name in recipe.channels
    ]
    return Prepared(np.stack(channels), tuple(name in named for name in recipe.channels), frame)


def extent(volume: Volume) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Size of the foreground and spacing of the voxels, both in mm along the axes nearest to L, P, S."""
    order, _ = volume.geometry.canonical_axes()
    i, j, k = (volume.geometry.spacing[o] for o in order)
    size = _volume_frame(volume, (i, j, k)).size
    return (size[0] * i, size[1] * j, size[2] * k), (i, j, k)


def prepare_mask(mask: Mask, reference: Geometry, frame: Frame) -> NDArray[np.uint8]:
    """A mask on the prepared grid, (S) uint8. The mask must lie on ``reference``, else DataError."""
    if not mask.geometry.matches(reference):
        raise DataError(f"mask on a grid of shape {mask.geometry.shape}, scan on {reference.shape} or elsewhere")
    return frame.mask_from_scan(mask.labels)


def axis_matrix(n: int, m: int, start: float, step: float, *, beyond: bool = True) -> csr_array:
    """Weights that resample n samples to m: sparse (m, n) float32.

    Output sample t is centred at ``start + (t + 0.5) * step`` in input voxels (edge of the first voxel at 0), under a
    triangle of half-width ``max(1, step)``. Rows sum to 1; without ``beyond``, those centred outside the input are 0.
    """
    centres = start + (np.arange(m) + 0.5) * step - 0.5
    radius = max(1.0, abs(step))
    reach = int(np.ceil(radius))
    taps = np.floor(centres)[:, None].astype(int) + np.arange(-reach, reach + 2)[None, :]
    weights = np.clip(1 - np.abs(taps - centres[:, None]) / radius, 0, None)
    weights /= weights.sum(axis=1, keepdims=True)
    if not beyond:
        weights[(centres < -0.5) | (centres > n - 0.5)] = 0
    rows = np.repeat(np.arange(m), taps.shape[1])
    entries = (weights.ravel().astype(np.float32), (rows, np.clip(taps, 0, n - 1).ravel()))
    # Entries of one voxel that several taps fall on are summed.
    return coo_array(entries, shape=(m, n)).tocsr()


def _prepare_picture(picture: Picture, recipe: Recipe) -> Prepared:
    if recipe.size is None:
        raise DataError("this is a picture, and the model reads volumes")
    pixels = picture.pixels.astype(np.float32)
    if len(recipe.channels) == 1 and pixels.shape[2] == 3:
        pixels = (pixels @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]  # ITU-R BT.601 luma
    if len(recipe.channels) == 3 and pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    frame = _picture_frame(pixels.mean(axis=2), recipe.size)
    array = np.stack([frame.from_scan(pixels[..., c]) for c in range(pixels.shape[2])])
    return Prepared(normalise(array, "picture"), (True,) * len(recipe.channels), frame)


def _picture_frame(grey: NDArray[np.float32], size: tuple[int, int]) -> Frame:
    # The head (or the whole photograph) is centred and fills the frame, aspect kept, whatever border a source adds.
    low, high = box_of(foreground(grey))
    extent = [max(1.0, b - a) for a, b in zip(low, high, strict=True)]
    step = max(e / s for e, s in zip(extent, size, strict=True))
    start = tuple(a + e / 2 - s * step / 2 for a, e, s in zip(low, extent, size, strict=True))
    return Frame(grey.shape, (0, 1), (False, False), start, (step, step), size)


def _volume_frame(volume: Volume, spacing: tuple[float, float, float]) -> Frame:
    order, flips = volume.geometry.canonical_axes()
    inside = np.transpose(foreground(volume.voxels.astype(np.float32, copy=False)), order)
    flipped = tuple(a for a, flip in enumerate(flips) if flip)
    low, high = box_of(np.flip(inside, flipped) if flipped else inside)
    step = tuple(s / volume.geometry.spacing[o] for s, o in zip(spacing, order, strict=True))
    size = tuple(max(1, int(np.ceil((b - a) / t - 1e-6))) for a, b, t in zip(low, high, step, strict=True))
    start = tuple((a + b) / 2 - n * t / 2 for a, b, n, t in zip(low, high, size, step, strict=True))
    return Frame(volume.geometry.shape, order, flips, start, step, size)


def _on_frame(volume: Volume, reference: Geometry, frame: Frame) -> NDArray[np.float32]:
    voxels = volume.voxels.astype(np.float32, copy=False)
    if not volume.geometry.matches(reference):
        voxels = _on_grid(voxels, volume.geometry, reference)
    return frame.from_scan(voxels)


def _on_grid(voxels: NDArray[np.float32], source: Geometry, target: Geometry) -> NDArray[np.float32]:
    from scipy.ndimage import affine_transform

    way = np.linalg.inv(source.affine) @ target.affine
    out = affine_transform(voxels, way[:3, :3], way[:3, 3], target.shape, order=1, mode="constant", cval=voxels.min())
    return np.asarray(out, np.float32)


def normalise(values: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """Values of any shape with their foreground at mean 0 and deviation 1. Raises DataError where all are alike."""
    inside = values[foreground(values)]
    deviation = float(inside.std()) if inside.size else 0.0
    if not np.isfinite(deviation) or float(values.max() - values.min()) <= 0:
        raise DataError(f"{name}: every voxel has the value {values.flat[0]:g}, there is nothing to read")
    # A picture of two flat tones has a foreground without spread; its whole range then sets the scale.
    deviation = deviation or float(values.std())
    out = (values - float(inside.mean())) / deviation
    return np.asarray(np.clip(out, -CLIP_Z, CLIP_Z), np.float32)


def _crop(n: int, m: int, start: float, step: float) -> slice | None:
    """Which of n samples the m are, where they need no resampling: :func:`axis_matrix` would say the same, slowly."""
    first = round(start)
    if abs(step - 1) * m > SAME_VOXEL or abs(start - first) > SAME_VOXEL or first < 0 or first + m > n:
        return None
    return slice(first, first + m)


def _needed(n: int, m: int, start: float, step: float) -> slice:
    """Which of n samples the m are made from."""
    crop = _crop(n, m, start, step)
    if crop is not None:
        return crop
    used = axis_matrix(n, m, start, step).indices
    return slice(int(used.min()), int(used.max()) + 1)


def _along(axis: int, matrix: csr_array, values: NDArray[np.float32]) -> NDArray[np.float32]:
    first = np.moveaxis(values, axis, 0)
    if matrix.nnz:
        # Air that the frame leaves out is neither copied nor multiplied.
        low, high = int(matrix.indices.min()), int(matrix.indices.max()) + 1
        first, matrix = first[low:high], matrix[:, low:high]
    out: NDArray[np.float32] = (matrix @ first.reshape(first.shape[0], -1)).reshape(-1, *first.shape[1:])
    return np.moveaxis(out, 0, axis)
