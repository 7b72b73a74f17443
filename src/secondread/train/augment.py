"""Augmentation of a whole batch where it is trained: parameters are drawn, then a deterministic twin applies them.

Axes: B batch, C channels, d dimensions (2 or 3), S space.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

ELASTIC_GRID = 5
"""Control points per axis of the smooth deformation."""

BLURRED, COARSE = 0.2, 0.2
"""Share of the samples that are blurred, and of those in thicker slices."""


@dataclass(frozen=True)
class Strength:
    """How far augmentation goes. Angles in degrees, lengths as a share of the patch; blur as a standard deviation in
    voxels; coarse as how much thicker than the prepared voxels a slice may be (1: twice as thick)."""

    rotation: float = 15.0
    zoom: float = 0.15
    shift: float = 0.05
    elastic: float = 0.02
    mirror: float = 0.5
    gain: float = 0.15
    offset: float = 0.15
    gamma: float = 0.25
    noise: float = 0.1
    bias: float = 0.2
    blur: float = 1.0
    coarse: float = 1.0


@dataclass(frozen=True, eq=False)
class Parameters:
    """One draw for one batch.

    Attributes:
        matrix: (B, d, d) output to input coordinates, both in [-1, 1] per axis, in the order of S.
        shift: (B, d) likewise.
        bend: (B, d, 5, ...) displacement at control points.
        gain, offset, gamma: (B, C).
        bias: (B, C, 3, ...) log of a smooth multiplicative field at its control points; linear between them.
        noise: (B,) standard deviation.
        seed: of the noise itself.
        blur: (B,) standard deviation in voxels, 0 for most.
        coarse: (B,) thickness of a slice in voxels, 1 for most; ``thick``: (B,) across which axis of S.
    """

    matrix: Tensor
    shift: Tensor
    bend: Tensor
    gain: Tensor
    offset: Tensor
    gamma: Tensor
    bias: Tensor
    noise: Tensor
    seed: int
    blur: Tensor
    coarse: Tensor
    thick: Tensor


def draw(images: Tensor, strength: Strength, seed: int) -> Parameters:
    """Parameters for a batch shaped like ``images`` (B, C, *S), from ``seed`` alone; on the CPU."""
    rng = torch.Generator().manual_seed(seed)
    batch, channels, d = images.shape[0], images.shape[1], images.ndim - 2

    def spread(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=rng) * 2 - 1

    angles = spread(batch, 1 if d == 2 else 3) * strength.rotation * torch.pi / 180
    matrix = _rotation(angles, d) * (1 + strength.zoom * spread(batch, 1, 1))
    mirrored = torch.rand(batch, generator=rng) < strength.mirror
    # Axis 0 of a prepared volume is left-right; of a picture it is axis 1.
    axis = 0 if d == 3 else 1
    matrix[mirrored, :, axis] *= -1
    # Half of the studies keep their noise, so that clean scans stay in the picture.
    noisy = (torch.rand(batch, generator=rng) < 0.5).float()
    return Parameters(
        matrix=matrix,
        shift=strength.shift * spread(batch, d),
        bend=strength.elastic * torch.randn(batch, d, *[ELASTIC_GRID] * d, generator=rng),
        gain=1 + strength.gain * spread(batch, channels),
        offset=strength.offset * spread(batch, channels),
        gamma=torch.exp(strength.gamma * spread(batch, channels)),
        bias=strength.bias * torch.randn(batch, channels, *[3] * d, generator=rng),
        noise=strength.noise * torch.rand(batch, generator=rng) * noisy,
        seed=int(torch.randint(2**62, (1,), generator=rng)),
        blur=strength.blur * _sometimes(batch, BLURRED, rng),
        coarse=1 + strength.coarse * _sometimes(batch, COARSE, rng),
        thick=torch.randint(d, (batch,), generator=rng),
    )


def _sometimes(batch: int, share: float, rng: torch.Generator) -> Tensor:
    """(B,) between 0 and 1 for a share of the samples, 0 for the others."""
    chosen = torch.rand(batch, generator=rng) < share
    return torch.rand(batch, generator=rng) * chosen


def apply(images: Tensor, masks: Tensor, p: Parameters) -> tuple[Tensor, Tensor]:
    """The batch under ``p``: one resampling for shape, then intensity. A missing contrast (all 0) stays 0.

    Args:
        images: (B, C, *S) float32.
        masks: (B, *S) uint8.

    Returns:
        the same shapes and types; the mask becomes 0 or 1.
    """
    present = images.flatten(2).any(2)
    both = torch.cat([images, (masks > 0).to(images.dtype)[:, None]], dim=1)
    both = functional.grid_sample(both, _grid(images, p), padding_mode="border", align_corners=False)
    images, masks = both[:, :-1].contiguous(), (both[:, -1] >= 0.5).to(masks.dtype)
    _resolution(images, p)
    _gamma(images, p.gamma.to(images.device))
    # The field, the gain and a missing contrast are one product, taken where there are few points.
    field = p.bias.to(images.device).exp() * _over(p.gain.to(images.device) * present, images)
    images.mul_(_smooth(field, images.shape[2:])).add_(_over(p.offset.to(images.device) * present, images))
    rng = torch.Generator(images.device).manual_seed(p.seed)
    for sample in p.noise.nonzero().flatten().tolist():
        noise = torch.randn(images.shape[1:], generator=rng, device=images.device)
        noise.mul_(_over(p.noise[sample].to(images.device) * present[sample][None], images[:1])[0])
        images[sample].add_(noise)
    return images, masks


def _over(values: Tensor, images: Tensor) -> Tensor:
    """(B, C) to multiply or add to (B, C, *S)."""
    return values.reshape(*values.shape, *[1] * (images.ndim - 2))


def _grid(images: Tensor, p: Parameters) -> Tensor:
    """Sampling points (B, *S, d) for grid_sample, which wants the last axis of S first.

    The affine part is linear, so it needs no more points than the bend has: both are interpolated together.
    """
    size, d = images.shape[2:], images.ndim - 2
    # From the centre of the first voxel to that of the last.
    axes = [torch.linspace(1 / n - 1, 1 - 1 / n, ELASTIC_GRID, device=images.device) for n in size]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    # Angles are kept true on patches that are not cubes: rotate in units of the longest side.
    scale = torch.tensor([n / max(size) for n in size], device=images.device)
    matrix = p.matrix.to(images.device) * scale[None, None, :] / scale[None, :, None]
    moved = matrix @ points.flatten(1) + p.shift.to(images.device)[:, :, None]
    control = moved.reshape(-1, *points.shape) + p.bend.to(images.device)
    return _smooth(control.flip(1), size).permute(0, *range(2, 2 + d), 1)


def _rotation(angles: Tensor, d: int) -> Tensor:
    """Rotation matrices (B, d, d) from angles in radians, (B, 1) in the plane or (B, 3) about each axis in turn."""
    out = torch.eye(d).repeat(angles.shape[0], 1, 1)
    planes = [(0, 1)] if d == 2 else [(1, 2), (0, 2), (0, 1)]
    for column, (a, b) in enumerate(planes):
        turn = torch.eye(d).repeat(angles.shape[0], 1, 1)
        cos, sin = angles[:, column].cos(), angles[:, column].sin()
        turn[:, a, a], turn[:, a, b], turn[:, b, a], turn[:, b, b] = cos, -sin, sin, cos
        out = out @ turn
    return out


def _smooth(control: Tensor, size: torch.Size) -> Tensor:
    """Control points (B, n, *grid) -> (B, n, *S), linear."""
    mode = "bilinear" if len(size) == 2 else "trilinear"
    return functional.interpolate(control, size=size, mode=mode, align_corners=True)


def _resolution(images: Tensor, p: Parameters) -> None:
    """Some samples blurred, some as if acquired in thicker slices, in place."""
    for sample in ((p.blur > 0) | (p.coarse > 1)).nonzero().flatten().tolist():
        image = images[sample : sample + 1]
        if p.coarse[sample] > 1:
            image = _thicken(image, int(p.thick[sample]), float(p.coarse[sample]))
        if p.blur[sample] > 0:
            for axis in range(image.ndim - 2):
                image = _blur(image, axis, float(p.blur[sample]))
        images[sample : sample + 1] = image


def _thicken(image: Tensor, axis: int, voxels: float) -> Tensor:
    """(1, C, *S) averaged over slices ``voxels`` thick along one axis of S and interpolated back."""
    size = list(image.shape[2:])
    few = [max(2, round(n / voxels)) if a == axis else n for a, n in enumerate(size)]
    mode = "bilinear" if len(size) == 2 else "trilinear"
    return functional.interpolate(functional.interpolate(image, size=few, mode="area"), size=size, mode=mode)


def _blur(image: Tensor, axis: int, sigma: float) -> Tensor:
    """(1, C, *S) under a Gaussian along one axis of S, cut off at three standard deviations; borders are repeated."""
    d, channels = image.ndim - 2, image.shape[1]
    reach = min(math.ceil(3 * sigma), image.shape[2 + axis] - 1)
    at = torch.arange(-reach, reach + 1, device=image.device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (at / sigma) ** 2)
    shape = [-1 if a == axis else 1 for a in range(d)]
    weight = (kernel / kernel.sum()).reshape(1, 1, *shape).repeat(channels, 1, *[1] * d)
    # functional.pad counts axes from the last.
    padding = [reach if a == axis else 0 for a in reversed(range(d)) for _ in range(2)]
    padded = functional.pad(image, padding, mode="replicate")
    out: Tensor = (functional.conv2d if d == 2 else functional.conv3d)(padded, weight, groups=channels)
    return out


def _gamma(images: Tensor, gamma: Tensor) -> None:
    """Each channel raised to ``gamma`` (B, C) between its own darkest and brightest voxel, in place."""
    low, high = torch.aminmax(images.flatten(2), dim=2)
    low, span = _over(low, images), _over((high - low).clamp_min(1e-6), images)
    images.sub_(low).div_(span).pow_(_over(gamma, images)).mul_(span).add_(low)
