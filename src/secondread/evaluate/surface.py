"""How far two outlines lie apart, in mm.

The surface of a mask are its voxels with a neighbour outside it, across a face (3D) or an edge (2D); the border of the
grid counts as outside. d(a, B) is the distance from a voxel centre a on the surface A to the nearest one on B.

- ASSD: mean of all d(a, B) and d(b, A) together.
- HD95: the larger of the 95th percentiles of d(a, B) and of d(b, A).
- NSD: share of the voxels of both surfaces that lie within TOLERANCE_MM of the other surface.

Definitions as in Maier-Hein, Reinke et al., Nature Methods 21, 2024 ("Metrics reloaded"), NSD after Nikolov et al.,
J. Med. Internet Res. 23, 2021, on voxels as in Seidlitz et al., Medical Image Analysis 80, 2022.

N is a scan's own grid, (i, j, k) or (row, column).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]

TOLERANCE_MM = 2.0
"""About what two readers' outlines of a brain tumour differ by."""

PERCENTILE = 95.0


@dataclass(frozen=True)
class Surface:
    """Distances in mm, NaN where the predicted mask is empty; ``nsd`` is then 0, for nothing of the outline was met."""

    assd: float
    hd95: float
    nsd: float


def compare_surfaces(
    predicted: Bools, truth: Bools, spacing: Sequence[float], tolerance: float = TOLERANCE_MM
) -> Surface:
    """Both masks (N), ``spacing`` in mm per axis of N; ``truth`` holds something."""
    nan = float("nan")
    if not predicted.any():
        return Surface(nan, nan, 0.0)
    box = _box(predicted | truth)
    ours, theirs = _surface(predicted[box]), _surface(truth[box])
    there, back = _distances(ours, theirs, spacing), _distances(theirs, ours, spacing)
    both = np.concatenate([there, back])
    return Surface(
        assd=float(both.mean()),
        hd95=float(max(np.percentile(there, PERCENTILE), np.percentile(back, PERCENTILE))),
        nsd=float((both <= tolerance).mean()),
    )


def _box(mask: Bools) -> tuple[slice, ...]:
    """The slices that hold all of a mask that is not empty."""
    found = []
    for axis in range(mask.ndim):
        lines = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        found.append(slice(int(lines[0]), int(lines[-1]) + 1))
    return tuple(found)


def _surface(mask: Bools) -> Bools:
    from scipy.ndimage import binary_erosion

    # Outside of the box there is nothing of either mask, so that its border is a border of the masks.
    return np.asarray(mask & ~binary_erosion(mask, border_value=0), np.bool_)


def _distances(here: Bools, other: Bools, spacing: Sequence[float]) -> NDArray[np.float64]:
    """From each surface voxel ``here`` to the nearest of ``other``, mm."""
    from scipy.ndimage import distance_transform_edt

    return np.asarray(distance_transform_edt(~other, sampling=tuple(spacing))[here], np.float64)
