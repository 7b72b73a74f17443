"""Fingerprints of studies, and clusters of those that are the same picture once more.

Thumbprint: the study shrunk to ``SIDE`` x ``SIDE`` cells, scaled from its darkest to its brightest cell to one byte
each. Of a picture, its grey values, ``SIDE**2`` bytes; of a volume, the middle of each axis (nearest to L, P, S) of
the volume shrunk to a cube, three such planes.

Two thumbprints are alike if they are so in some turn, shift and scale, however bright: ``candidates`` says which are
worth a look, ``likeness`` looks. Where the level is set and what it costs: docs/decisions/009-near-duplicates.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from secondread.index.candidates import candidates
from secondread.index.likeness import likeness
from secondread.index.table import Row
from secondread.volume import Picture, Volume
from secondread.volume.prepare import axis_matrix

SIDE = 48
LEVELS = (0.65, 0.78, 0.9)
"""Likeness above which two studies are one. The first holds; where it makes a cluster so large that likeness says
nothing (drawings, scans on one template), the members of that cluster are compared by the next. Of volumes the second
is the first: patients on one template lie alike, and three planes of a copy are more alike than one."""

MAX_CLUSTER = 20
MAX_CLUSTER_SHARE = 0.05
"""A cluster is too large with more members than both MAX_CLUSTER and this share of all studies."""

NEAREST = ((50_000, 32), (500_000, 8))
"""Up to so many thumbprints, each is compared with so many that are nearest to it; beyond, with ``NEAREST_OF_MANY``."""

NEAREST_OF_MANY = 3

GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601 luma

Progress = Callable[[str, int, int], None]


def thumbprint(scan: Picture | Volume) -> bytes:
    """The fingerprint of a scan: ``SIDE**2`` bytes of a picture, ``3 * SIDE**2`` of a volume; zeros if it is blank."""
    cells = _picture_cells(scan) if isinstance(scan, Picture) else _volume_cells(scan)
    low, high = float(cells.min()), float(cells.max())
    # What is left of a blank scan is rounding; stretched, it would look like a picture.
    scale = 255 / (high - low) if high - low > 1e-5 * max(abs(high), abs(low)) else 0.0
    return bytes(np.round((cells - low) * scale).astype(np.uint8).tobytes())


def _picture_cells(picture: Picture) -> NDArray[np.float32]:
    pixels = picture.pixels.astype(np.float32)
    grey = pixels @ GREY if pixels.shape[2] == 3 else pixels[..., 0]
    return _shrink(grey)


def _volume_cells(volume: Volume) -> NDArray[np.float32]:
    order, flips = volume.geometry.canonical_axes()
    cube = np.transpose(_shrink(volume.voxels.astype(np.float32, copy=False)), order)
    cube = np.flip(cube, tuple(axis for axis, flip in enumerate(flips) if flip))
    middle = slice(SIDE // 2 - 1, SIDE // 2 + 1)
    return np.stack([cube[middle].mean(0), cube[:, middle].mean(1), cube[:, :, middle].mean(2)])


def _shrink(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shrink every axis to SIDE cells."""
    out = values
    for axis, n in enumerate(values.shape):
        front = np.moveaxis(out, axis, 0)
        cells = _shrinking(n) @ front.reshape(n, -1)
        out = np.moveaxis(cells.reshape(SIDE, *front.shape[1:]), 0, axis)
    return out


@lru_cache(maxsize=256)
def _shrinking(n: int) -> csr_array:
    """Weights (SIDE, n) that shrink n cells to SIDE."""
    return axis_matrix(n, SIDE, 0.0, n / SIDE)


def sha256_of(files: Iterable[Path]) -> tuple[str, int]:
    """SHA-256 in hex and bytes together. Of one file, of its bytes; of several, of their digests in sorted order, so
    that neither names nor their order matter."""
    digests, size = [], 0
    for path in files:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").digest())
            size += file.tell()
    if len(digests) == 1:
        return digests[0].hex(), size
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest(), size


def cluster(rows: Sequence[Row], progress: Progress | None = None) -> tuple[list[int], list[str]]:
    """A cluster number per row: rows with equal bytes or alike thumbprints share one. Excluded rows get -1.

    Returns:
        Numbers from 0 in order of first appearance; and notes.
    """
    included = [n for n, row in enumerate(rows) if not row.excluded]
    pairs = [_equal(rows, included, "sha256")]
    notes: list[str] = []
    for size in sorted({len(rows[n].thumbprint) for n in included} - {0}):
        members = [n for n in included if len(rows[n].thumbprint) == size and any(rows[n].thumbprint)]
        pairs.append(_equal(rows, members, "thumbprint"))
        more, said = _alike(rows, members, progress)
        pairs.append(more)
        notes += said
    component = components(len(rows), np.concatenate(pairs))
    numbers: dict[int, int] = {}
    out = [-1] * len(rows)
    for n in included:
        out[n] = numbers.setdefault(int(component[n]), len(numbers))
    return out, notes


def components(n: int, pairs: NDArray[np.int64]) -> NDArray[np.int32]:
    """Which connected part each of n things is in, given ``pairs`` (m, 2) of things that belong together."""
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], np.int32)


def _equal(rows: Sequence[Row], members: Sequence[int], column: str) -> NDArray[np.int64]:
    """Pairs (first, this) of rows whose value in ``column`` was there before."""
    first: dict[object, int] = {}
    values = ((getattr(rows[n], column), n) for n in members)
    pairs = [(first.setdefault(value, n), n) for value, n in values if value]
    return np.array([pair for pair in pairs if pair[0] != pair[1]], np.int64).reshape(-1, 2)


def _alike(
    rows: Sequence[Row], members: Sequence[int], progress: Progress | None
) -> tuple[NDArray[np.int64], list[str]]:
    """Pairs of rows with alike thumbprints, as numbers of rows; and notes."""
    # Of equal thumbprints one is enough: ten thousand copies would make fifty million pairs.
    kept = np.array(list({rows[n].thumbprint: n for n in reversed(members)}.values()), np.int64)[::-1]
    if len(kept) < 2:
        return np.zeros((0, 2), np.int64), []
    prints = np.frombuffer(b"".join(rows[n].thumbprint for n in kept), np.uint8).reshape(len(kept), -1, SIDE, SIDE)
    pairs, alike = find_pairs(prints, progress)
    limit = max(MAX_CLUSTER, int(MAX_CLUSTER_SHARE * len(kept)))
    notes = []
    for level, next_level in pairwise(_levels(prints)):
        component = components(len(kept), pairs)[pairs[:, 0]]
        sizes = np.bincount(components(len(kept), pairs), minlength=1)
        crowded = sizes[component] > limit
        if crowded.any():
            notes.append(
                f"{int(sizes[np.unique(component[crowded])].sum()):,} studies look so much alike (likeness above "
                f"{level}) that only those above {next_level} count as duplicates."
            )
        stays = ~crowded | (alike > next_level)
        pairs, alike = pairs[stays], alike[stays]
    return kept[pairs], notes


def find_pairs(
    prints: NDArray[np.uint8], progress: Progress | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Pairs (m, 2), a < b, of thumbprints (n, P, SIDE, SIDE) that are alike above the first of their levels, and
    how alike they are (m)."""
    nearest = next((nearest for n, nearest in NEAREST if len(prints) <= n), NEAREST_OF_MANY)
    pairs = candidates(prints, nearest, progress)
    alike = likeness(prints, pairs, progress)
    found = alike > _levels(prints)[0]
    return pairs[found], alike[found]


def _levels(prints: NDArray[np.uint8]) -> tuple[float, ...]:
    """Those of LEVELS that hold for thumbprints (n, P, SIDE, SIDE)."""
    return LEVELS if prints.shape[1] == 1 else LEVELS[1:]
