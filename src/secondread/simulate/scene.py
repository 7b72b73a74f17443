"""Everything that decides a simulated study, drawn once and then only read.

Two scenes that compare equal render to the same voxels. Lengths are in mm; MNI coordinates are RAS mm; a ``seed`` here
is only for the fields (noise, bends) that are too large to be drawn beforehand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondread.volume.geometry import RAS_TO_LPS, Geometry

Triple = tuple[float, float, float]

PIVOT: Triple = (0.0, -18.0, 10.0)
"""MNI mm about which heads are turned and scaled: about the middle of the brain."""


@dataclass(frozen=True)
class Grid:
    """The scan's voxels before slices are thickened.

    Attributes:
        shape: N.
        spacing: mm, the same along i, j, k.
        centre: LPS mm of the grid's middle.
        tilt: degrees about L, P, S by which the axes are oblique.
        flips: whether i, j, k run against L, P, S.
        thick: slices along k are averaged in groups of this many.
    """

    shape: tuple[int, int, int]
    spacing: float
    centre: Triple
    tilt: Triple
    flips: tuple[bool, bool, bool]
    thick: int = 1

    def geometry(self) -> Geometry:
        """Where the thin voxels lie."""
        affine = np.eye(4)
        affine[:3, :3] = rotation(self.tilt) * np.where(self.flips, -self.spacing, self.spacing)
        affine[:3, 3] = np.array(self.centre) - affine[:3, :3] @ ((np.array(self.shape) - 1) / 2)
        return Geometry(self.shape, affine)

    def final_geometry(self) -> Geometry:
        """Where the voxels of the finished scan lie."""
        thin = self.geometry()
        affine = thin.affine.copy()
        affine[:3, 3] += affine[:3, 2] * (self.thick - 1) / 2
        affine[:3, 2] *= self.thick
        i, j, k = self.shape
        return Geometry((i, j, k // self.thick), affine)


@dataclass(frozen=True)
class Head:
    """One person. Nothing here depends on the label.

    Attributes:
        turn: degrees about L, P, S.
        scale: the person's size over MNI's along x, y, z.
        shear: of y along x, z along x, z along y.
        bend_mm: strength of the smooth random bend.
        asymmetry: by how much one half is wider than the other.
        ventricles: above 0 wider, below 0 narrower than MNI's.
        sulci: above 0 wider.
        folds: how far this person's cortex departs from the average.
        rim_mm, bone_mm, scalp_mm: thickness of the fluid over the brain, of the skull, of the scalp.
        spots: punctate white-matter spots below 3 mm.
        vessels: visible surface vessels.
    """

    seed: int
    turn: Triple
    scale: Triple
    shear: Triple
    bend_mm: float
    asymmetry: float
    ventricles: float
    sulci: float
    folds: float
    rim_mm: float
    bone_mm: float
    scalp_mm: float
    spots: int
    vessels: int

    @property
    def size(self) -> float:
        """The person's length over MNI's, on average over directions."""
        return math.prod(self.scale) ** (1 / 3)

    def from_lps(self) -> NDArray[np.float64]:
        """(4, 4): LPS mm -> MNI mm, before any bend."""
        shear = np.eye(3)
        shear[1, 0], shear[2, 0], shear[2, 1] = self.shear
        inverse = np.linalg.inv(rotation(self.turn) @ shear @ np.diag(self.scale))
        about = np.eye(4)
        about[:3, :3] = inverse
        about[:3, 3] = np.array(PIVOT) - inverse @ np.array(PIVOT)
        return np.asarray(about @ RAS_TO_LPS)

    def ventricle_bulge(self) -> Bulge:
        return Bulge((0.0, -18.0, 14.0), (17.0, 38.0, 19.0), self.ventricles)


@dataclass(frozen=True)
class Bulge:
    """Tissue pushed away from a centre, most at ``radii`` from it, by ``strength`` of that distance (MNI mm).

    A strength below 0.6 never folds the tissue over.
    """

    centre: Triple
    radii: Triple
    strength: float

    def shift(self, at: NDArray[np.float32]) -> NDArray[np.float32]:
        """From a place (3, ...) to where its tissue came from."""
        away = at - np.array(self.centre, np.float32).reshape(3, 1, 1, 1)
        squared = sum((a / np.float32(r)) ** 2 for a, r in zip(away, self.radii, strict=True))
        return np.asarray(-self.strength * np.exp(np.float32(0.5) * (1 - squared)) * away, np.float32)


@dataclass(frozen=True)
class Lesion:
    """One lesion.

    Attributes:
        centre: MNI mm.
        diameter_mm: across all of it, oedema too.
        axes: its proportions, of product 1; turn: degrees that they are turned by.
        rough: how far its border departs from an ellipsoid, as a share of its radius.
        solid: share of the radius that is tumour; oedema lies outside.
        core: share of the tumour's radius inside the enhancing ring; 0 all enhances, 1 nothing does.
        opacity: 1 plain, near 0 hardly visible.
        push: mass effect, as in Bulge.
    """

    seed: int
    category: str
    centre: Triple
    diameter_mm: float
    axes: Triple
    turn: Triple
    rough: float
    solid: float
    core: float
    opacity: float
    push: float

    def bulge(self, size: float) -> Bulge:
        """Its mass effect in a head ``size`` times MNI's."""
        radius = self.solid * self.diameter_mm / 2 / size
        return Bulge(self.centre, (radius, radius, radius), self.push)


@dataclass(frozen=True)
class Series:
    """How one contrast is acquired. Nothing here depends on the label.

    Attributes:
        looks: (T) signal of each tissue, white matter of T1 about 0.8.
        scale: stored value of signal 1.
        gamma: exponent on the signal.
        bias: strength of the smooth multiplicative field.
        blur: standard deviation in voxels, at most 1.
        noise: standard deviation in signal.
        ghost: signal of a copy displaced by half the field of view along ``ghost_axis``.
        spike: signal of a stripe pattern of ``spike_cycles`` cycles along i, j.
    """

    contrast: str
    seed: int
    looks: tuple[float, ...]
    scale: float
    gamma: float
    bias: float
    blur: float
    noise: float
    ghost: float
    ghost_axis: int
    spike: float
    spike_cycles: tuple[float, float]


@dataclass(frozen=True)
class Scene:
    """All that decides one study."""

    label: str
    site: str
    grid: Grid
    head: Head
    skull: bool
    lesions: tuple[Lesion, ...]
    series: tuple[Series, ...]


def rotation(degrees: Triple) -> NDArray[np.float64]:
    """(3, 3): turn about the first axis, then the second, then the third."""
    out = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        one, two = [a for a in range(3) if a != axis]
        turn = np.eye(3)
        turn[one, one] = turn[two, two] = np.cos(angle)
        turn[one, two], turn[two, one] = -np.sin(angle), np.sin(angle)
        out = turn @ out
    return out
