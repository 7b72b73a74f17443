"""Lesions painted into a head. Shape legend: T tissues, N the scan's grid, B the box of it that holds one lesion."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from secondread.simulate.anatomy import INDEX, ramp
from secondread.simulate.fields import Floats, smooth_noise
from secondread.simulate.scene import Grid, Head, Lesion, rotation
from secondread.simulate.tissues import cover

CORE, OEDEMA, ENHANCING = 1, 2, 4
"""Values in the mask, as BraTS has them (Menze et al., IEEE TMI 2015)."""

_REACH = 1.75
"""No part of a lesion lies further from its centre than this many of its radii."""


class Parts(NamedTuple):
    """Share of each voxel (B) taken by a lesion's parts; together at most 1."""

    core: Floats
    enhancing: Floats
    oedema: Floats


def paint(
    weights: Floats, labels: NDArray[np.uint8], lesion: Lesion, grid: Grid, head: Head, outer: Floats, within: Floats
) -> None:
    """Add ``lesion`` to ``weights`` (T, N) and ``labels`` (N), in place, nowhere outside ``within`` (N)."""
    radius = lesion.diameter_mm / 2 / head.size
    box = _box(outer, lesion, radius * _REACH)
    if box is None:
        return
    places, inside = outer[(slice(None), *box)], within[box]
    rng = np.random.default_rng(lesion.seed)
    away = rotation(lesion.turn).astype(np.float32) @ (places - _column(lesion.centre)).reshape(3, -1)
    away = away.reshape(places.shape) / _column(lesion.axes)
    distance = np.sqrt((away**2).sum(axis=0)) / np.float32(radius)
    shape = (distance.shape[0], distance.shape[1], distance.shape[2])
    length = max(grid.spacing, 0.45 * radius)
    ragged = distance + np.float32(lesion.rough) * np.clip(smooth_noise(rng, shape, grid.spacing, length), -2, 2)
    here = weights[(slice(None), *box)]
    find = _meningioma if lesion.category == "meningioma" else _glioma
    parts = find(lesion, ragged, here, grid.spacing / radius)
    uneven = np.clip(0.88 + 0.12 * smooth_noise(rng, shape, grid.spacing, length), 0, 1) * np.float32(lesion.opacity)
    solid = "meningioma" if lesion.category == "meningioma" else "enhancing"
    for name, share in (("oedema", parts.oedema), ("necrosis", parts.core), (solid, parts.enhancing)):
        cover(here, name, share * inside * uneven)
    _label(labels[box], Parts(*(part * inside for part in parts)), distance, inside)


def _box(outer: Floats, lesion: Lesion, reach: float) -> tuple[slice, slice, slice] | None:
    near = (np.abs(outer - _column(lesion.centre)) <= reach).all(axis=0)
    spans = []
    for axis in range(3):
        planes = np.flatnonzero(near.any(axis=tuple(a for a in range(3) if a != axis)))
        if not len(planes):
            return None
        spans.append(slice(int(planes[0]), int(planes[-1]) + 1))
    return spans[0], spans[1], spans[2]


def _glioma(lesion: Lesion, ragged: Floats, here: Floats, voxel: float) -> Parts:
    """Necrotic core, enhancing ring, oedema that follows the white matter. Distances are in radii of the lesion."""
    solid = ramp(lesion.solid - ragged, voxel)
    core = np.minimum(ramp(lesion.solid * lesion.core - ragged, voxel), solid) if lesion.core > 0 else 0 * solid
    white, fluid = here[INDEX["wm"]], here[INDEX["csf"]]
    spread = ramp(1.0 - (ragged + 0.45 * (0.75 - white)), voxel)
    # Fluid in a ventricle is not tissue that can swell.
    oedema = np.clip(spread * (1 - fluid) - solid, 0, 1) if lesion.solid < 1 else 0 * solid
    return Parts(core, solid - core, oedema)


def _meningioma(lesion: Lesion, ragged: Floats, here: Floats, voxel: float) -> Parts:
    """One compact mass against the dura, at times with a collar of oedema in the white matter that it presses."""
    solid = ramp(lesion.solid - ragged, voxel)
    collar = ramp(1.0 - ragged, voxel) if lesion.solid < 1 else 0 * solid
    oedema = np.clip(collar * np.clip(here[INDEX["wm"]] * 1.6, 0, 1) - solid, 0, 1)
    return Parts(0 * solid, solid, oedema)


def _label(labels: NDArray[np.uint8], parts: Parts, distance: Floats, inside: Floats) -> None:
    """Write into ``labels`` (B). A lesion too small to fill half a voxel still gets the voxel nearest its centre."""
    total = parts.core + parts.enhancing + parts.oedema
    names = np.array([CORE, ENHANCING, OEDEMA], np.uint8)
    largest = names[np.argmax(np.stack([parts.core, parts.enhancing, parts.oedema]), axis=0)]
    found = total >= 0.5
    if not found.any():
        candidates = np.where(inside >= 0.5, distance, np.inf)
        nearest = np.unravel_index(np.argmin(candidates), distance.shape)
        if not np.isfinite(candidates[nearest]):
            return
        found[nearest] = True
    # Where two lesions of a study meet, tumour prevails over the other one's oedema.
    keep = found & ~((labels > 0) & (largest == OEDEMA))
    labels[keep] = largest[keep]


def _column(values: tuple[float, float, float]) -> Floats:
    return np.array(values, np.float32).reshape(3, 1, 1, 1)
