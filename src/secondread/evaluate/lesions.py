"""Lesions one by one: which were found, how large they are, and where the model would put its marks.

N is a scan's own grid, (i, j, k) or (row, column). Lesions are components, 26-connected in 3D, 8-connected in 2D.

A *mark* is what a FROC curve counts: a place with a score. Marks are taken from the evidence with a threshold that
follows each peak (Bosma et al., Radiology: Artificial Intelligence 5, 2023, "dynamic"): the voxel of highest evidence
and all connected to it above PEAK_SHARE of its value are one region, its peak the mark's place and score; what touches
a region taken before is its rim and no mark; and so on down to LEAST_PEAK. So that faint and bright lesions both get a
mark, and no threshold has to be chosen first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]

FOUND_COVERAGE = 0.1
"""A true component is found when the predicted mask covers more than this share of it."""

MIN_LESION_VOXELS = 5
"""Smaller true components are specks of the outline, unless a mask holds nothing larger."""

PEAK_SHARE = 0.4
LEAST_PEAK = 0.1
MOST_MARKS = 20
"""Of one study, the highest first."""

NO_LESION, SPECK = 0, -1
"""What a mark may lie in besides a lesion: nothing, or a component too small to count, where it is no alarm either."""


@dataclass(frozen=True)
class LesionCount:
    """What was found of one study's lesions.

    Attributes:
        sizes: voxels of each true lesion that counts; ``hit``: whether it was found.
        marked: regions of the predicted mask; ``marked_right``: those that touch a lesion.
    """

    sizes: tuple[int, ...]
    hit: tuple[bool, ...]
    marked: int
    marked_right: int

    @property
    def true(self) -> int:
        return len(self.sizes)

    @property
    def found(self) -> int:
        return sum(self.hit)


@dataclass(frozen=True)
class Mark:
    """A place that the model would point at. ``lesion``: number of the true lesion it lies in, from 1 on, or NO_LESION
    or SPECK."""

    score: float
    lesion: int


@dataclass(frozen=True, eq=False)
class Lesions:
    """The true lesions of a study: component numbers (N), and of all components the voxels and which of them count."""

    parts: NDArray[Any]
    sizes: NDArray[np.int64]
    counted: Bools

    def number_at(self, place: tuple[int, ...]) -> int:
        """As in :class:`Mark`."""
        part = int(self.parts[place])
        return part if part == 0 or self.counted[part - 1] else SPECK


def lesions_of(truth: Bools) -> Lesions:
    """Components of a mask (N), empty or not. See MIN_LESION_VOXELS."""
    parts, sizes = components(truth)
    counted = sizes >= MIN_LESION_VOXELS
    return Lesions(parts, sizes, counted if counted.any() else sizes > 0)


def count_lesions(predicted: Bools, lesions: Lesions) -> LesionCount:
    """Hold a predicted mask (N) against the true lesions. See FOUND_COVERAGE."""
    marked_parts, marked_sizes = components(predicted)
    covered = np.bincount(lesions.parts[predicted], minlength=len(lesions.sizes) + 1)[1:]
    touching = np.bincount(marked_parts[lesions.parts > 0], minlength=len(marked_sizes) + 1)[1:]
    found = covered > FOUND_COVERAGE * lesions.sizes
    return LesionCount(
        tuple(lesions.sizes[lesions.counted].tolist()),
        tuple(found[lesions.counted].tolist()),
        len(marked_sizes),
        int((touching > 0).sum()),
    )


def diameter(voxels: int, voxel_size: float, dimensions: int) -> float:
    """Of the ball or disk with as much volume or area as so many voxels of ``voxel_size`` (mm³, or px²)."""
    size = voxels * voxel_size
    return float((6 * size / np.pi) ** (1 / 3)) if dimensions == 3 else float((4 * size / np.pi) ** 0.5)


def marks_of(evidence: NDArray[np.float32], lesions: Lesions | None) -> tuple[Mark, ...]:
    """Marks from evidence (N), highest first, by the rule above; ``lesions`` None where there is nothing to find."""
    found: list[tuple[float, tuple[int, ...]]] = []
    # Nothing below the share of the least peak can belong to a mark, so that each component here stands alone.
    parts, _ = components(evidence >= PEAK_SHARE * LEAST_PEAK)
    for number, box in enumerate(_boxes(parts), 1):
        inside = np.where(parts[box] == number, evidence[box], 0)
        corner = tuple(s.start for s in box)
        found += [(score, tuple(np.add(corner, place).tolist())) for score, place in _peaks(inside)]
    found.sort(reverse=True)
    return tuple(
        Mark(score, NO_LESION if lesions is None else lesions.number_at(place)) for score, place in found[:MOST_MARKS]
    )


def components(mask: Bools) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Component numbers (N), 0 outside, and the size of each component from 1 on."""
    import cc3d

    parts = np.asarray(cc3d.connected_components(mask.astype(np.uint8), connectivity=26 if mask.ndim == 3 else 8))
    return parts, np.bincount(parts.ravel())[1:].astype(np.int64)


def _boxes(parts: NDArray[Any]) -> list[tuple[slice, ...]]:
    from scipy.ndimage import find_objects

    return [box for box in find_objects(parts) if box is not None]


def _peaks(evidence: NDArray[np.float32]) -> list[tuple[float, tuple[int, ...]]]:
    """Score and place of each peak of one component, in its own box."""
    from scipy.ndimage import binary_dilation

    left = evidence.copy()
    taken = np.zeros(left.shape, np.bool_)
    around = np.ones((3,) * left.ndim, np.bool_)
    found: list[tuple[float, tuple[int, ...]]] = []
    while len(found) < MOST_MARKS:
        place = tuple(int(at) for at in np.unravel_index(int(left.argmax()), left.shape))
        peak = float(left[place])
        if peak < LEAST_PEAK:
            break
        parts, _ = components(left >= PEAK_SHARE * peak)
        region = parts == parts[place]
        if not (taken & binary_dilation(region, around)).any():
            found.append((peak, place))
        taken |= region  # a rim has rims of its own
        left[region] = 0
    return found
