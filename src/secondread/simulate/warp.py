"""From the scan's grid to the average head and back: each person's own shape.

Shape legend: B samples; N the grid (i, j, k); M a lattice some millimetres wide, on which everything smooth is worked
out before it is interpolated to N.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from secondread.simulate.anatomy import SHELL, Atlas
from secondread.simulate.fields import FIELDS, SIDE, Waves, noise_at, upsample, waves_at
from secondread.simulate.scene import Bulge, Scene

_LATTICE_MM = 4.0
_GYRI_MM = 18.0
_STRAND_MM = 26.0
_CLUTTER_MM = 12.0


@dataclass(frozen=True, eq=False)
class Warp:
    """Places of voxels and the smooth fields there.

    Attributes:
        outer: (B, 3, *N) MNI mm for skull and brain surface.
        inner: likewise for the tissue within, which masses push aside while the skull stands.
        uneven: (B, *N) over some 40 mm; mixed: over some 18 mm.
        strands: (B, 2, *N), whose common zeros are curves; strand_mm: mm for their unit near there.
        shell: (B, len(SHELL), *N), as in ``Atlas``, at ``outer``.
        clutter: (B, 4, *N) over some 12 mm.
        bias: (B, C, *N) over some 100 mm.
    """

    outer: Tensor
    inner: Tensor
    uneven: Tensor
    mixed: Tensor
    strands: Tensor
    shell: Tensor
    clutter: Tensor
    bias: Tensor
    strand_mm: float = _STRAND_MM / 2.2


def warp_of(scenes: Sequence[Scene], maps: Atlas, device: torch.device) -> Warp:
    """Where the voxels of ``scenes``, all of one shape, come from."""
    shape, contrasts = scenes[0].grid.shape, len(scenes[0].series)
    spacing = float(np.mean([s.grid.spacing for s in scenes]))
    coarse = tuple(1 if n == 1 else max(2, round((n - 1) * spacing / _LATTICE_MM) + 1) for n in shape)
    matrices = np.stack([s.head.from_lps() @ s.grid.geometry().affine for s in scenes])
    at = _lattice(torch.tensor(matrices, dtype=torch.float32, device=device), shape, coarse)
    heads = [s.head for s in scenes]
    rngs = [torch.Generator().manual_seed(h.seed) for h in heads]
    bends = [Waves(rng, 3, 180.0, 75.0) for rng in rngs]
    unevens = [Waves(rng, 1, 60.0, 30.0) for rng in rngs]
    shift = torch.stack([torch.rand(3, 3, generator=rng) * SIDE for rng in rngs]).to(device)
    biases = [Waves(torch.Generator().manual_seed(s.series[0].seed), contrasts, 220.0, 70.0) for s in scenes]
    bend_mm, gyri_mm, asymmetry = (
        torch.tensor([getattr(h, name) for h in heads], device=device).reshape(-1, 1, 1, 1)
        for name in ("bend_mm", "gyri_mm", "asymmetry")
    )
    outer = at + bend_mm[:, None] * waves_at(bends, at)
    outer[:, 0] += asymmetry[:, 0, None] * ((at[:, 0] ** 2 + 15.0**2).sqrt() - 15.0)
    length = torch.full((len(scenes),), _GYRI_MM, device=device)
    gyri = noise_at(at, length, shift[:, 0])
    bulges = [(h.ventricle_bulge(), *(x.bulge(h.size) for x in s.lesions)) for h, s in zip(heads, scenes, strict=True)]
    inner = outer + gyri_mm[:, None] * gyri[:, :3] + pushed(outer, bulges)
    strands = noise_at(outer, length * (_STRAND_MM / _GYRI_MM), shift[:, 1])[:, :2]
    shell = maps.shell_at(outer)
    # Ventricles are pushed with the brain.
    shell[:, -1:] = maps.shell_at(inner)[:, -1:]
    clutter = noise_at(outer, length * (_CLUTTER_MM / _GYRI_MM), shift[:, 2])
    smooth = [
        outer,
        inner,
        waves_at(unevens, at),
        gyri[:, FIELDS - 1 :],
        strands,
        shell,
        clutter,
        waves_at(biases, at),
    ]
    fine = upsample(torch.cat(smooth, dim=1), shape)
    outer, inner, uneven, mixed, strands, shell, clutter, bias = fine.split(
        [3, 3, 1, 1, 2, len(SHELL), FIELDS, contrasts], dim=1
    )
    return Warp(outer, inner, uneven[:, 0], mixed[:, 0], strands, shell, clutter, bias)


def _lattice(matrices: Tensor, shape: tuple[int, ...], coarse: tuple[int, ...]) -> Tensor:
    """(B, 3, *M): the lattice points in MNI mm, before any bend."""
    axes = [torch.linspace(0, n - 1, m, device=matrices.device) for n, m in zip(shape, coarse, strict=True)]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    moved = torch.einsum("brc,cijk->brijk", matrices[:, :3, :3], points)
    return moved + matrices[:, :3, 3, None, None, None]


def pushed(at: Tensor, bulges: Sequence[Sequence[Bulge]]) -> Tensor:
    """(B, 3, *M): from a place to where its tissue came from, less the place."""
    most = max(len(b) for b in bulges)
    nothing = Bulge((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 0.0)
    padded = [[*b, *[nothing] * (most - len(b))] for b in bulges]
    extra = (1,) * (at.ndim - 2)
    out = torch.zeros_like(at)
    for column in zip(*padded, strict=True):
        centre, radii = (
            torch.tensor([getattr(b, name) for b in column], device=at.device).reshape(-1, 3, *extra)
            for name in ("centre", "radii")
        )
        strength = torch.tensor([b.strength for b in column], device=at.device).reshape(-1, 1, *extra)
        away = at - centre
        squared = ((away / radii) ** 2).sum(1, keepdim=True)
        out -= strength * torch.exp(0.5 * (1 - squared)) * away
    return out
