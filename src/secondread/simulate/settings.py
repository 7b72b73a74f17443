"""What a person may choose about simulated scans."""

from __future__ import annotations

import math
from dataclasses import dataclass

from secondread.errors import UsageError

NORMAL = "normal"
"""Label of a scan without lesion."""

CATEGORIES = ("glioma", "meningioma", "pituitary", "metastasis", "ms")
"""Kinds of lesion: within the brain, on the dura, in the sella, several at the grey-white border, several round the
ventricles."""

CONTRASTS = ("t1", "t1c", "t2", "flair", "pd", "any")
"""``any`` is another of the others in each scan, or a contrast that no scanner gives."""

PLANES = ("axial", "coronal", "sagittal")

MIN_SPACING_MM = 0.5
MAX_SPACING_MM = 10.0
MIN_DIAMETER_MM = 1.0
MAX_DIAMETER_MM = 80.0
MAX_LESIONS = 12
MAX_SIDE = 512

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
        diameters: mm across a lesion without its oedema, least and most, within what its kind has. The least is
            raised to SMALLEST_VOXELS voxels.
        count: lesions in an abnormal study, least and most; None for what its kind has.
        faintest: the least opaque lesion, in (0, 1]; 1 draws every lesion at full contrast.
        difficulty: 0 large, plain lesions in clean scans, 1 all that the other settings allow; a curriculum goes from
            one to the other.
        skull: chance that skull and scalp are kept, 0 to 1 (True and False work too).
        thick: chance of slices twice as thick.

    Raises:
        UsageError: a value out of its range; the message names it.
    """

    spacing: float = 2.0
    contrasts: tuple[str, ...] = ("t1", "t1c", "flair")
    normal: float = 0.5
    categories: tuple[str, ...] = CATEGORIES
    diameters: tuple[float, float] = (2.0, 60.0)
    count: tuple[int, int] | None = None
    faintest: float = 0.4
    difficulty: float = 1.0
    skull: float = 0.8
    thick: float = 0.15

    def __post_init__(self) -> None:
        _within("spacing", self.spacing, MIN_SPACING_MM, MAX_SPACING_MM)
        for name in ("normal", "skull", "thick", "difficulty"):
            _within(name, getattr(self, name), 0.0, 1.0)
        _within("faintest", self.faintest, 0.05, 1.0)
        _subset("contrasts", self.contrasts, CONTRASTS)
        _subset("categories", self.categories, CATEGORIES)
        _ordered("diameters", self.diameters, MIN_DIAMETER_MM, MAX_DIAMETER_MM)
        if self.count is not None:
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


@dataclass(frozen=True)
class BatchSettings(Settings):
    """Samples of one shape for training: pictures, patches or whole heads.

    Attributes:
        shape: (row, column) of a picture, or (i, j, k) nearest to L, P, S of a volume.
        planes: of pictures, out of PLANES.
        fill: pictures are scaled until the head fills them, as ``volume.prepare`` does with pictures that are read;
            ``spacing`` then only bounds the smallest lesion. Without it, ``spacing`` holds, give or take a tenth.

    Raises:
        UsageError: as for :class:`Settings`.
    """

    spacing: float = 1.25
    contrasts: tuple[str, ...] = ("flair",)
    skull: float = 0.5
    shape: tuple[int, ...] = (160, 160)
    planes: tuple[str, ...] = PLANES
    fill: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _subset("planes", self.planes, PLANES)
        if len(self.shape) not in (2, 3) or not all(8 <= n <= MAX_SIDE for n in self.shape):
            raise UsageError(f"shape is two or three sides of 8 to {MAX_SIDE} voxels, got {self.shape}")
        if self.fill and len(self.shape) == 3:
            raise UsageError("fill is for pictures: a volume's shape and spacing say what of the head it covers")


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
