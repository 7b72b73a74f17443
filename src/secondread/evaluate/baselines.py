"""What costs nothing: the figures that a model has to beat before it has learned anything.

Category: always say the class that is most frequent in training. Location: the brightest connected voxels, on FLAIR
where there is one. Neither looks at what a lesion is.

N is a scan's own grid, (i, j, k) or (row, column).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from secondread.volume import Study
from secondread.volume.foreground import foreground

BRIGHT_DEVIATIONS = 1.5
"""Bright is this many standard deviations above the mean of the head."""

STRIPPED_SHARE = 0.1
"""A scan with more exact zeros than this has had its air (and skull) set to zero."""


def majority(counts: Mapping[str | None, int]) -> str | None:
    """The most frequent label, the first in the alphabet among equals; None where there is none."""
    named = {label: count for label, count in counts.items() if label is not None}
    return min(named, key=lambda label: (-named[label], label)) if named else None


def scan_for_location(study: Study) -> NDArray[np.float32]:
    """The scan that the baseline looks at, (N): FLAIR where it lies on the reference's grid, else the first contrast;
    a picture's grey."""
    if study.picture is not None:
        return np.asarray(study.picture.pixels.astype(np.float32).mean(axis=2))
    flair = study.series.get("flair")
    usable = flair is not None and flair.geometry.matches(study.reference.geometry)
    volume = flair if flair is not None and usable else study.reference
    return volume.voxels.astype(np.float32)


def head_of(scan: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Voxels that are not air, (N): the nonzero ones of a stripped scan, else those above a tenth of its range."""
    nonzero = scan != 0
    return nonzero if nonzero.mean() < 1 - STRIPPED_SHARE else foreground(scan)


def brightest_region(scan: NDArray[np.float32], head: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected region of voxels brighter than mean + BRIGHT_DEVIATIONS of the head. All (N)."""
    import cc3d

    inside = scan[head]
    if not inside.size:
        return np.zeros(scan.shape, np.bool_)
    bright = scan > inside.mean() + BRIGHT_DEVIATIONS * inside.std()
    parts = np.asarray(cc3d.connected_components(bright.astype(np.uint8), connectivity=26 if scan.ndim == 3 else 8))
    sizes = np.bincount(parts.ravel())
    if len(sizes) < 2:
        return np.zeros(scan.shape, np.bool_)
    return np.asarray(parts == 1 + int(sizes[1:].argmax()))
