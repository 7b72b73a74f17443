"""What each voxel of a head is made of. Shape legend: T tissues in the order of ``TISSUES``; N the scan's grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secondread.simulate.anatomy import INDEX, TISSUES, Atlas, ramp
from secondread.simulate.fields import Floats, smooth_noise
from secondread.simulate.scene import Grid, Head, Triple

_SPOT_MM = 2.5
_EYES: tuple[Triple, ...] = ((-33.0, 60.0, -36.0), (33.0, 60.0, -36.0))
_FACE: tuple[Triple, Triple] = ((0.0, 2.0, -52.0), (66.0, 84.0, 78.0))
_SINUS: tuple[Triple, Triple] = ((0.0, 62.0, -48.0), (17.0, 22.0, 30.0))


def tissues(grid: Grid, head: Head, maps: Atlas, outer: Floats, inner: Floats, skull: bool) -> tuple[Floats, Floats]:
    """The head without lesion.

    Args:
        outer, inner: MNI coordinates, as ``places_of`` gives them.
        skull: False leaves out everything outside the dura.

    Returns:
        ``(weights, within)``: (T, N), shares that sum to at most 1 (the rest is air); and (N), the share of each voxel
        that lies inside the skull.
    """
    rng = np.random.default_rng([head.seed, 1])
    weights = np.zeros((len(TISSUES), *grid.shape), np.float32)
    depth = maps.depth_at(outer)
    uneven = smooth_noise(rng, grid.shape, grid.spacing, 30.0)
    rim = np.float32(head.rim_mm) * (1 + np.float32(0.25) * uneven)
    within = ramp(rim - depth, grid.spacing)
    _brain(weights, grid, head, maps, inner, within, rng)
    _vessels(weights, grid, head, maps, outer, depth, within, rng)
    _spots(weights, grid, head, maps, within, rng)
    if skull:
        _skull(weights, grid, head, outer, depth - rim, uneven, within, rng)
    return weights, within


def cover(weights: Floats, name: str, share: Floats, whole: Floats | float = 1.0) -> None:
    """Let ``share`` of each voxel's tissue be ``name``, over whatever was there. In place.

    Args:
        weights: (T, N), or a box of it.
        share: (N), 0 to 1.
        whole: what the weights of a voxel sum to, so that they do so still.
    """
    weights *= 1 - share
    weights[INDEX[name]] += share * whole


def _brain(
    weights: Floats, grid: Grid, head: Head, maps: Atlas, inner: Floats, within: Floats, rng: np.random.Generator
) -> None:
    grey, white = maps.matter_at(inner)
    folds = np.float32(head.folds) * smooth_noise(rng, grid.shape, grid.spacing, 5.0)
    matter = np.clip(grey + white, 0, 1)
    part = white / np.maximum(matter, np.float32(1e-3))
    # The maps are an average of many people, so borders are blurred: steepen them, and let a fold's noise decide where
    # within the blur this person's border lies.
    part = np.clip((part - 0.5) * 1.8 + 0.5 + folds * 4 * part * (1 - part), 0, 1)
    matter = np.clip((matter - 0.45 - head.sulci) * 1.7 + 0.5 + folds * 4 * matter * (1 - matter), 0, 1)
    matter *= within
    weights[INDEX["wm"]] = matter * part
    weights[INDEX["gm"]] = matter - weights[INDEX["wm"]]
    weights[INDEX["csf"]] = within - matter


def _skull(
    weights: Floats,
    grid: Grid,
    head: Head,
    outer: Floats,
    above: Floats,
    uneven: Floats,
    within: Floats,
    rng: np.random.Generator,
) -> None:
    """Dura, bone, scalp, and a simple face and neck. ``above`` (N) is mm outside the inner table."""
    spacing = grid.spacing
    bone = np.float32(head.bone_mm) * (1 - np.float32(0.2) * uneven)
    mixed = smooth_noise(rng, grid.shape, spacing, 11.0)
    boned = ramp(bone - above, spacing)
    skin = np.minimum(above - bone - np.float32(head.scalp_mm), _ellipsoid(outer, _FACE) + 4 * uneven)
    soft = np.clip(ramp(-skin, spacing) - boned, 0, 1)
    fat = soft * np.clip(0.5 + 0.5 * mixed + (6 + skin) / 5, 0, 1) * ramp(-1.5 - skin, spacing)
    # Deep below the skull only streaks of fat run between muscles.
    fat *= np.where(skin < -np.float32(head.scalp_mm + 3), np.clip(mixed - 0.4, 0, 1), 1)
    shell = boned - within
    diploe = shell * np.clip(1 - np.abs(above / bone - 0.5) * 3, 0, 1) * np.clip(0.6 + 0.3 * mixed, 0, 1)
    dura = shell * ramp(1.2 - above, spacing)
    weights[INDEX["dura"]] += dura
    weights[INDEX["marrow"]] += np.minimum(diploe, shell - dura)
    weights[INDEX["bone"]] += np.clip(shell - dura - diploe, 0, 1)
    weights[INDEX["fat"]] += fat
    weights[INDEX["muscle"]] += soft - fat
    hollow = ramp(-_ellipsoid(outer, _SINUS) - 8 * np.abs(mixed), spacing) * soft
    weights *= 1 - hollow
    for eye in _EYES:
        cover(weights, "vitreous", ramp(-_ellipsoid(outer, (eye, (12.0, 12.0, 12.0))), spacing) * soft)


def _ellipsoid(places: Floats, shape: tuple[Triple, Triple]) -> Floats:
    """About how many mm each place lies outside an ellipsoid of ``(centre, radii)``."""
    centre, radii = shape
    squared = sum(((p - np.float32(c)) / np.float32(r)) ** 2 for p, c, r in zip(places, centre, radii, strict=True))
    return (np.sqrt(np.asarray(squared, np.float32)) - 1) * np.float32(min(radii))


def _vessels(
    weights: Floats,
    grid: Grid,
    head: Head,
    maps: Atlas,
    outer: Floats,
    depth: Floats,
    within: Floats,
    rng: np.random.Generator,
) -> None:
    """The sagittal sinus, and wandering vessels on and in the brain's surface. ``depth`` (N) as in ``depth_at``."""
    step = grid.spacing / 2
    count = max(2, round(45 / step))
    starts = rng.integers(len(maps.surface), size=head.vessels)
    paths = []
    for start in starts:
        heading = rng.standard_normal((count, 3)).cumsum(axis=0) * 0.25 + rng.standard_normal(3)
        normal = maps.outward[start].astype(np.float64)
        heading -= (heading @ normal)[:, None] * normal
        heading /= np.linalg.norm(heading, axis=1, keepdims=True) + 1e-6
        inwards = np.linspace(1.0, rng.uniform(4, 14), count)[:, None] * normal
        paths.append(maps.surface[start] + (heading * step).cumsum(axis=0) - inwards)
    sinus = ramp(3.5 - np.hypot(outer[0], depth - 0.5), grid.spacing)
    sinus *= (outer[2] > 0) | (outer[1] < -60)
    cover(weights, "vessel", sinus, within)
    if paths:
        share = _splat(np.concatenate(paths), grid, head, min(1.0, _SPOT_MM / grid.spacing) ** 2 * 0.5)
        cover(weights, "vessel", np.minimum(share, 0.9), within)


def _spots(weights: Floats, grid: Grid, head: Head, maps: Atlas, within: Floats, rng: np.random.Generator) -> None:
    """White matter's small bright spots, which many healthy people have."""
    if head.spots:
        places = maps.deep_white[rng.integers(len(maps.deep_white), size=head.spots)]
        share = _splat(places, grid, head, min(1.0, _SPOT_MM / grid.spacing) ** 3 * 2.2)
        cover(weights, "oedema", np.minimum(share, 1) * (weights[INDEX["wm"]] > 0.5), within)


def _splat(places: NDArray[np.floating], grid: Grid, head: Head, weight: float) -> Floats:
    """(N): ``weight`` at each of ``places`` (n, 3), shared by the eight voxels round it; MNI mm, bends ignored."""
    to_mni = head.from_lps() @ grid.geometry().affine
    at = (places - to_mni[:3, 3]) @ np.linalg.inv(to_mni[:3, :3]).T
    out = np.zeros(grid.shape, np.float32)
    low = np.floor(at).astype(int)
    high_share = at - low
    for corner in np.ndindex(2, 2, 2):
        voxel = low + corner
        share = np.prod(np.where(corner, high_share, 1 - high_share), axis=1)
        kept = ((voxel >= 0) & (voxel < grid.shape)).all(axis=1)
        np.add.at(out, tuple(voxel[kept].T), weight * share[kept])
    return out
