"""Smooth random fields, evaluated wherever they are wanted.

Shape legend: B samples; F fields; G points of space, any number of axes; places (B, 3, *G) are in mm.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

SIDE = 48
"""Voxels along an axis of the bank of noise, after which it repeats."""

FIELDS = 4
"""Independent fields in the bank."""

_SMOOTH = 1.5
"""Standard deviation, in voxels, of the blur that made the bank."""

GRAIN = 4.0
"""Voxels of the bank over which it changes noticeably: a field of length L mm takes L / GRAIN mm a voxel."""

WAVES = 14
"""Plane waves that make up one smooth field."""


class Waves:
    """Gaussian-like random fields, as sums of plane waves (random Fourier features: Rahimi and Recht 2007).

    Cheap where there are few points, smooth everywhere, and the same at a place whatever the grid.
    """

    def __init__(self, rng: torch.Generator, fields: int, longest: float, shortest: float) -> None:
        length = shortest * (longest / shortest) ** torch.rand(fields, WAVES, 1, generator=rng)
        way = torch.randn(fields, WAVES, 3, generator=rng)
        self.vectors = way / way.norm(dim=2, keepdim=True).clamp_min(1e-6) * (2 * torch.pi / length)
        self.phases = torch.rand(fields, WAVES, generator=rng) * 2 * torch.pi


def waves_at(waves: list[Waves], places: Tensor) -> Tensor:
    """(B, F, *G): fields of mean 0 and standard deviation about 1, those of ``waves[b]`` at ``places[b]``."""
    device = places.device
    vectors = torch.stack([w.vectors for w in waves]).to(device)
    phases = torch.stack([w.phases for w in waves]).to(device)
    angles = torch.einsum("bfwc,bcg->bfwg", vectors, places.flatten(2)) + phases[..., None]
    total: Tensor = angles.cos().sum(2) * (2 / WAVES) ** 0.5
    return total.reshape(len(waves), -1, *places.shape[2:])


def noise_at(places: Tensor, length: Tensor, shift: Tensor) -> Tensor:
    """(B, FIELDS, *G): noise of mean 0 and standard deviation 1 that changes over ``length`` mm.

    Args:
        places: (B, 3, *G).
        length: (B) mm.
        shift: (B, 3), in voxels of the bank: which part of it, so that no two samples look alike.
    """
    extra = (1,) * (places.ndim - 2)
    at = places * (GRAIN / length).reshape(-1, 1, *extra) + shift.reshape(-1, 3, *extra)
    at = at.remainder(SIDE) * (2 / SIDE) - 1
    return sample(bank(places.device), at)


def sample(values: Tensor, at: Tensor) -> Tensor:
    """``values`` (F, x, y, z) at ``at`` (B, 3, *G), where -1 and 1 are the first and last voxel; (B, F, *G), linear."""
    batch, space = at.shape[0], at.shape[2:]
    # One long list of points: the values are shared by all samples, and grid_sample wants a batch of them otherwise.
    points = at.flatten(2).permute(0, 2, 1).flip(-1).reshape(1, -1, 1, 1, 3)
    found = functional.grid_sample(values[None], points, padding_mode="border", align_corners=True)
    return found.reshape(values.shape[0], batch, -1).transpose(0, 1).reshape(batch, values.shape[0], *space)


@lru_cache(maxsize=4)
def bank(device: torch.device) -> Tensor:
    """(FIELDS, SIDE + 1, SIDE + 1, SIDE + 1): noise that repeats without a seam; its first voxel is its last one."""
    rng = torch.Generator().manual_seed(20240229)
    white = torch.randn(FIELDS, SIDE, SIDE, SIDE, generator=rng)
    along = torch.fft.fftfreq(SIDE)
    squared = along[:, None, None] ** 2 + along[None, :, None] ** 2 + along[None, None, :] ** 2
    gain = torch.exp(-2 * (torch.pi * _SMOOTH) ** 2 * squared)
    smooth = torch.fft.ifftn(torch.fft.fftn(white, dim=(1, 2, 3)) * gain, dim=(1, 2, 3)).real
    smooth = (smooth - smooth.mean(dim=(1, 2, 3), keepdim=True)) / smooth.std(dim=(1, 2, 3), keepdim=True)
    return by_voxel(functional.pad(smooth[None], (0, 1, 0, 1, 0, 1), mode="circular")[0]).to(device)


def by_voxel(values: Tensor) -> Tensor:
    """(F, x, y, z) with the F values of a voxel side by side in memory, which halves the time of sampling."""
    return values[None].contiguous(memory_format=torch.channels_last_3d)[0]


def upsample(coarse: Tensor, shape: tuple[int, ...]) -> Tensor:
    """(B, F, *M) -> (B, F, *shape), linear, first and last point on first and last voxel."""
    if shape[2] == 1:
        flat = functional.interpolate(coarse[..., 0], shape[:2], mode="bilinear", align_corners=True)
        return flat[..., None]
    return functional.interpolate(coarse, shape, mode="trilinear", align_corners=True)


def box_mean(values: Tensor, size: list[int]) -> Tensor:
    """(C, i, j, k) averaged over a box of ``size`` voxels (odd) about each, as far as the grid goes."""
    pads = [n // 2 for n in size]
    return functional.avg_pool3d(values[None], size, 1, pads, count_include_pad=False)[0]
