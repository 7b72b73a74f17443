"""The average head: the MNI152 maps, and what lies round them, ready to be sampled anywhere.

Space is MNI, RAS mm as the maps have it. The maps: ICBM 152 2009a symmetric (Fonov et al., NeuroImage 2011), bundled
with nilearn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secondread.simulate.fields import by_voxel, sample
from secondread.simulate.scene import Triple
from secondread.volume.prepare import axis_matrix

Floats = NDArray[np.float32]

SHELL = ("depth", "skin", "hollow", "orbit", "eye", "ventricle")
"""Channels of ``Atlas.shell``: mm outside (negative: inside) of the brain with its sulci closed, of face and neck, of
the air in nose and sinuses, of the eye sockets, of the eyes, of the ventricles."""

SELLA: Triple = (0.0, 4.0, -34.0)

VOXELS_MM = (1.0, 1.5, 2.0, 3.0, 4.0)

_HULL_MM = 3.0
_PAD_MM = 30
_CLOSING_MM = 9.0
_SHARPEN_MM = 2.5

Ellipsoid = tuple[Triple, Triple]
"""Centre and radii in MNI mm; one beside the midline is there on both sides."""

_EYES: list[Ellipsoid] = [((33.0, 64.0, -36.0), (12.0, 12.0, 12.0))]
_ORBITS: list[Ellipsoid] = [((31.0, 52.0, -36.0), (18.0, 26.0, 18.0))]
_FLESH: list[Ellipsoid] = [
    ((0.0, 24.0, -62.0), (66.0, 72.0, 72.0)),  # face
    ((0.0, 96.0, -54.0), (15.0, 20.0, 22.0)),  # nose
    ((0.0, 62.0, -104.0), (34.0, 36.0, 30.0)),  # chin
    ((0.0, -28.0, -90.0), (58.0, 62.0, 70.0)),  # neck
]
_CAVITIES: list[Ellipsoid] = [
    ((7.0, 62.0, -58.0), (4.0, 26.0, 20.0)),  # nose
    ((0.0, 24.0, -46.0), (12.0, 13.0, 9.0)),  # sphenoid sinus
    ((28.0, 58.0, -64.0), (13.0, 15.0, 16.0)),  # maxillary sinus
    ((10.0, 76.0, -12.0), (9.0, 6.0, 9.0)),  # frontal sinus
    ((0.0, 12.0, -88.0), (8.0, 7.0, 34.0)),  # throat
    ((0.0, 56.0, -88.0), (18.0, 26.0, 5.0)),  # mouth
    ((52.0, -30.0, -46.0), (8.0, 10.0, 12.0)),  # mastoid cells
    ((58.0, -18.0, -36.0), (14.0, 3.0, 3.0)),  # ear canal
]


@dataclass(frozen=True, eq=False)
class Places:
    """Where lesions of each kind may begin, (n, 3) float32 MNI mm.

    Attributes:
        deep_white: white matter well inside the brain.
        border: between grey and white matter.
        ventricle: white matter beside the lateral ventricles.
        surface: on the brain's surface; outward: unit vectors out of the brain there.
    """

    deep_white: Floats
    border: Floats
    ventricle: Floats
    surface: Floats
    outward: Floats


@dataclass(frozen=True, eq=False)
class Atlas:
    """The maps on one device.

    Attributes:
        matter: (2, a, b, c) share of grey and white matter per voxel.
        shell: (len(SHELL), d, e, f) mm.
        matter_box, shell_box: (2, 3) MNI mm of the first and the last voxel.
    """

    matter: Tensor
    matter_box: Tensor
    shell: Tensor
    shell_box: Tensor

    def matter_at(self, places: Tensor) -> Tensor:
        """Grey and white matter at ``places`` (B, 3, *G): (B, 2, *G)."""
        return sample(self.matter, _scaled(places, self.matter_box))

    def shell_at(self, places: Tensor) -> Tensor:
        """SHELL at ``places`` (B, 3, *G): (B, len(SHELL), *G)."""
        return sample(self.shell, _scaled(places, self.shell_box))


def _scaled(places: Tensor, box: Tensor) -> Tensor:
    low, high = (b.reshape(1, 3, *[1] * (places.ndim - 2)) for b in box)
    scaled: Tensor = (places - low) * (2 / (high - low)) - 1
    return scaled


_loading = Lock()


def atlas(spacing: float, device: torch.device | str = "cpu") -> Atlas:
    """The maps at one of VOXELS_MM, for scans of about ``spacing`` mm; loaded once per process, safe from threads."""
    voxel = max([v for v in VOXELS_MM if v <= 1.1 * spacing], default=VOXELS_MM[0])
    with _loading:
        return _atlas(voxel, torch.device(device))


def places() -> Places:
    """Where lesions may begin; loaded once per process, safe from several threads."""
    with _loading:
        return _places()


@lru_cache(maxsize=6)
def _atlas(voxel: float, device: torch.device) -> Atlas:
    _, _, _, first = _maps()
    matter = np.stack([_shrink(one, voxel) for one in _sharp()])
    # The centre of the first coarse voxel lies half a coarse voxel past the edge of the map.
    origin = first + (voxel - 1) / 2
    depth, depth_origin = _depth()
    shell = np.stack([depth, *_face(depth.shape, depth_origin), _ventricle(depth)])
    return Atlas(
        by_voxel(torch.from_numpy(matter)).to(device),
        _box(origin, matter.shape[1:], voxel).to(device),
        by_voxel(torch.from_numpy(shell)).to(device),
        _box(depth_origin, depth.shape, _HULL_MM).to(device),
    )


def _box(origin: NDArray[np.float64], shape: tuple[int, ...], voxel: float) -> Tensor:
    return torch.tensor(np.stack([origin, origin + (np.array(shape) - 1) * voxel]), dtype=torch.float32)


@lru_cache(maxsize=1)
def _places() -> Places:
    grey, white, _, first = _maps()
    depth, depth_origin = _depth()
    grey, white = _shrink(grey, _HULL_MM), _shrink(white, _HULL_MM)
    pad = int(_PAD_MM / _HULL_MM)
    inner = depth[tuple(slice(pad, pad + n) for n in white.shape)]
    origin = first + (_HULL_MM - 1) / 2

    def where(inside: NDArray[np.bool_], lowest: float) -> Floats:
        spots = np.argwhere(inside) * _HULL_MM + origin
        return spots[spots[:, 2] > lowest].astype(np.float32)

    beside = _ventricle(depth)[tuple(slice(pad, pad + n) for n in white.shape)]
    edge = np.argwhere(np.abs(depth) < _HULL_MM / 2)
    slope = np.stack([np.gradient(depth, axis=a)[tuple(edge.T)] for a in range(3)], axis=-1)
    outward = slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-3)
    surface = edge * _HULL_MM + depth_origin
    convex = surface[:, 2] > -30
    return Places(
        deep_white=where((white > 0.6) & (inner < -9), -40),
        border=where((white > 0.3) & (grey > 0.3) & (inner < -3), -60),
        ventricle=where((white > 0.6) & (beside > 1) & (beside < 9), -10),
        surface=surface[convex].astype(np.float32),
        outward=outward[convex].astype(np.float32),
    )


@lru_cache(maxsize=1)
def _maps() -> tuple[Floats, Floats, Floats, NDArray[np.float64]]:
    """Grey matter, white matter, brain at 1 mm, and the MNI mm of their first voxel."""
    from nilearn import datasets

    images = [
        datasets.load_mni152_gm_template(resolution=1),
        datasets.load_mni152_wm_template(resolution=1),
        datasets.load_mni152_brain_mask(resolution=1),
    ]
    grey, white, brain = (np.asarray(image.dataobj, dtype=np.float32) for image in images)
    return grey, white, brain, np.asarray(images[0].affine[:3, 3], dtype=np.float64)


@lru_cache(maxsize=1)
def _depth() -> tuple[Floats, NDArray[np.float64]]:
    """mm outside the closed brain, and the MNI mm of the first voxel."""
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    _, _, brain, first = _maps()
    inside = _shrink(brain, _HULL_MM) > 0.5
    pad = int(_PAD_MM / _HULL_MM)
    # The maps end where the brain stem goes on: repeating the lowest slice continues it as the cord.
    inside = np.pad(np.pad(inside, ((pad, pad), (pad, pad), (0, pad))), ((0, 0), (0, 0), (pad, 0)), mode="edge")
    reach = _CLOSING_MM / _HULL_MM
    closed = distance_transform_edt(distance_transform_edt(~inside) <= reach) > reach
    depth = (distance_transform_edt(~closed) - distance_transform_edt(closed)) * _HULL_MM
    # Voxel to voxel the two transforms step over the surface: it lies half a voxel from either centre.
    depth -= np.sign(depth) * _HULL_MM / 2
    return gaussian_filter(depth, 2.0 / _HULL_MM).astype(np.float32), first + (_HULL_MM - 1) / 2 - pad * _HULL_MM


@lru_cache(maxsize=1)
def _sharp() -> tuple[Floats, Floats]:
    """Grey and white matter at 1 mm, what many people's average has blurred brought out again."""
    from scipy.ndimage import gaussian_filter

    grey, white, _, _ = _maps()
    matter = grey + white
    # Unsharp masking: sulci, where brain is a little rarer than beside them, become furrows.
    sharp = np.clip(matter + 1.6 * (matter - gaussian_filter(matter, _SHARPEN_MM)), 0, 1)
    part = white / np.maximum(matter, 1e-3)
    part = np.clip(part + 0.8 * (part - gaussian_filter(part, _SHARPEN_MM)), 0, 1) * (matter > 0.02)
    return (sharp * (1 - part)).astype(np.float32), (sharp * part).astype(np.float32)


def _ventricle(depth: Floats) -> Floats:
    """mm outside (negative: inside) the ventricles, on the grid of ``depth``."""
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    grey, white, _, _ = _maps()
    pad = int(_PAD_MM / _HULL_MM)
    matter = _shrink(grey + white, _HULL_MM)
    matter = np.pad(matter, [(pad, n - pad - m) for n, m in zip(depth.shape, matter.shape, strict=True)])
    # Fluid deep in the brain is ventricle.
    fluid = (matter < 0.5) & (depth < -18)
    away = (distance_transform_edt(~fluid) - distance_transform_edt(fluid)) * _HULL_MM
    return np.asarray(gaussian_filter(away - np.sign(away) * _HULL_MM / 2, 0.5), np.float32)


def _face(shape: tuple[int, ...], origin: NDArray[np.float64]) -> list[Floats]:
    """Skin, hollow, orbit and eye of SHELL."""
    at = [o + np.arange(n) * _HULL_MM for o, n in zip(origin, shape, strict=True)]
    x, y, z = map(torch.from_numpy, np.meshgrid(*at, indexing="ij", sparse=True))
    return [outside((x.abs(), y, z), shapes).float().numpy() for shapes in (_FLESH, _CAVITIES, _ORBITS, _EYES)]


def outside(at: Sequence[Tensor], shapes: Sequence[Ellipsoid]) -> Tensor:
    """About how many mm each place, x, y and z of ``at``, lies outside the nearest of some ellipsoids."""
    away = []
    for centre, radii in shapes:
        x, y, z = ((p - c) / r for p, c, r in zip(at, centre, radii, strict=True))
        away.append(((x**2 + y**2 + z**2).sqrt() - 1) * min(radii))
    return torch.stack(away).amin(0)


@lru_cache(maxsize=512)
def section(axis: int, step: int, skull: bool) -> tuple[tuple[float, float], ...]:
    """Least and most MNI mm along each axis of what a slice across ``axis`` at ``step`` times _HULL_MM shows."""
    _, origin = _depth()
    inside = np.moveaxis(_inside(skull), axis, 0)
    # A slice that misses the head is given the frame of the nearest one that does not.
    full = np.flatnonzero(inside.any(axis=(1, 2)))
    k = int(np.clip(round(step - origin[axis] / _HULL_MM), full[0], full[-1]))
    found = [(0.0, 0.0)] * 3
    for a, hit in zip([a for a in range(3) if a != axis], np.nonzero(inside[k]), strict=True):
        found[a] = (float(hit.min() * _HULL_MM + origin[a]), float(hit.max() * _HULL_MM + origin[a]))
    return tuple(found)


@lru_cache(maxsize=2)
def _inside(skull: bool) -> NDArray[np.bool_]:
    """Head or brain, on the grid of ``_depth``."""
    depth, origin = _depth()
    outside = np.minimum(depth - 13, _face(depth.shape, origin)[0]) if skull else depth - 1
    inside: NDArray[np.bool_] = np.less(outside, 0)
    return inside


def _shrink(values: Floats, voxel: float) -> Floats:
    out = values
    for _ in range(3):
        n = out.shape[0]
        out = np.tensordot(out, axis_matrix(n, int(n // voxel), 0.0, voxel).toarray(), axes=(0, 1))
    return np.ascontiguousarray(out)
