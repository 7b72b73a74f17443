"""What of a scan is not air.

Air is dark, but a scanner's noise makes it not black: where it is measured to be brighter than air should be, the
border between air and foreground rises with it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FOREGROUND_LEVEL = 0.1
"""Foreground is brighter than this share of the way from darkest voxel to the 99th percentile; noisy air needs more."""

FOREGROUND_SHARE = 0.01
"""A plane belongs to the foreground box when at least this share of it is foreground: specks of noise do not count."""

NOISE_DEVIATIONS = 4.5
"""Noisy air ends so many standard deviations above its mean: Rayleigh noise is beyond in 2 voxels of 10,000
(Gudbjartsson and Patz, Magn Reson Med 1995), so that hardly a line of a picture has two."""

NOISE_LEVEL = 0.35
"""What would raise the level to more than this share of the 99th percentile is tissue, not air."""

NOISY_SHARE = 0.9
"""A block of noisy air has at least this share of voxels that are not darkest; one at the rim of a stripped brain has
fewer."""

LEAST_SPREAD = 0.01
"""Of noisy air the standard deviation is at least this share of the mean (one receiver 0.52, 64 joined ones 0.06;
interpolated to finer voxels, less). What is more even than that was drawn, not measured."""

BLOCKS = 8
"""A scan is looked at for air in so many blocks along each axis."""

SAMPLES = 64
"""About so many voxels along each axis are looked at."""


def foreground(voxels: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Voxels that are not air: brighter than FOREGROUND_LEVEL of the way from darkest to the 99th percentile, and than
    air is where it is noisy."""
    low, high = float(voxels.min()), percentile_99(voxels)
    return voxels > low + max(FOREGROUND_LEVEL * (high - low), _noise_level(voxels, low))


def box_of(inside: NDArray[np.bool_], share: float = FOREGROUND_SHARE) -> tuple[list[int], list[int]]:
    """First and one-past-last plane per axis with more than a share inside; the whole grid where there is none."""
    low, high = [], []
    for axis, n in enumerate(inside.shape):
        planes = np.flatnonzero(inside.mean(axis=tuple(a for a in range(inside.ndim) if a != axis)) > share)
        low.append(int(planes[0]) if len(planes) else 0)
        high.append(int(planes[-1]) + 1 if len(planes) else n)
    return low, high


def percentile_99(voxels: NDArray[np.float32]) -> float:
    """``np.percentile(voxels, 99)``, sorted among the brightest alone: where every 97th voxel says those begin."""
    flat = voxels.ravel(order="K")
    last = 0.99 * (flat.size - 1)
    sample = flat[::97]
    bright = flat[flat >= np.partition(sample, int(0.97 * (sample.size - 1)))[int(0.97 * (sample.size - 1))]]
    missing = flat.size - bright.size
    if missing > int(last):  # the sample was no fair one
        return float(np.percentile(flat, 99))
    at = int(last) - missing
    ranked = np.partition(bright, [at, min(at + 1, bright.size - 1)])
    below, above = float(ranked[at]), float(ranked[min(at + 1, bright.size - 1)])
    return below + (above - below) * (last - int(last))


def _noise_level(voxels: NDArray[np.float32], darkest: float) -> float:
    """Where noisy air ends, above ``darkest``; 0 where the border shows air that is clean, or none."""
    some = voxels[tuple(slice(None, None, max(1, n // SAMPLES)) for n in voxels.shape)] - darkest
    # Planes that a program has padded a scan with hold no noise.
    some = some[tuple(map(slice, *box_of(some > 0, share=0.0)))]
    blocks = _border_blocks(some)
    mean, deviation = blocks.mean(axis=1), blocks.std(axis=1)
    levels = mean + NOISE_DEVIATIONS * deviation
    air = levels < NOISE_LEVEL * percentile_99(some)
    noisy = air & ((blocks > 0).mean(axis=1) > NOISY_SHARE) & (deviation > LEAST_SPREAD * mean)
    if 2 * noisy.sum() <= air.sum():
        return 0.0
    return float(np.quantile(levels[noisy], 0.25))


def _border_blocks(voxels: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, voxels of a block): the outermost of up to BLOCKS blocks along each axis."""
    count = [min(BLOCKS, n) for n in voxels.shape]
    size = [n // c for n, c in zip(voxels.shape, count, strict=True)]
    whole = voxels[tuple(slice(c * s) for c, s in zip(count, size, strict=True))]
    split = whole.reshape([n for pair in zip(count, size, strict=True) for n in pair])
    blocks = np.moveaxis(split, range(0, 2 * voxels.ndim, 2), range(voxels.ndim)).reshape(*count, -1)
    inner = np.zeros(count, bool)
    inner[tuple(slice(1, -1) if c > 2 else slice(None) for c in count)] = True
    return blocks[~inner] if not inner.all() else blocks.reshape(-1, blocks.shape[-1])
