"""What a scan, a mask and a study are once they are in memory. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.errors import DataError, MaskError
from secondread.volume.geometry import Geometry


@dataclass(frozen=True, eq=False)
class Volume:
    """One series: voxels on a grid.

    Attributes:
        geometry: where the voxels lie.
        voxels: (i, j, k), any real dtype, finite.
        warnings: what the reader had to mend, in words for a person.
    """

    geometry: Geometry
    voxels: NDArray[Any]
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.voxels.shape != self.geometry.shape:
            raise DataError(f"voxels of shape {self.voxels.shape} on a grid of shape {self.geometry.shape}")


@dataclass(frozen=True, eq=False)
class Mask:
    """Labels on a grid: 0 is background, every other value a structure. ``labels`` is (i, j, k) uint8."""

    geometry: Geometry
    labels: NDArray[np.uint8]

    def __post_init__(self) -> None:
        if self.labels.shape != self.geometry.shape:
            raise MaskError(f"mask of shape {self.labels.shape} on a grid of shape {self.geometry.shape}")


@dataclass(frozen=True, eq=False)
class Picture:
    """One 2D picture without physical size.

    Attributes:
        pixels: (row, column, channel) with 1 (grey) or 3 (red, green, blue) channels; uint8 or uint16.
        warnings: what the reader had to mend.
    """

    pixels: NDArray[Any]
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.shape[2] not in (1, 3):
            raise DataError(f"a picture is (row, column, 1 or 3), got {self.pixels.shape}")


@dataclass(frozen=True, eq=False)
class Study:
    """One visit of one patient: series by contrast (``t1``, ``t1c``, ``t2``, ``flair``, ...), or one picture.

    The first series is the reference: findings and masks are given in its geometry.
    """

    name: str
    series: Mapping[str, Volume] = field(default_factory=dict)
    picture: Picture | None = None

    def __post_init__(self) -> None:
        if bool(self.series) == (self.picture is not None):
            raise DataError(f"study {self.name!r} needs either series or a picture")

    @property
    def reference(self) -> Volume:
        """The first series. Raises DataError for a picture."""
        if not self.series:
            raise DataError(f"study {self.name!r} is a picture and has no series")
        return next(iter(self.series.values()))

    @property
    def warnings(self) -> tuple[str, ...]:
        parts = [self.picture] if self.picture else list(self.series.values())
        return tuple(w for part in parts for w in part.warnings)
