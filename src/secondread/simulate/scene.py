"""Everything that decides a simulated scan, drawn once and then only read.

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

_TOWARDS = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}


@dataclass(frozen=True)
class Grid:
    """The scan's voxels before slices are thickened.

    Attributes:
        shape: N, (i, j, k); a picture has one slice along k.
        spacing: mm along i, j, k.
        centre: LPS mm of the grid's middle.
        axes: where i, j, k grow to, as "LPS" or "PLS"; letters out of L R P A S I.
        tilt: degrees about L, P, S by which the axes are oblique.
        thick: slices along k are averaged in groups of this many.
    """

    shape: tuple[int, int, int]
    spacing: Triple
    centre: Triple
    axes: str = "LPS"
    tilt: Triple = (0.0, 0.0, 0.0)
    thick: int = 1

    def geometry(self) -> Geometry:
        """Where the thin voxels lie."""
        affine = np.eye(4)
        turned = rotation(self.tilt)
        for column, letter in enumerate(self.axes):
            axis, sign = _TOWARDS[letter]
            affine[:3, column] = turned[:, axis] * sign * self.spacing[column]
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
        gyri_mm: strength of the finer bend that gives each person gyri of their own.
        asymmetry: by how much one half is wider than the other.
        ventricles: above 0 wider, below 0 narrower than MNI's.
        sulci: above 0 wider.
        folds: how far this person's cortex departs from the average.
        texture: unevenness of each tissue, as a share of its signal.
        rim_mm, bone_mm, scalp_mm: thickness of the fluid over the brain, of the skull, of the scalp.
        strip_mm: without skull, how far beyond the brain's surface the cut runs.
        strip_fluid: and how much fluid a voxel of the brain's outer parts may hold to be left in; above 1 any.
        spots: how much of the white matter is punctate bright spots below 3 mm, 0 to 1.
        caps: brightness of the rim round the ventricles, 0 to 1.
        vessels: how wide vessels are, in mm.
        gland_mm: by how much the pituitary gland reaches further up and down than usual; sideways it is twice as much.
        bright_lobe: how much its posterior lobe looks like fat, which in T1 it does, 0 to 1.
        base_fat: how much of the marrow in the base of the skull is fat, 0 to 1.
    """

    seed: int
    turn: Triple
    scale: Triple
    shear: Triple
    bend_mm: float
    gyri_mm: float
    asymmetry: float
    ventricles: float
    sulci: float
    folds: float
    texture: float
    rim_mm: float
    bone_mm: float
    scalp_mm: float
    strip_mm: float
    strip_fluid: float
    spots: float
    caps: float
    vessels: float
    gland_mm: float
    bright_lobe: float
    base_fat: float

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

    def to_lps(self, place: Triple) -> Triple:
        """LPS mm of an MNI place, before any bend."""
        x, y, z, _ = (float(v) for v in np.linalg.inv(self.from_lps()) @ np.array([*place, 1.0]))
        return x, y, z

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


@dataclass(frozen=True)
class Lesion:
    """One lesion.

    Attributes:
        kind: one of CATEGORIES.
        centre: MNI mm.
        diameter_mm: across the solid part, without oedema.
        axes: its proportions, of product 1; turn: degrees that they are turned by.
        rough: how far its border departs from an ellipsoid, as a share of its radius.
        core: share of the radius inside the enhancing ring; 0 all enhances, 1 nothing does.
        patchy: how far core and ring mix, 0 to 1.
        reach_mm: how far oedema reaches beyond the border, in white matter at least.
        follow: how far oedema keeps to white matter, 0 to 1.
        swell: how far it closes the sulci that it lies round, 0 to 1.
        opacity: 1 plain, near 0 hardly visible.
        push: mass effect, as in Bulge.
        tones: the signal of core, ring and oedema over what LOOKS says, near 1.
    """

    seed: int
    kind: str
    centre: Triple
    diameter_mm: float
    axes: Triple
    turn: Triple
    rough: float
    core: float
    patchy: float
    reach_mm: float
    follow: float
    swell: float
    opacity: float
    push: float
    tones: Triple

    def bulge(self, size: float) -> Bulge:
        """Its mass effect in a head ``size`` times MNI's."""
        radius = self.diameter_mm / 2 / size
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
        coarse: voxels along ``coarse_axis`` that one acquired voxel covered before it was resampled; 1 for none.
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
    coarse: float
    coarse_axis: int
    noise: float
    ghost: float
    ghost_axis: int
    spike: float
    spike_cycles: tuple[float, float]


@dataclass(frozen=True)
class Scene:
    """All that decides one study or sample.

    Attributes:
        window: share of the field of view kept along i and j, 1 for all of it; the rest is black.
    """

    label: str
    site: str
    grid: Grid
    head: Head
    skull: bool
    window: tuple[float, float]
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
