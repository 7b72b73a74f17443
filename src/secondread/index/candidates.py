"""Which thumbprints may show the same picture: a rough description of each, and the nearest of it among the others.

The description says how much of each kind of edge there is in each part of the picture, softly, so that a picture
cropped or scaled a little keeps most of it. Its kinds are such that a flip or a quarter turn only changes places: the
turns of a print are looked up without describing it anew. After GIST (Oliva and Torralba 2001; for copies: Douze et
al. 2009), cut down to what a thumbprint holds, and whitened: what all heads share says nothing.

Shape legend: n prints, P planes, S the side of a print, C kinds at all scales, G the parts along an axis, D components.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from secondread.index.likeness import levelled, shrinking
from secondread.index.turns import Turn, turns_of

PARTS = 4
"""Along each axis, overlapping."""

SCALES = (48, 24, 12)
"""Sides to which a print is shrunk before its edges are looked at."""

KINDS = 6
"""Edges that lie across, upright, along one diagonal, along the other; bright spots, dark spots."""

COMPONENTS = 96
"""Principal components of the description, each scaled to one size, that are searched."""

SAMPLE = 20_000
"""Descriptions from which the components are found."""

FLAT = 50_000
"""Up to so many prints each is compared with all; beyond, with those in the nearest cells of a k-means grid."""

MOST_PAIRS, MOST_SHARE = 300_000, 0.3
"""A search ends with at most so many pairs, or so many a print."""

PROBES = 2
"""Cells of that grid that are looked into."""

BLOCK, CACHED = 4096, 128
"""Prints at a time in a search, whose memory it bounds, and in a description, which the cache should hold."""

WORKERS = 8
"""Threads at most that describe."""

Progress = Callable[[str, int, int], None]


def describe(prints: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, P, S, S) -> (n, P, C, G, G)."""
    out = []
    roots = np.sqrt(prints.astype(np.float32))
    for side in SCALES:
        shrink, pool = shrinking(prints.shape[-1], side), _pooling(side)
        kinds = _edges(levelled(shrink @ roots @ shrink.T, side / 8, 3.0))
        out.append(pool @ kinds @ pool.T)
    return np.concatenate(out, axis=2)


def describe_all(prints: NDArray[np.uint8], progress: Progress | None = None) -> NDArray[np.float16]:
    """As :func:`describe`, of many, in half precision: a few hundred numbers each."""
    out = np.empty((len(prints), prints.shape[1], len(SCALES) * KINDS, PARTS, PARTS), np.float16)
    starts = range(0, len(prints), CACHED)
    with ThreadPoolExecutor(min(os.cpu_count() or 1, WORKERS), "describe") as pool, threadpool_limits(1):
        parts = pool.map(lambda at: describe(prints[at : at + CACHED]), starts)
        for at, part in zip(starts, parts, strict=True):
            out[at : at + CACHED] = part
            if progress:
                progress("describing scans", at + len(part), len(prints))
    return out


def _edges(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, P, s, s) -> (n, P, KINDS, s, s), none below 0."""
    down, across = np.zeros_like(cells), np.zeros_like(cells)
    down[..., 1:-1, :] = cells[..., 2:, :] - cells[..., :-2, :]
    across[..., 1:-1] = cells[..., 2:] - cells[..., :-2]
    size = np.hypot(down, across) + 1e-3
    upright, slant = (down**2 - across**2) / size, 2 * down * across / size
    kinds = np.stack([upright, -upright, slant, -slant, cells, -cells], axis=2)
    return np.asarray(np.maximum(kinds, 0), np.float32)


@lru_cache
def _pooling(side: int) -> NDArray[np.float32]:
    """(G, side): Gaussian weights of the parts along an axis."""
    width = side / PARTS
    centres = (np.arange(PARTS) + 0.5) * width - 0.5
    weights = np.exp(-0.5 * ((np.arange(side) - centres[:, None]) / (width / 2)) ** 2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def turned(description: NDArray[np.float32], turn: Turn) -> NDArray[np.float32]:
    """The description of the turned prints, shaped as :func:`describe` gives it."""
    n, planes, _, parts, _ = description.shape
    kinds = description.reshape(n, planes, len(SCALES), KINDS, parts, parts)
    out = np.empty_like(kinds)
    for p, source in enumerate(turn.planes):
        plane, (down, across) = kinds[:, source], turn.flips[p]
        upright, slant = ((1, 0) if turn.swaps[p] else (0, 1)), ((3, 2) if down != across else (2, 3))
        plane = plane.swapaxes(-1, -2) if turn.swaps[p] else plane
        out[:, p] = plane[:, :, [*upright, *slant, 4, 5], :: -1 if down else 1, :: -1 if across else 1]
    return out.reshape(description.shape)


def candidates(prints: NDArray[np.uint8], nearest: int, progress: Progress | None = None) -> NDArray[np.int64]:
    """Pairs (m, 2), a < b, of prints (n, P, S, S) that may be alike in some turn: of each print its ``nearest``, or all
    there are; of these the nearest of all, where there are more than ``MOST_PAIRS``. In lexical order, each once."""
    n = len(prints)
    if n <= nearest + 1:
        return np.stack(np.triu_indices(n, 1), axis=1).astype(np.int64)
    described = describe_all(prints, progress)
    whiten = _whitening(described)
    identity, *others = turns_of(prints.shape[1])
    vectors = np.concatenate([whiten(described[at : at + BLOCK], identity) for at in range(0, n, BLOCK)])
    search = _searching(vectors)
    out = []
    for at in range(0, n, BLOCK):
        if progress:
            progress("looking for near-duplicates", min(at + BLOCK, n), n)
        mine = np.arange(at, min(at + BLOCK, n))
        near, found = search.search(vectors[mine], nearest + 1)
        for turn in others:
            more = search.search(whiten(described[mine], turn), nearest + 1)
            near, found = np.concatenate([near, more[0]], axis=1), np.concatenate([found, more[1]], axis=1)
            # Of each print the nearest in any turn; those it found before may be among them once more.
            best = np.argpartition(-near, 2 * nearest, axis=1)[:, : 2 * nearest + 1]
            near, found = np.take_along_axis(near, best, 1), np.take_along_axis(found, best, 1)
        out.append(_paired(mine, found, near, nearest))
    pairs, nearness = zip(*out, strict=True)
    return _nearest_pairs(np.concatenate(pairs), np.concatenate(nearness), n)


def _nearest_pairs(pairs: NDArray[np.int64], near: NDArray[np.float32], n: int) -> NDArray[np.int64]:
    """Each pair once, in order, and no more than the budget allows."""
    order = np.argsort(-near, kind="stable")
    keys, first = np.unique(pairs[order] @ np.array([n, 1]), return_index=True)
    most = max(MOST_PAIRS, int(MOST_SHARE * n))
    if len(keys) > most:
        keys = np.sort(keys[np.argpartition(first, most)[:most]])  # ``first`` is the rank by nearness
    return np.stack(np.divmod(keys, n), axis=1)


def _paired(
    mine: NDArray[np.int64], found: NDArray[np.int64], near: NDArray[np.float32], nearest: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Pairs (m, 2) of each print with its ``nearest`` different others, and how near (m)."""
    order = np.argsort(-near, axis=1, kind="stable")
    found = np.take_along_axis(found, order, 1)
    ranked = np.argsort(found, axis=1, kind="stable")
    again = np.zeros(found.shape, bool)
    ordered = np.take_along_axis(found, ranked, 1)
    np.put_along_axis(again, ranked[:, 1:], ordered[:, 1:] == ordered[:, :-1], 1)
    good = ~again & (found >= 0) & (found != mine[:, None])
    good &= np.cumsum(good, axis=1) <= nearest
    pairs = np.stack([np.broadcast_to(mine[:, None], found.shape)[good], found[good]], axis=1)
    return np.sort(pairs, axis=1), np.take_along_axis(near, order, 1)[good]


def _whitening(described: NDArray[np.float16]) -> Callable[[NDArray[np.float16], Turn], NDArray[np.float32]]:
    """What brings descriptions in a turn to unit vectors (n, D), found from some spread over all, in all turns."""
    sample = described[:: -(-len(described) // SAMPLE)].astype(np.float32)
    turns = turns_of(described.shape[1])
    length = sample[0].size
    total, square = np.zeros(length), np.zeros((length, length))
    for turn in turns:
        values = turned(sample, turn).reshape(len(sample), length)
        total += values.sum(axis=0)
        square += values.T @ values
    count = len(sample) * len(turns)
    mean = (total / count).astype(np.float32)
    spread, axes = np.linalg.eigh(square / count - np.outer(mean, mean))
    kept = slice(-min(COMPONENTS, length), None)
    # What varies least is what few prints tell of; a share of the whole keeps it from being blown up.
    weights = (axes[:, kept] / np.sqrt(np.maximum(spread[kept], 0) + 1e-3 * spread[-1])).astype(np.float32)

    def whiten(descriptions: NDArray[np.float16], turn: Turn) -> NDArray[np.float32]:
        values = (turned(descriptions.astype(np.float32), turn).reshape(-1, length) - mean) @ weights
        return np.ascontiguousarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6))

    return whiten


def _searching(vectors: NDArray[np.float32]) -> Any:
    """A faiss index that holds the vectors, searched by their cosine."""
    import faiss

    n, length = vectors.shape
    if n <= FLAT:
        flat = faiss.IndexFlatIP(length)
        flat.add(vectors)
        return flat
    cells = int(4 * n**0.5)
    grid = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(length), length, cells, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    grid.cp.max_points_per_centroid = 64
    grid.train(vectors)
    grid.add(vectors)
    grid.nprobe = PROBES
    return grid
