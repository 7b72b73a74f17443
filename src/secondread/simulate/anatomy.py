"""The average head: the MNI152 maps, and what lies round them, ready to be sampled anywhere.

Space is MNI, RAS mm as the maps have it. The maps: ICBM 152 2009a symmetric (Fonov et al., NeuroImage 2011), bundled
with nilearn.
"""

from __future__ import annotations

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

SHELL = ("depth", "skin", "hollow", "eye")
"""Channels of ``Atlas.shell``: mm outside (negative: inside) of the brain with its sulci closed, of face and neck, of
the air in the nose, of the eyes."""

SELLA: Triple = (0.0, 4.0, -34.0)

VOXELS_MM = (1.0, 1.5, 2.0, 3.0, 4.0)

_HULL_MM = 3.0
_PAD_MM = 30
_CLOSING_MM = 9.0
_EYES: tuple[Triple, ...] = ((-33.0, 60.0, -36.0), (33.0, 60.0, -36.0))
_FACE: tuple[Triple, Triple] = ((0.0, 2.0, -52.0), (66.0, 84.0, 78.0))
_SINUS: tuple[Triple, Triple] = ((0.0, 62.0, -48.0), (17.0, 22.0, 30.0))


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
    grey, white, _, first = _maps()
    matter = np.stack([_shrink(grey, voxel), _shrink(white, voxel)])
    # The centre of the first coarse voxel lies half a coarse voxel past the edge of the map.
    origin = first + (voxel - 1) / 2
    depth, depth_origin = _depth()
    shell = np.stack([depth, *_face(depth.shape, depth_origin)])
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
    from scipy.ndimage import distance_transform_edt

    grey, white, _, first = _maps()
    depth, depth_origin = _depth()
    grey, white = _shrink(grey, _HULL_MM), _shrink(white, _HULL_MM)
    pad = int(_PAD_MM / _HULL_MM)
    inner = depth[tuple(slice(pad, pad + n) for n in white.shape)]
    origin = first + (_HULL_MM - 1) / 2

    def where(inside: NDArray[np.bool_], lowest: float) -> Floats:
        spots = np.argwhere(inside) * _HULL_MM + origin
        return spots[spots[:, 2] > lowest].astype(np.float32)

    # Fluid deep in the brain, above its base, is ventricle.
    fluid = (grey + white < 0.4) & (inner < -18)
    beside = distance_transform_edt(~fluid) * _HULL_MM
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


def _face(shape: tuple[int, ...], origin: NDArray[np.float64]) -> list[Floats]:
    """Skin, hollow and eye of SHELL."""
    at = [o + np.arange(n) * _HULL_MM for o, n in zip(origin, shape, strict=True)]
    x, y, z = np.meshgrid(*at, indexing="ij", sparse=True)
    eyes = np.minimum(*(_ellipsoid((x, y, z), eye, (12.0, 12.0, 12.0)) for eye in _EYES))
    return [_ellipsoid((x, y, z), *_FACE), _ellipsoid((x, y, z), *_SINUS), eyes]


def _ellipsoid(at: tuple[NDArray[np.float64], ...], centre: Triple, radii: Triple) -> Floats:
    """About how many mm each place lies outside an ellipsoid."""
    squared = sum(((p - c) / r) ** 2 for p, c, r in zip(at, centre, radii, strict=True))
    return np.asarray((np.sqrt(squared) - 1) * min(radii), np.float32)


def _shrink(values: Floats, voxel: float) -> Floats:
    out = values
    for _ in range(3):
        n = out.shape[0]
        out = np.tensordot(out, axis_matrix(n, int(n // voxel), 0.0, voxel).toarray(), axes=(0, 1))
    return np.ascontiguousarray(out)
