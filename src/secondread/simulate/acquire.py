"""A head becomes a scan: everything that a scanner adds. Shape legend: B samples; C contrasts; N the grid (i, j, k)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from secondread.simulate.scene import Scene, Series


def acquire(signal: Tensor, scenes: Sequence[Scene], bias: Tensor, kept: Tensor) -> Tensor:
    """Signal (B, C, *N) of ideal heads as a scanner shows it, slices thickened; (B, C, i, j, k // thick).

    Args:
        bias: (B, C, *N) standard normal fields.
        kept: (B, *N) bool: what a cut round the brain leaves; all where the skull is kept.
    """
    series = [scene.series for scene in scenes]
    signal = signal.clamp_min(0) ** _column(series, "gamma", signal)
    signal = signal * torch.exp(_column(series, "bias", signal) * bias)
    signal = _blurred(signal, _column(series, "blur", signal))
    signal = _with_ghosts(signal, series)
    _cut(signal, scenes)
    thick = scenes[0].grid.thick
    if thick > 1:
        signal = grouped(signal, thick).mean(dim=-1)
        kept = grouped(kept, thick).any(dim=-1)
    signal = _with_noise(signal, series)
    signal = _coarsened(signal, series)
    signal *= kept[:, None]
    return signal


def grouped(values: Tensor, thick: int) -> Tensor:
    """(..., k) -> (..., k // thick, thick): slices in groups; what is left over at the end is cut."""
    k = values.shape[-1] // thick
    return values[..., : k * thick].reshape(*values.shape[:-1], k, thick)


def _column(series: Sequence[Sequence[Series]], name: str, like: Tensor) -> Tensor:
    """(B, C, 1, 1, 1): one number of each series."""
    values = [[getattr(one, name) for one in row] for row in series]
    return torch.tensor(values, dtype=torch.float32, device=like.device).reshape(*like.shape[:2], 1, 1, 1)


def _blurred(signal: Tensor, sigma: Tensor) -> Tensor:
    # Three taps with the variance of the Gaussian: exact enough below one voxel, and a fifth of its cost.
    side = sigma**2 / 2
    for axis in range(2, 5):
        n = signal.shape[axis]
        if n > 1:
            before = torch.cat([signal.narrow(axis, 0, 1), signal.narrow(axis, 0, n - 1)], dim=axis)
            after = torch.cat([signal.narrow(axis, 1, n - 1), signal.narrow(axis, n - 1, 1)], dim=axis)
            signal = signal * (1 - 2 * side) + side * (before + after)
    return signal


def _with_ghosts(signal: Tensor, series: Sequence[Sequence[Series]]) -> Tensor:
    out = signal.clone()
    for b, row in enumerate(series):
        for c, one in enumerate(row):
            if one.ghost:
                half = signal.shape[2 + one.ghost_axis] // 2
                out[b, c] += one.ghost * signal[b, c].roll(half, dims=one.ghost_axis)
            if one.spike:
                i, j = (
                    torch.linspace(0, 2 * torch.pi * turns, n, device=signal.device)
                    for turns, n in zip(one.spike_cycles, signal.shape[2:4], strict=True)
                )
                out[b, c] += one.spike * torch.cos(i[:, None] + j[None, :])[..., None]
    return out


def _cut(signal: Tensor, scenes: Sequence[Scene]) -> None:
    """Black beyond each scene's window, in place."""
    for b, scene in enumerate(scenes):
        for axis, share in enumerate(scene.window):
            n = signal.shape[2 + axis]
            edge = round(n * (1 - share) / 2)
            if edge:
                signal[b].narrow(1 + axis, 0, edge).zero_()
                signal[b].narrow(1 + axis, n - edge, edge).zero_()


def _with_noise(signal: Tensor, series: Sequence[Sequence[Series]]) -> Tensor:
    # A magnitude image: noise in both channels of the receiver (Gudbjartsson and Patz, Magn Reson Med 1995).
    out = torch.empty_like(signal)
    for b, row in enumerate(series):
        for c, one in enumerate(row):
            rng = torch.Generator(signal.device).manual_seed(one.seed)
            noise = torch.randn(2, *signal.shape[2:], generator=rng, device=signal.device) * one.noise
            out[b, c] = torch.hypot(signal[b, c] + noise[0], noise[1])
    return out


def _coarsened(signal: Tensor, series: Sequence[Sequence[Series]]) -> Tensor:
    """Series acquired in slices thicker than the voxels that they were later resampled to."""
    for b, row in enumerate(series):
        for c, one in enumerate(row):
            n = signal.shape[2 + one.coarse_axis]
            if one.coarse > 1 and n > 2 * one.coarse:
                lines = signal[b, c].movedim(one.coarse_axis, -1)
                flat = lines.reshape(1, -1, n)
                few = functional.interpolate(flat, max(2, round(n / one.coarse)), mode="area")
                fine = functional.interpolate(few, n, mode="linear", align_corners=False)
                signal[b, c] = fine.reshape(lines.shape).movedim(-1, one.coarse_axis)
    return signal
