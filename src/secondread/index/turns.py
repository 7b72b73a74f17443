"""The ways in which a scan may lie: the 8 of a picture (flips and quarter turns), the 48 of a volume's cube.

Shape legend: P planes of a thumbprint, 1 of a picture, 3 of a volume (the middles across L, P and S, each with the two
other axes in this order); S its side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Turn:
    """Plane p of the turned scan is plane ``planes[p]``, its axes swapped, then reversed, as said for p."""

    planes: tuple[int, ...]
    swaps: tuple[bool, ...]
    flips: tuple[tuple[bool, bool], ...]

    def of(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """(..., P, S, S) turned, the same shape."""
        out = [self._plane(values[..., p, :, :], n) for n, p in enumerate(self.planes)]
        return np.stack(out, axis=-3)

    def _plane(self, plane: NDArray[np.float32], n: int) -> NDArray[np.float32]:
        plane = plane.swapaxes(-1, -2) if self.swaps[n] else plane
        down, across = self.flips[n]
        return plane[..., :: -1 if down else 1, :: -1 if across else 1]


@lru_cache
def turns_of(planes: int) -> tuple[Turn, ...]:
    """All turns of a print of 1 or 3 planes; the first leaves it as it is."""
    both = (False, True)
    if planes == 1:
        return tuple(Turn((0,), (swap,), ((down, across),)) for swap, down, across in product(both, repeat=3))
    return tuple(_cube(order, flips) for order in permutations(range(3)) for flips in product(both, repeat=3))


def _cube(order: Sequence[int], flips: Sequence[bool]) -> Turn:
    """Axis a of the turned cube is axis ``order[a]``, reversed if ``flips[a]``."""
    sides = [tuple(a for a in range(3) if a != normal) for normal in range(3)]
    return Turn(
        planes=tuple(order),
        swaps=tuple(order[a] > order[b] for a, b in sides),
        flips=tuple((flips[a], flips[b]) for a, b in sides),
    )


@lru_cache
def permutation(planes: int, side: int) -> NDArray[np.int64]:
    """(turns, P * S * S): the cells of a flattened print, in the order of each turned one."""
    cells = np.arange(planes * side * side, dtype=np.float32).reshape(planes, side, side)
    return np.stack([turn.of(cells).ravel() for turn in turns_of(planes)]).astype(np.int64)
