"""Batches of simulated samples on the training device; pictures and volumes from one description.

    settings = BatchSettings(shape=(160, 160), contrasts=("flair",), difficulty=0.3)
    samples = render_batch(draw_batch(settings, 16, seed=7), "cuda")

Shape legend: B samples; C contrasts; N the grid (i, j, k), with one slice along k for pictures; S what a network sees:
(row, column) or (i, j, k).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from secondread.errors import UsageError
from secondread.simulate.acquire import acquire, grouped
from secondread.simulate.anatomy import atlas
from secondread.simulate.draw import draw_sample
from secondread.simulate.lesions import paint_lesions
from secondread.simulate.scene import Scene
from secondread.simulate.settings import NORMAL, BatchSettings
from secondread.simulate.tissues import Body, Canvas, paint_head
from secondread.simulate.warp import Warp, warp_of
from secondread.volume.foreground import FOREGROUND_LEVEL
from secondread.volume.prepare import CLIP_Z

_LOOKED_AT = 20_000
"""Of larger images, the 99th percentile is taken from about so many voxels."""


@dataclass(frozen=True)
class Parameters:
    """One draw for one batch.

    Attributes:
        scenes: a scene per sample, all of one shape.
        categories: the kinds in the order of the labels.
        flat: whether samples are pictures.
    """

    scenes: tuple[Scene, ...]
    categories: tuple[str, ...]
    flat: bool


@dataclass(frozen=True, eq=False)
class Samples:
    """What :func:`render_batch` gives.

    Attributes:
        images: (B, C, *S) float32, normalised as ``volume.prepare`` does: foreground of mean 0 and deviation 1.
        masks: (B, *S) uint8: 0 healthy, 1 core, 2 oedema, 4 enhancing (values as BraTS has them).
        labels: (B) int64: index into the settings' categories; -1 where the sample shows no lesion. A lesion that the
            slice or patch misses is not in it.
    """

    images: Tensor
    masks: Tensor
    labels: Tensor


def draw_batch(settings: BatchSettings, n: int, seed: int, labels: Sequence[str] | None = None) -> Parameters:
    """Parameters of ``n`` samples, from ``seed`` alone.

    Args:
        labels: fixes what is otherwise drawn: per sample NORMAL or one of the settings' categories.

    Raises:
        UsageError: no sample, a negative seed, an unknown label or another number of labels than n.
    """
    if n < 1 or seed < 0 or (labels is not None and len(labels) != n):
        raise UsageError(f"a batch takes one or more samples, a seed of 0 or more and a label each; got {n}, {seed}")
    seeds = np.random.SeedSequence([seed, 2]).generate_state(n, np.uint64)
    chosen: Sequence[str | None] = labels or [None] * n
    scenes = tuple(draw_sample(int(one) >> 1, settings, label) for one, label in zip(seeds, chosen, strict=True))
    return Parameters(scenes, settings.categories, len(settings.shape) == 2)


@torch.no_grad()
def render_batch(p: Parameters, device: torch.device | str = "cpu") -> Samples:
    """The samples that ``p`` describes; on one device the same for the same ``p``."""
    signal, masks = render_signal(p.scenes, device)
    if p.flat:
        signal, masks = signal[..., 0], masks[..., 0]
    lesions = (masks > 0).flatten(1).any(1)
    kinds = torch.tensor([p.categories.index(s.label) if s.label != NORMAL else -1 for s in p.scenes])
    return Samples(normalise(signal), masks, torch.where(lesions, kinds.to(masks.device), -1))


@torch.no_grad()
def render_signal(scenes: Sequence[Scene], device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Scans as a scanner stores them, before scaling, and their masks.

    Returns:
        ``(signal, masks)``: (B, C, *N) float32, 0 or more, and (B, *N) uint8; slices thickened.
    """
    device = torch.device(device)
    scenes = tuple(scenes)
    shape, thick = scenes[0].grid.shape, scenes[0].grid.thick
    voxel = torch.tensor([float(np.prod(s.grid.spacing)) ** (1 / 3) for s in scenes], device=device)
    looks = torch.tensor([[one.looks for one in s.series] for s in scenes], dtype=torch.float32, device=device)
    maps = atlas(float(voxel.mean()), device)
    warp = warp_of(scenes, maps, device)
    canvas = Canvas(torch.zeros(*looks.shape[:2], *shape, device=device), looks)
    body = paint_head(canvas, [s.head for s in scenes], maps, warp, voxel)
    masks = torch.zeros(len(scenes), *shape, dtype=torch.uint8, device=device)
    paint_lesions(canvas, masks, scenes, warp.outer, body)
    # A tumour that reaches out of the brain is left in.
    kept = _kept(scenes, warp, body) | (masks > 0)
    return acquire(canvas.signal, scenes, warp.bias, kept), grouped(masks, thick).amax(-1)


def _kept(scenes: Sequence[Scene], warp: Warp, body: Body) -> Tensor:
    """(B, *N) bool: what is left by whoever cuts the skull away; everything where it is kept."""
    strip = [np.inf if s.skull else s.head.strip_mm for s in scenes]
    wet = [np.inf if s.skull else s.head.strip_fluid for s in scenes]
    cut, fluid = (
        torch.tensor(v, dtype=torch.float32, device=body.brain.device).reshape(-1, 1, 1, 1) for v in (strip, wet)
    )
    # Here and there the cut leaves a piece of what lies outside.
    bulge = warp.uneven + 3 * (warp.mixed - 1.2).clamp_min(0)
    return (body.brain < cut + bulge) & ((body.fluid < fluid) | (body.brain < -10))


def normalise(signal: Tensor) -> Tensor:
    """(B, C, *S) with the foreground of each channel at mean 0 and deviation 1, as ``volume.prepare`` has it."""
    flat = signal.flatten(2)
    low = flat.amin(2, keepdim=True)
    some = flat[..., :: max(1, flat.shape[2] // _LOOKED_AT)]
    high = some.kthvalue(max(1, round(0.99 * some.shape[2])), dim=2, keepdim=True).values
    inside = (flat > low + FOREGROUND_LEVEL * (high - low)).float()
    count = inside.sum(2, keepdim=True).clamp_min(1)
    mean = (flat * inside).sum(2, keepdim=True) / count
    deviation = (((flat - mean) * inside) ** 2).sum(2, keepdim=True).div(count).sqrt().clamp_min(1e-6)
    return ((flat - mean) / deviation).clamp(-CLIP_Z, CLIP_Z).reshape(signal.shape)
