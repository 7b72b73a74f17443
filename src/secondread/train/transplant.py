"""Lesions of a batch exchanged among its pictures: what lies around a lesion is not to tell its kind.

Patients are few, and each lesion comes with one plane, one place and one scanner; a network that is left to itself
learns these (docs/decisions/018-transplants.md). So some lesions are replaced by those of other pictures of their
batch, turned as they lie in their head and grown or shrunk towards the size of what they replace. Such a picture
teaches what its lesion is and not where: a cut has borders that no lesion has. After CutMix (Yun 2019) and CarveMix
(Zhang 2021), which do not ask where a lesion belongs.

Axes: B batch, C channels, S space (row, column).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from secondread.store import Batch

JITTER = 30.0
"""Degrees by which a lesion is turned at most, from how it lies to the middle of its head."""

SIZES = (0.75, 1.33)
"""By so much a lesion is shrunk or grown, beside what brings it nearer to the size of what it replaces."""

NEARER = (0.6, 1.7)
"""Bounds of the latter."""

MARGIN = 0.025
"""Share of a picture's longer side: so far round a lesion all is taken, and over twice as much the pictures blend."""

UNLIKE = 0.25
"""Of what is covered, so much may be head in one picture and air in the other."""


@dataclass(frozen=True, eq=False)
class Transplants:
    """One draw for one batch.

    Attributes:
        donor: per picture, which other's lesion it gets; -1 for none.
        turn: (B) radians; ``zoom``: (B) factor; ``mirrored``: (B) bool, across the line to the middle of the head.
    """

    donor: tuple[int, ...]
    turn: Tensor
    zoom: Tensor
    mirrored: Tensor


def transplanted(
    batches: Iterable[Batch], share: float, seed: Callable[[int], int], device: str = "cpu"
) -> Iterator[Batch]:
    """The batches, with a ``share`` of the outlined lesions exchanged, on ``device``, where images and masks come out.
    ``seed``: from a batch's position to that of its draw."""
    for position, batch in enumerate(batches):
        if share:
            there = replace(batch, images=batch.images.to(device), masks=batch.masks.to(device))
            yield transplant(there, draw_transplants(there, share, seed(position)))
        else:
            yield batch


def draw_transplants(batch: Batch, share: float, seed: int) -> Transplants:
    """Who gives to whom in a batch, from ``seed`` alone. Kinds give alike, however many pictures show them; who lacks a
    contrast gives to none that has it."""
    rng = torch.Generator().manual_seed(seed)
    n = len(batch.studies)
    told = batch.mask_known.cpu() & (batch.masks > 0).flatten(1).any(1).cpu() & (batch.category.cpu() >= 0)
    outlined = told.nonzero().flatten().tolist()
    present = batch.images.flatten(2).any(2).cpu()
    chance, which = torch.rand(n, generator=rng).tolist(), torch.rand(n, 2, generator=rng).tolist()
    donor = [-1] * n
    for b in outlined:
        kinds: dict[int, list[int]] = defaultdict(list)
        for d in outlined:
            if batch.studies[d] != batch.studies[b] and bool((present[d] >= present[b]).all()):
                kinds[int(batch.category[d])].append(d)
        if kinds and chance[b] < share:
            those = kinds[sorted(kinds)[int(which[b][0] * len(kinds))]]
            donor[b] = those[int(which[b][1] * len(those))]
    low, high = (math.log(size) for size in SIZES)
    return Transplants(
        tuple(donor),
        turn=(torch.rand(n, generator=rng) * 2 - 1) * JITTER * torch.pi / 180,
        zoom=torch.exp(low + (high - low) * torch.rand(n, generator=rng)),
        mirrored=torch.rand(n, generator=rng) < 0.5,
    )


def transplant(batch: Batch, p: Transplants) -> Batch:
    """The batch under ``p``: who gets a lesion shows it, with what is close around it, in the place of its own, and
    teaches its category alone. Where it does not fit (see :func:`_fitting`) a picture stays as it is."""
    takers = [b for b, donor in enumerate(p.donor) if donor >= 0]
    if not takers:
        return batch
    images, inside = batch.images, (batch.masks > 0).to(batch.images.dtype)
    heads = _heads(images)
    layers = torch.cat([images, inside[:, None], heads[:, None], torch.ones_like(inside)[:, None]], dim=1)
    grid = _grid(inside, _middles(heads), p, takers)
    moved = functional.grid_sample(layers[[p.donor[b] for b in takers]], grid, align_corners=False)
    lesion, tissue, there = (moved[:, -3] >= 0.5).to(inside.dtype), moved[:, -2], moved[:, -1]
    # Nothing is taken from beyond the donor's border.
    share = _share(torch.maximum(lesion, inside[takers])) * (there > 0.99)
    fitting = _fitting(lesion, inside[takers], share, tissue, heads[takers])
    kept = [n for n, fits in enumerate(fitting.tolist()) if fits]
    takers, donors = [takers[n] for n in kept], [p.donor[takers[n]] for n in kept]
    present = images[takers].flatten(2).any(2)[..., None, None]
    new, category = images.clone(), batch.category.clone()
    new[takers] = images[takers].lerp(moved[kept, :-3], share[kept, None] * present)
    category[takers] = batch.category[donors]
    masks, known, abnormal = batch.masks.clone(), batch.mask_known.clone(), batch.abnormal.clone()
    masks[takers], known[takers], abnormal[takers] = 0, False, -1
    return replace(batch, images=new, masks=masks, mask_known=known, category=category, abnormal=abnormal)


def _heads(images: Tensor) -> Tensor:
    """(B, *S): 1 where a picture shows a head, else 0."""
    bright = (images - images.flatten(2).amin(2)[..., None, None]).sum(1)
    return (bright > 0.5 * bright.mean((1, 2), keepdim=True)).to(images.dtype)


def _fitting(lesion: Tensor, own: Tensor, share: Tensor, tissue: Tensor, own_tissue: Tensor) -> Tensor:
    """(n) bool: whether something of the lesion arrives, nothing of the own ones stays, and what is covered is head in
    both pictures, or air in both, for the most part. All (n, *S)."""
    arrived = lesion.flatten(1).any(1)
    gone = ((own > 0) & (share < 0.99)).flatten(1).sum(1) == 0
    covered = share > 0.5
    unlike = (covered & ((tissue > 0.5) != (own_tissue > 0.5))).flatten(1).sum(1)
    return arrived & gone & (unlike <= UNLIKE * covered.flatten(1).sum(1))


def _grid(inside: Tensor, heads: Tensor, p: Transplants, takers: list[int]) -> Tensor:
    """Sampling points (n, *S, 2) in the donors, for grid_sample. ``heads``: (B, 2), their middles."""
    donors, spots, reach = [p.donor[b] for b in takers], _middles(inside), inside.flatten(1).sum(1).sqrt()
    turn, zoom, mirrored = (drawn[takers].to(inside.device) for drawn in (p.turn, p.zoom, p.mirrored))
    away = spots - heads
    angles = torch.atan2(away[:, 1], away[:, 0])
    outward = angles[donors]
    back = _turning(outward - angles[takers] - turn)
    mirror = inside.new_tensor([[1.0, 0.0], [0.0, -1.0]])
    back = torch.where(mirrored[:, None, None], _turning(outward) @ mirror @ _turning(-outward) @ back, back)
    back = back / ((reach[takers] / reach[donors]).clamp(*NEARER) * zoom)[:, None, None]
    at = torch.einsum("nij,njrc->nirc", back, _places(inside) - spots[takers][..., None, None])
    at = at + spots[donors][..., None, None]
    return torch.stack([2 * at[:, a] / inside.shape[1 + a] - 1 for a in (1, 0)], dim=-1)


def _places(like: Tensor) -> Tensor:
    """(2, *S): row and column of each pixel's middle, for pictures (B, *S)."""
    axes = (torch.arange(n, device=like.device, dtype=like.dtype) + 0.5 for n in like.shape[1:])
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


def _middles(weights: Tensor) -> Tensor:
    """(B, 2): the mean place of (B, *S) weights, in pixels."""
    flat = weights.flatten(1)
    return flat @ _places(weights).flatten(1).T / flat.sum(1, keepdim=True).clamp_min(1e-6)


def _turning(angles: Tensor) -> Tensor:
    """(n) radians -> (n, 2, 2)."""
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([torch.stack([cos, -sin], dim=-1), torch.stack([sin, cos], dim=-1)], dim=-2)


def _share(lesions: Tensor) -> Tensor:
    """(n, *S) of what is to be covered -> how much of each pixel comes from the donor: all of it up to a margin round
    the lesions, nothing from three margins on."""
    reach = max(1, round(MARGIN * max(lesions.shape[1:])))
    share = lesions[:, None]
    for across in ((1, 0), (0, 1)):  # one axis, then the other: a square costs its side, not its area
        far = [1 + 4 * reach * a for a in across]
        share = functional.max_pool2d(share, far, stride=1, padding=[n // 2 for n in far])
    for across in ((1, 0), (0, 1)):
        near = [1 + 2 * reach * a for a in across]
        share = functional.avg_pool2d(share, near, stride=1, padding=[n // 2 for n in near], count_include_pad=False)
    return share[:, 0]
