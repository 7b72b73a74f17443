"""What a prepared scan looks like, in numbers that need no network.

Axes: C channels, S the prepared grid; for volumes S is along Left, Posterior, Superior, for pictures (row, column).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secondread.volume.foreground import foreground
from secondread.volume.prepare import CLIP_Z

THUMBNAIL = {2: (12, 12), 3: (7, 7, 7)}
"""Cells of the thumbnail along each axis, by dimensions."""

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
BANDS = 7
"""Octaves of spatial frequency, the highest first."""

TONES = 64
"""Bins over the range of grey values in which flat tones are counted."""

Floats = NDArray[np.float32]


def appearance(array: Floats) -> tuple[Floats, Floats]:
    """Statistics and thumbnail of a prepared scan.

    Args:
        array: (C, S) float32, as :func:`secondread.volume.prepare` gives it. A channel of zeros is missing.

    Returns:
        statistics, always as many for one number of dimensions: mean over the channels that are there of the shares of
        foreground and of flat tones, quantiles, the spectrum, edges, symmetry, and where the bright parts lie; and the
        thumbnail, (prod THUMBNAIL) with mean 0 and norm 1 per scan: which part of the frame is bright.
    """
    present = [channel for channel in array if channel.any()] or [array[0]]
    statistics = np.mean([_statistics(channel) for channel in present], axis=0)
    thumbnail = np.mean([_thumbnail(channel) for channel in present], axis=0)
    return statistics.astype(np.float32), thumbnail.astype(np.float32).ravel()


def _statistics(x: Floats) -> Floats:
    """(S) to numbers of order 1."""
    inside = foreground(x)
    tones = np.bincount((np.clip((x + CLIP_Z) / (2 * CLIP_Z), 0, 1) * (TONES * 4 - 1)).astype(int).ravel()) / x.size
    flat = np.sort(tones)[::-1]
    entropy = -(tones[tones > 0] * np.log(tones[tones > 0])).sum()
    parts = [
        [inside.mean(), flat[0], flat[:3].sum(), entropy],
        np.quantile(x, QUANTILES),
        _spectrum(x),
        _edges(x, inside),
        _symmetry(x),
        _places(x, inside),
    ]
    return np.concatenate([np.asarray(part, np.float32).ravel() for part in parts])


def _spectrum(x: Floats) -> Floats:
    """Log of the share of power in each octave, and how unequal the axes share it: text and stripes show here."""
    power = np.abs(np.fft.rfftn(x - x.mean())) ** 2
    squares = [np.fft.fftfreq(n) ** 2 for n in x.shape[:-1]] + [np.fft.rfftfreq(x.shape[-1]) ** 2]
    grids = np.meshgrid(*squares, indexing="ij", sparse=True)
    radius = np.sqrt(sum(grids[1:], grids[0]))
    band = np.clip(-np.log2(np.maximum(radius, 1e-6) / 0.5), 0, BANDS - 1).astype(int)
    shares = np.bincount(band.ravel(), power.ravel(), BANDS) / max(1e-12, float(power.sum()))
    fine = power * (radius > 0.06)
    total = max(1e-12, float((fine * radius**2).sum()))
    axes = [float((fine * grid).sum()) / total for grid in grids]
    return np.asarray([*np.log(shares + 1e-6), *sorted(axes)], np.float32)


def _edges(x: Floats, inside: NDArray[np.bool_]) -> Floats:
    """How strong edges are, how few of them hold most of the change, and how rough air and tissue are."""
    slopes = [np.abs(np.diff(x, axis=axis)).ravel() for axis in range(x.ndim)]
    every = np.concatenate(slopes)
    mean = max(1e-6, float(every.mean()))
    # Differences of neighbours' differences: noise is rough at the finest scale, tissue is not.
    rough = np.mean([np.abs(np.diff(x, 2, axis=axis)).mean() for axis in range(x.ndim)])
    air = [np.abs(np.diff(x, axis=a))[~(np.delete(inside, 0, a) | np.delete(inside, -1, a))] for a in range(x.ndim)]
    in_air = float(np.mean([a.mean() if a.size else 0 for a in air]))
    return np.asarray(
        [np.log(mean), np.log(max(1e-6, float(every.std())) / mean), np.log(rough / mean + 1e-6), in_air / mean],
        np.float32,
    )


def _symmetry(x: Floats) -> Floats:
    """Correlation of the scan with itself, mirrored along each axis."""
    flat = x - x.mean()
    power = max(1e-12, float((flat**2).sum()))
    return np.asarray([float((flat * np.flip(flat, axis)).sum()) / power for axis in range(x.ndim)], np.float32)


def _places(x: Floats, inside: NDArray[np.bool_]) -> Floats:
    """Share of foreground at the frame's faces, corners and centre; centre of the bright mass along each axis."""
    out: list[float] = []
    rims = []
    for axis, n in enumerate(x.shape):
        wide = max(1, n // 16)
        rims += [np.take(inside, range(wide), axis).mean(), np.take(inside, range(n - wide, n), axis).mean()]
        weight = np.maximum(x - x.min(), 0).sum(axis=tuple(a for a in range(x.ndim) if a != axis))
        out.append(float((weight * np.linspace(-1, 1, n)).sum() / max(1e-9, float(weight.sum()))))
    eighth = tuple(slice(0, max(1, n // 8)) for n in x.shape)
    corners = [np.flip(inside, tuple(a for a in range(x.ndim) if code >> a & 1))[eighth] for code in range(2**x.ndim)]
    middle = inside[tuple(slice(n // 4, max(n // 4 + 1, 3 * n // 4)) for n in x.shape)]
    return np.asarray([*out, *rims, np.mean([c.mean() for c in corners]), middle.mean()], np.float32)


def _thumbnail(x: Floats) -> Floats:
    """(S) averaged into cells, mean 0 and norm 1."""
    out = x
    for axis, cells in enumerate(THUMBNAIL[x.ndim]):
        edges = np.linspace(0, x.shape[axis], cells + 1)
        starts = np.minimum(edges[:-1].astype(int), x.shape[axis] - 1)
        ends = np.maximum(np.ceil(edges[1:]).astype(int), starts + 1)
        total = np.concatenate([np.zeros_like(np.take(out, [0], axis)), np.cumsum(out, axis=axis)], axis=axis)
        width = (ends - starts).reshape([-1 if a == axis else 1 for a in range(x.ndim)])
        out = (np.take(total, ends, axis) - np.take(total, starts, axis)) / width
    out = out - out.mean()
    return np.asarray(out / max(1e-6, float(np.linalg.norm(out))), np.float32)
