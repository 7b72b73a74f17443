"""What a person may choose about simulated scans."""

from __future__ import annotations

import math
from dataclasses import dataclass

from secondread.errors import UsageError

NORMAL = "normal"
"""Label of a scan without lesion."""

CATEGORIES = ("glioma", "meningioma")
CONTRASTS = ("t1", "t1c", "t2", "flair", "pd")

MIN_SPACING_MM = 0.5
MAX_SPACING_MM = 10.0
MAX_DIAMETER_MM = 80.0
MAX_LESIONS = 8

SMALLEST_VOXELS = 2.5
"""A lesion is at least this many voxels wide, or its mask might hold no voxel."""


@dataclass(frozen=True)
class Settings:
    """Which scans to draw. All chances are independent of each other and of the label.

    Attributes:
        spacing: mm between voxel centres, the same on all axes before slices are thickened.
        contrasts: series of each study, out of CONTRASTS; the first is the study's reference.
        normal: share of studies without lesion, 0 to 1.
        categories: kinds of lesion, out of CATEGORIES; a study holds one kind.
        diameters: mm across a lesion with its oedema, least and most. The least is raised to SMALLEST_VOXELS voxels.
        count: lesions in an abnormal study, least and most.
        faintest: the least opaque lesion, in (0, 1]; 1 draws every lesion at full contrast.
        skull: chance that skull and scalp are kept, 0 to 1 (True and False work too).
        thick: chance of slices twice as thick.

    Raises:
        UsageError: a value out of its range; the message names it.
    """

    spacing: float = 2.0
    contrasts: tuple[str, ...] = ("t1", "t1c", "flair")
    normal: float = 0.5
    categories: tuple[str, ...] = CATEGORIES
    diameters: tuple[float, float] = (8.0, 45.0)
    count: tuple[int, int] = (1, 3)
    faintest: float = 0.5
    skull: float = 0.8
    thick: float = 0.15

    def __post_init__(self) -> None:
        _within("spacing", self.spacing, MIN_SPACING_MM, MAX_SPACING_MM)
        for name in ("normal", "skull", "thick"):
            _within(name, getattr(self, name), 0.0, 1.0)
        _within("faintest", self.faintest, 0.05, 1.0)
        _subset("contrasts", self.contrasts, CONTRASTS)
        _subset("categories", self.categories, CATEGORIES)
        _ordered("diameters", self.diameters, 1.0, MAX_DIAMETER_MM)
        _ordered("count", self.count, 1, MAX_LESIONS)
        if self.diameters[1] < self.least_diameter:
            raise UsageError(
                f"lesions of up to {self.diameters[1]:g} mm do not show at a spacing of {self.spacing:g} mm: "
                f"allow {SMALLEST_VOXELS * self.spacing:g} mm or use a smaller spacing"
            )

    @property
    def least_diameter(self) -> float:
        """mm across the smallest lesion that is drawn."""
        return max(self.diameters[0], SMALLEST_VOXELS * self.spacing)

    @property
    def labels(self) -> tuple[str, ...]:
        """NORMAL and the categories."""
        return (NORMAL, *self.categories)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        raise UsageError(f"simulated scans need {name} between {low:g} and {high:g}, got {value}")


def _ordered(name: str, pair: tuple[float, float], low: float, high: float) -> None:
    if len(pair) != 2:
        raise UsageError(f"{name} is a least and a most value, got {pair}")
    for value in pair:
        _within(name, value, low, high)
    if pair[0] > pair[1]:
        raise UsageError(f"{name} is a least and a most value in this order, got {pair}")


def _subset(name: str, values: tuple[str, ...], known: tuple[str, ...]) -> None:
    if not values or len(set(values)) != len(values) or not set(values) <= set(known):
        raise UsageError(
            f"{name} needs one or more of {', '.join(known)}, each once; got {', '.join(values) or 'none'}"
        )
