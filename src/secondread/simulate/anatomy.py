"""A head: where its tissues lie, drawn from the MNI152 maps and bent into somebody else's.

Two spaces: the scan's grid N (i, j, k), and MNI, RAS mm as the maps have it. ``places`` (3, N) float32 are the MNI
coordinates of the scan's voxels.

The maps: ICBM 152 2009a symmetric (Fonov et al., NeuroImage 2011), bundled with nilearn.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from secondread.simulate.fields import Floats, lattice_positions, lattice_shape, smooth_noise, upsample
from secondread.simulate.scene import Bulge, Grid, Head
from secondread.volume.prepare import axis_matrix

TISSUES = (
    "csf",
    "gm",
    "wm",
    "bone",
    "marrow",
    "fat",
    "muscle",
    "vitreous",
    "vessel",
    "dura",
    "necrosis",
    "oedema",
    "enhancing",
    "meningioma",
)
"""Order of the tissue axis T."""

INDEX = {name: t for t, name in enumerate(TISSUES)}

_HULL_MM = 3.0
_PAD_MM = 30
_CLOSING_MM = 9.0
_LATTICE_MM = 5.0
_BEND_LENGTH_MM = 38.0


@dataclass(frozen=True, eq=False)
class Atlas:
    """The maps in memory.

    Attributes:
        matter: (2, a, b, c) float32, share of grey and white matter per voxel.
        origin: (3) MNI mm of the first voxel of ``matter``.
        voxel: mm between voxels of ``matter``.
        depth: (d, e, f) float32, mm outside (negative: inside) the brain with its sulci closed.
        depth_origin: (3) MNI mm of the first voxel of ``depth``, whose voxels are _HULL_MM apart.
        deep_white: (n, 3) float32, MNI mm of white matter well inside the brain.
        surface: (n, 3) float32, MNI mm on the brain's convex surface.
        outward: (n, 3) float32, unit vectors out of the brain at ``surface``.
    """

    matter: Floats
    origin: NDArray[np.float64]
    voxel: float
    depth: Floats
    depth_origin: NDArray[np.float64]
    deep_white: Floats
    surface: Floats
    outward: Floats

    def matter_at(self, places: Floats) -> tuple[Floats, Floats]:
        """Share of grey and of white matter at ``places``, each (N)."""
        at = _voxels(places, self.origin, self.voxel)
        return _sample(self.matter[0], at), _sample(self.matter[1], at)

    def depth_at(self, places: Floats) -> Floats:
        """mm outside the closed brain at ``places``, (N); negative inside."""
        return _sample(self.depth, _voxels(places, self.depth_origin, _HULL_MM))


_loading = Lock()


def atlas(spacing: float) -> Atlas:
    """The maps at about ``spacing`` mm, 1 mm at the finest; loaded once per process, safe from several threads."""
    with _loading:
        return _atlas(float(np.clip(spacing, 1.0, 4.0)))


@lru_cache(maxsize=4)
def _atlas(voxel: float) -> Atlas:
    grey, white, brain, first = _maps()
    matter = np.stack([_shrink(grey, voxel), _shrink(white, voxel)])
    # The centre of the first coarse voxel lies half a coarse voxel past the edge of the map.
    origin = first + (voxel - 1) / 2
    depth, depth_origin = _depth(brain, first)
    white_hull = _shrink(white, _HULL_MM)
    pad = int(_PAD_MM / _HULL_MM)
    inner = depth[tuple(slice(pad, pad + n) for n in white_hull.shape)]
    spots = np.argwhere((white_hull > 0.7) & (inner < -9))
    deep = spots * _HULL_MM + first + (_HULL_MM - 1) / 2
    edge = np.argwhere(np.abs(depth) < _HULL_MM / 2)
    slope = np.stack([np.gradient(depth, axis=a)[tuple(edge.T)] for a in range(3)], axis=-1)
    surface = edge * _HULL_MM + depth_origin
    convex, deep_enough = surface[:, 2] > -8, deep[:, 2] > -22
    outward = slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-3)
    return Atlas(
        matter,
        origin,
        voxel,
        depth,
        depth_origin,
        deep[deep_enough].astype(np.float32),
        surface[convex].astype(np.float32),
        outward[convex].astype(np.float32),
    )


@lru_cache(maxsize=1)
def _maps() -> tuple[Floats, Floats, Floats, NDArray[np.float64]]:
    """Grey matter, white matter, brain at 1 mm, and the MNI mm of their first voxel."""
    from nilearn import datasets

    images = [
        datasets.load_mni152_gm_template(resolution=1),
        datasets.load_mni152_wm_template(resolution=1),
        datasets.load_mni152_brain_mask(resolution=1),
    ]
    grey, white, brain = (np.asarray(image.dataobj, dtype=np.float32) for image in images)
    return grey, white, brain, np.asarray(images[0].affine[:3, 3], dtype=np.float64)


def _depth(brain: Floats, first: NDArray[np.float64]) -> tuple[Floats, NDArray[np.float64]]:
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    inside = _shrink(brain, _HULL_MM) > 0.5
    pad = int(_PAD_MM / _HULL_MM)
    # The maps end where the brain stem goes on: repeating the lowest slice continues it as the cord.
    inside = np.pad(np.pad(inside, ((pad, pad), (pad, pad), (0, pad))), ((0, 0), (0, 0), (pad, 0)), mode="edge")
    reach = _CLOSING_MM / _HULL_MM
    closed = distance_transform_edt(distance_transform_edt(~inside) <= reach) > reach
    depth = (distance_transform_edt(~closed) - distance_transform_edt(closed)) * _HULL_MM
    # Voxel to voxel the two transforms step over the surface: it lies half a voxel from either centre.
    depth -= np.sign(depth) * _HULL_MM / 2
    return gaussian_filter(depth, 2.0 / _HULL_MM).astype(np.float32), first + (_HULL_MM - 1) / 2 - pad * _HULL_MM


def _shrink(values: Floats, voxel: float) -> Floats:
    out = values
    for _ in range(3):
        n = out.shape[0]
        out = np.tensordot(out, axis_matrix(n, int(n // voxel), 0.0, voxel).toarray(), axes=(0, 1))
    return np.ascontiguousarray(out)


def _voxels(places: Floats, origin: NDArray[np.float64], voxel: float) -> Floats:
    shift = (origin / voxel).astype(np.float32)[:, None, None, None]
    return places * np.float32(1 / voxel) - shift


def _sample(values: Floats, at: Floats) -> Floats:
    from scipy.ndimage import map_coordinates

    return np.asarray(map_coordinates(values, at, order=1, mode="nearest", output=np.float32))


def places_of(grid: Grid, head: Head, bulges: tuple[Bulge, ...]) -> tuple[Floats, Floats]:
    """MNI coordinates of the grid's voxels.

    Returns:
        ``(outer, inner)``, each (3, N): for skull and brain surface, and for the tissue within, which the mass of
        ``bulges`` pushes aside while the skull stands.
    """
    to_mni = head.from_lps() @ grid.geometry().affine
    shape = grid.shape
    m = lattice_shape(shape, grid.spacing, max(_LATTICE_MM, grid.spacing))
    axes = [lattice_positions(n, size) for n, size in zip(shape, m, strict=True)]
    at = _affine(to_mni, axes)
    rng = np.random.default_rng(head.seed)
    step = grid.spacing * (shape[0] - 1) / (m[0] - 3)
    bend = head.bend_mm * np.stack([smooth_noise(rng, m, step, _BEND_LENGTH_MM) for _ in range(3)])
    bend[0] += head.asymmetry * np.sqrt(at[0] ** 2 + 15.0**2) - head.asymmetry * 15.0
    push = np.zeros_like(bend)
    for bulge in bulges:
        push += bulge.shift(at + bend)
    outer = _affine(to_mni, [np.arange(n, dtype=np.float64) for n in shape])
    outer += np.stack([upsample(axis, shape) for axis in bend])
    return outer, outer + np.stack([upsample(axis, shape) for axis in push])


def _affine(matrix: NDArray[np.float64], axes: list[NDArray[np.float64]]) -> Floats:
    i, j, k = (a.astype(np.float32) for a in axes)
    rows = matrix.astype(np.float32)
    return np.stack(
        [r[0] * i[:, None, None] + r[1] * j[None, :, None] + r[2] * k[None, None, :] + r[3] for r in rows[:3]]
    )


def ramp(mm: Floats, spacing: float) -> Floats:
    """Share of a voxel that lies on the positive side of a surface ``mm`` away: 0 to 1 over one voxel."""
    return np.asarray(np.clip(mm * np.float32(1 / spacing) + np.float32(0.5), 0, 1), np.float32)
