"""Where voxels lie: shape and affine, without any voxel.

Conventions, everywhere in secondread:

- voxel index ``(i, j, k)``, array axes in that order; a picture is ``(row, column)``
- world coordinates in **LPS** (x grows to the patient's Left, y to Posterior, z to Superior) and **mm**
- ``affine`` is 4x4 and maps ``(i, j, k, 1)``, the centre of a voxel, to ``(x, y, z, 1)``
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from secondread.errors import GeometryError

AFFINE_TOLERANCE_MM = 1e-3
"""Two affines that differ by less than this in every entry lie on the same grid."""

MIN_SPACING_MM = 1e-4
MAX_SPACING_MM = 1e3

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""NIfTI says RAS; left-multiply its affine by this (its own inverse)."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """A grid of voxels in the patient.

    Attributes:
        shape: voxels along i, j, k.
        affine: (4, 4) float64, voxel centre index -> LPS mm; read-only.

    Raises:
        GeometryError: a shape below 1, a non-finite or singular affine, a spacing outside
            [MIN_SPACING_MM, MAX_SPACING_MM].
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise GeometryError(f"a volume has three axes of at least one voxel, got shape {shape}")
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise GeometryError(f"the affine is not a finite 4x4 matrix: {affine.tolist()}")
        if not np.allclose(affine[3], [0, 0, 0, 1]):
            raise GeometryError(f"the affine's last row is {affine[3].tolist()}, not 0 0 0 1")
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        if spacing.min() < MIN_SPACING_MM or spacing.max() > MAX_SPACING_MM:
            told = ", ".join(f"{mm:.3g}" for mm in spacing)  # three digits tell the fault, and no number of a patient
            raise GeometryError(f"voxel spacing {told} mm is outside {MIN_SPACING_MM} to {MAX_SPACING_MM}")
        if abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-3:
            raise GeometryError("the affine is singular: two axes point the same way")
        affine.flags.writeable = False
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance in mm between voxel centres along i, j, k."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @property
    def voxel_mm3(self) -> float:
        """Volume of one voxel in mm^3."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    def to_mm(self, index: ArrayLike) -> NDArray[np.float64]:
        """LPS mm of voxel indices. ``index`` (..., 3) -> (..., 3)."""
        return np.asarray(index, dtype=np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_index(self, mm: ArrayLike) -> NDArray[np.float64]:
        """Fractional voxel index of LPS mm. ``mm`` (..., 3) -> (..., 3)."""
        return (np.asarray(mm, dtype=np.float64) - self.affine[:3, 3]) @ np.linalg.inv(self.affine[:3, :3]).T

    def matches(self, other: Geometry, tolerance_mm: float = AFFINE_TOLERANCE_MM) -> bool:
        """Whether both describe the same voxels at the same places."""
        return self.shape == other.shape and bool(np.abs(self.affine - other.affine).max() <= tolerance_mm)

    def canonical_axes(self) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
        """How to bring the axes nearest to L, P, S.

        Returns:
            ``(order, flips)``: canonical axis a is this grid's axis ``order[a]``, reversed if ``flips[a]``.
        """
        directions = self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)
        free, order, flips = {0, 1, 2}, [0, 0, 0], [False, False, False]
        # The most decided axis chooses first, so that an oblique scan still gets a permutation.
        for axis in np.argsort(-np.abs(directions).max(axis=0)):
            world = max(free, key=lambda w: abs(directions[w, axis]))
            free.remove(world)
            order[world], flips[world] = int(axis), bool(directions[world, axis] < 0)
        return (order[0], order[1], order[2]), (flips[0], flips[1], flips[2])
