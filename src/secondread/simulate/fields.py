"""Smooth fields on a grid: cubic B-splines over a coarse lattice.

Shape legend: N the fine grid (i, j, k); M the lattice, two points wider than it must be, so that the spline is whole
at the border.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_MEAN_SQUARE = 151 / 315
"""Mean over positions of the sum of squared cubic B-spline weights: white noise of variance 1 keeps this per axis."""


def lattice_shape(shape: tuple[int, ...], spacing: float, step: float) -> tuple[int, ...]:
    """M for a grid of ``shape`` voxels of ``spacing`` mm, with a lattice point about every ``step`` mm."""
    return tuple(max(1, round((n - 1) * spacing / step)) + 3 for n in shape)


def lattice_positions(n: int, m: int) -> NDArray[np.float64]:
    """Where the m lattice points of an axis lie, in voxels of its n; the outermost lie beyond the grid."""
    return np.asarray((np.arange(m) - 1) * (max(1, n - 1) / (m - 3)), np.float64)


def upsample(lattice: Floats, shape: tuple[int, ...]) -> Floats:
    """The spline over ``lattice`` (M) at every voxel of ``shape`` (N)."""
    out = lattice
    for n, m in zip(shape, lattice.shape, strict=True):
        # Contracting the first axis and appending the result turns the axes round once in three steps.
        out = np.tensordot(out, _weights(n, m), axes=(0, 1))
    return out


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], spacing: float, length: float) -> Floats:
    """Normal noise of mean 0 and standard deviation about 1 that changes over ``length`` mm. Returns (N) float32."""
    lattice = rng.standard_normal(lattice_shape(shape, spacing, length), dtype=np.float32)
    return upsample(lattice * np.float32(_MEAN_SQUARE ** (-lattice.ndim / 2)), shape)


@lru_cache(maxsize=256)
def _weights(n: int, m: int) -> Floats:
    """(n, m), rows sum to 1: the uniform cubic B-spline at n even positions.

    De Boor, A Practical Guide to Splines, 1978.
    """
    at = np.linspace(1, m - 2, n)
    away = np.abs(at[:, None] - np.arange(m)[None, :])
    near = 2 / 3 - away**2 + away**3 / 2
    far = np.clip(2 - away, 0, None) ** 3 / 6
    return np.where(away < 1, near, far).astype(np.float32)
