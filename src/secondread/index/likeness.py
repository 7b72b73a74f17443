"""How alike two thumbprints are at best: turned, shifted, stretched, and made equally bright.

Two prints are compared in three steps, each on what the one before left. *Rough*: in every turn, with the first print
seen through a few windows, on few cells. *Fit*: from the best of these, shift and scale along each axis by
Gauss-Newton steps (Lucas and Kanade 1981; the inverse compositional form of Baker and Matthews 2004, in which the
slopes are those of the second print and are computed once). *Score*: the correlation of the two where they overlap, the
middle weighing most, of cells less the mean of their surroundings, divided by the spread there: brightness leaves it
alone, and a bright skull, which all heads share, weighs no more than what lies inside, which no two do.

Shape legend: m pairs, P planes, S the side of a print, T turns, W windows, s a smaller side. A fit is (m, P, 2, 2):
per plane, for (row, column), the scale and the shift (in cells from centre to centre) at which the first is sampled.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from secondread.index.turns import permutation
from secondread.volume.prepare import axis_matrix

Cells = NDArray[np.float32]
Progress = Callable[[str, int, int], None]

SCALES, SHIFTS = (0.86, 1.0, 1.16), (-0.06, -0.03, 0.0, 0.03, 0.06)
"""Scales, and shifts down and across in shares of a side, of the windows of the rough comparison."""

ROUGH = 16
"""Cells along a side in the rough comparison, and in ..."""

FIT = 24
"""... the fit."""

STEPS = 6
"""Gauss-Newton steps on FIT cells, and half as many on all."""

MOST_SCALE, MOST_SHIFT, LEAST_OVERLAP = 1.3, 0.15, 0.6
"""How far a fit may go: scale either way, shift in shares of a side; and the share of cells that must be left."""

WORTH = 0.6
"""Pairs whose fit on few cells correlates less are not looked at closer."""

STILL, MOVED = 0.35, 0.1
"""A fit that moves no cell further than STILL cells leaves a picture as it lies; any other, and any turn, takes MOVED
off the likeness. Of heads that merely look alike few lie alike to a third of a cell; neighbouring slices of a volume
do, and a copy that was moved still is as like as copies are."""

CENTRAL = 3 / 16
"""Standard deviation of the weights of the score, in sides."""

BLOCK = 512
"""Pairs compared at a time."""

WORKERS = 8
"""Threads at most, each on a block: the arithmetic leaves Python's lock."""


@lru_cache(maxsize=256)
def shrinking(n: int, side: int) -> Cells:
    """Weights (side, n) that shrink n cells to side."""
    return np.asarray(axis_matrix(n, side, 0.0, n / side).toarray(), np.float32)


@lru_cache
def blurring(side: int, sigma: float) -> Cells:
    """Weights (side, side) of a Gaussian blur of ``sigma`` cells."""
    at = np.arange(side)
    weights = np.exp(-0.5 * ((at[:, None] - at) / sigma) ** 2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def levelled(cells: Cells, sigma: float, floor: float) -> Cells:
    """Cells (..., s, s) less the mean of their surroundings (``sigma`` cells), divided by the spread there; ``floor``
    of the print's own spread is added, so that the noise of an even place stays small."""
    blur = blurring(cells.shape[-1], sigma)
    detail = cells - blur @ cells @ blur.T
    power = blur @ (detail * detail) @ blur.T
    least = floor**2 * (detail * detail).mean(axis=(-2, -1), keepdims=True)
    return np.asarray(detail / np.sqrt(power + least + 1e-3), np.float32)


def sampling(fit: Cells, side: int) -> tuple[Cells, Cells]:
    """Linear weights (..., side, side) that sample cells at ``scale * (i - middle) + middle + shift``, from a fit
    (..., 2); and (..., side) 1 where that is inside, 0 elsewhere (where the border is repeated)."""
    middle = (side - 1) / 2
    at = fit[..., :1] * (np.arange(side, dtype=np.float32) - middle) + (fit[..., 1:] + middle)
    inside = ((at > -0.5) & (at < side - 0.5)).astype(np.float32)
    near = np.clip(at, 0, side - 1)[..., None] - np.arange(side, dtype=np.float32)
    return np.maximum(1 - np.abs(near), 0), inside


def fitted(first: Cells, second: Cells, fit: Cells, steps: int) -> Cells:
    """The fit (m, 2, 2) at which ``first`` (m, s, s), sampled, comes nearest to ``second`` (m, s, s)."""
    m, side, _ = first.shape
    down, across = np.zeros_like(second), np.zeros_like(second)
    down[:, 1:-1] = (second[:, 2:] - second[:, :-2]) / 2
    across[:, :, 1:-1] = (second[:, :, 2:] - second[:, :, :-2]) / 2
    reach = side / 2
    place = (np.arange(side, dtype=np.float32) - (side - 1) / 2) / reach
    slopes = np.stack([down * place[:, None], down, across * place, across], axis=1).reshape(m, 4, -1)
    curve = slopes @ slopes.swapaxes(1, 2)
    curve[:, range(4), range(4)] *= 1.01
    curve[:, range(4), range(4)] += 1e-2
    solve = np.linalg.inv(curve)
    fit = fit.copy()
    for _ in range(steps):
        seen, inside = _seen(first, fit)
        gap = (seen - second) * inside
        move = (solve @ (slopes @ gap.reshape(m, -1, 1)))[..., 0].reshape(m, 2, 2)
        move[..., 0] /= reach
        move = np.clip(move, [-0.1, -1.5], [0.1, 1.5])
        # The step was found on the second print: what is sampled is the first through the inverse of it.
        scale = fit[..., 0] / (1 + move[..., 0])
        fit = np.stack([scale, fit[..., 1] - scale * move[..., 1]], axis=-1)
        fit = np.clip(fit, [MOST_SCALE**-1, -MOST_SHIFT * side], [MOST_SCALE, MOST_SHIFT * side]).astype(np.float32)
    return fit


def _seen(first: Cells, fit: Cells) -> tuple[Cells, Cells]:
    (rows, columns), (above, beside) = zip(*(sampling(fit[:, axis], first.shape[-1]) for axis in (0, 1)), strict=True)
    return rows @ first @ columns.swapaxes(1, 2), above[:, :, None] * beside[:, None, :]


def correlation(first: Cells, second: Cells, fit: Cells, weights: Cells) -> Cells:
    """(m): of ``first`` sampled at ``fit`` with ``second`` (m, s, s), where they overlap, each cell with its weight
    (s, s); -1 where they hardly overlap."""
    seen, inside = _seen(first, fit)
    weight = weights * inside
    total = np.maximum(weight.sum(axis=(1, 2), keepdims=True), 1e-6)
    a = seen - (seen * weight).sum(axis=(1, 2), keepdims=True) / total
    b = second - (second * weight).sum(axis=(1, 2), keepdims=True) / total
    aa, bb, ab = (np.einsum("mij,mij,mij->m", weight, x, y, optimize=True) for x, y in ((a, a), (b, b), (a, b)))
    enough = inside.mean(axis=(1, 2)) >= LEAST_OVERLAP
    return np.where(enough, ab / (np.sqrt(aa * bb) + 1e-6), -1).astype(np.float32)


@lru_cache
def central(side: int) -> Cells:
    """(side, side): Gaussian weights. The outline of a head is much like another's; what is inside tells them apart."""
    at = (np.arange(side) - (side - 1) / 2) / (CENTRAL * side)
    weights = np.exp(-0.5 * (at[:, None] ** 2 + at**2))
    return np.asarray(weights, np.float32)


def likeness(prints: NDArray[np.uint8], pairs: NDArray[np.int64], progress: Progress | None = None) -> Cells:
    """(m): how alike the two prints of each pair (m, 2) of ``prints`` (n, P, S, S) are at best, -1 to 1.

    Pairs that share their first print should follow each other: it is looked at through the windows once.
    """
    out = np.empty(len(pairs), np.float32)
    starts = range(0, len(pairs), BLOCK)
    workers = min(os.cpu_count() or 1, WORKERS)
    with ThreadPoolExecutor(workers, thread_name_prefix="likeness") as pool, threadpool_limits(1):
        blocks = pool.map(lambda at: _likeness(prints, pairs[at : at + BLOCK]), starts)
        for at, block in zip(starts, blocks, strict=True):
            out[at : at + BLOCK] = block
            if progress:
                progress("comparing look-alikes", min(at + BLOCK, len(pairs)), len(pairs))
    return out


def _likeness(prints: NDArray[np.uint8], pairs: NDArray[np.int64]) -> Cells:
    members, place = np.unique(pairs, return_inverse=True)
    first, second = place.reshape(pairs.shape).T
    roots = np.sqrt(prints[members].astype(np.float32))
    planes, side = roots.shape[1:3]
    smooth = levelled(roots, side / 16, 0.5)
    turn, fit = _rough(smooth, first, second)
    # From here on a plane is a picture of its own: the middles of a volume move each by itself.
    fit = np.repeat(fit, planes, axis=0)
    shrink, share = shrinking(side, FIT), np.array([1, FIT / side], np.float32)
    few = np.asarray(shrink @ smooth @ shrink.T, np.float32)
    one, other = _planes(few, first), _planes(few, second, turn)
    fit = fitted(one, other, fit * share, STEPS)
    worth = correlation(one, other, fit, np.ones((FIT, FIT), np.float32)).reshape(-1, planes).mean(axis=1)
    some = np.flatnonzero(worth > WORTH)
    out = np.full(len(pairs), -1, np.float32)
    if some.size:
        first, second, turn = first[some], second[some], turn[some]
        fit = fit.reshape(-1, planes, 2, 2)[some].reshape(-1, 2, 2) / share
        fit = fitted(_planes(smooth, first), _planes(smooth, second, turn), fit, STEPS // 2)
        sharp = levelled(roots, side / 32, 0.3)
        score = correlation(_planes(sharp, first), _planes(sharp, second, turn), fit, central(side))
        out[some] = score.reshape(-1, planes).mean(axis=1) - MOVED * ((turn > 0) | _moved(fit, planes, side))
    return out


def _planes(values: Cells, members: NDArray[np.int64], turn: NDArray[np.int64] | None = None) -> Cells:
    """(n, P, s, s) -> the planes of some members, turned, as pictures (m * P, s, s)."""
    _, planes, side, _ = values.shape
    chosen = values[members].reshape(len(members), -1)
    if turn is not None:
        chosen = np.take_along_axis(chosen, permutation(planes, side)[turn], 1)
    return chosen.reshape(-1, side, side)


def _moved(fit: Cells, planes: int, side: int) -> NDArray[np.bool_]:
    """(m): whether the fit moves any cell of any plane further than ``STILL``."""
    reach = np.array([side / 2, 1], np.float32)
    return np.asarray((np.abs((fit - [1, 0]) * reach) > STILL).reshape(-1, planes * 4).any(axis=1))


def _rough(smooth: Cells, first: NDArray[np.int64], second: NDArray[np.int64]) -> tuple[NDArray[np.int64], Cells]:
    """Which turn of the second, and which window of the first, are most alike: (m), and a fit (m, 2, 2)."""
    n, planes, side, _ = smooth.shape
    axis = np.array([[(scale, shift) for shift in SHIFTS] for scale in SCALES], np.float32)
    shrink = shrinking(side, ROUGH)
    window = shrinking(FIT, ROUGH) @ sampling(axis * np.array([1, FIT], np.float32), FIT)[0]  # (scales, shifts, s, FIT)
    few, again = np.unique(first, return_inverse=True)
    small = shrinking(side, FIT) @ smooth[few] @ shrinking(side, FIT).T
    views = (window @ small[:, :, None, None])[..., None, :, :] @ window[:, None].swapaxes(-1, -2)
    views = np.moveaxis(views, 1, 4).reshape(len(few), axis[..., 0].size * len(SHIFTS), -1)
    seen = _unit(np.asarray(views, np.float32)).swapaxes(1, 2)
    cells = _unit(np.asarray(shrink @ smooth @ shrink.T, np.float32).reshape(n, -1))[:, permutation(planes, ROUGH)]
    best = np.empty(len(first), np.int64)
    for member in range(len(few)):
        mine = again == member
        best[mine] = (cells[second[mine]] @ seen[member]).reshape(int(mine.sum()), -1).argmax(axis=1)
    turn, best = np.divmod(best, views.shape[1])
    scale, down, across = np.unravel_index(best, (len(SCALES), len(SHIFTS), len(SHIFTS)))
    return turn, np.stack([axis[scale, down], axis[scale, across]], axis=1) * np.array([1, side], np.float32)


def _unit(vectors: Cells) -> Cells:
    vectors = vectors - vectors.mean(axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6), np.float32)
