"""Lesions of a batch exchanged among its pictures: what lies around a lesion is not to tell its kind.

Patients are few, and each lesion comes with one plane, one place and one scanner; a network that is left to itself
learns these (docs/decisions/018-transplants.md). So some lesions are replaced by those of other pictures of their
batch, turned as they lie in their head and grown or shrunk towards the size of what they replace, and some normal
pictures are given one. After CutMix (Yun 2019) and CarveMix (Zhang 2021), which do not ask where a lesion belongs.

Axes: B batch, C channels, S space (row, column).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from secondread.store import Batch

GIVEN = 0.5
"""Normal pictures are given a lesion so often, beside how often another's takes the place of one."""

JITTER = 30.0
"""Degrees by which a lesion is turned at most, from how it lies to the middle of its head."""

SIZES = (0.75, 1.33)
"""By so much a lesion is shrunk or grown, beside what brings it nearer to the size of what it replaces."""

NEARER = (0.6, 1.7)
"""Bounds of the latter."""

MARGIN = 0.025
"""Share of a picture's longer side by which what is taken exceeds the lesion, and in which the two pictures blend."""


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


def transplanted(batches: Iterable[Batch], share: float, seed: Callable[[int], int]) -> Iterator[Batch]:
    """The batches, with a share of their lesions exchanged. ``seed``: from a batch's position to that of its draw."""
    for position, batch in enumerate(batches):
        yield transplant(batch, draw_transplants(batch, share, seed(position))) if share else batch


def draw_transplants(batch: Batch, share: float, seed: int) -> Transplants:
    """Who gives to whom in a batch, from ``seed`` alone. Kinds give alike, however many pictures show them."""
    rng = torch.Generator().manual_seed(seed)
    n = len(batch.studies)
    outlined = batch.mask_known.cpu() & (batch.masks > 0).flatten(1).any(1).cpu()
    normal = batch.mask_known.cpu() & (batch.abnormal == 0).cpu() & ~outlined
    kinds = batch.category.cpu()
    chance, which = torch.rand(n, generator=rng), torch.rand(n, 2, generator=rng)
    donor = []
    for b in range(n):
        wanted = share * (1.0 if outlined[b] else GIVEN if normal[b] else 0.0)
        others = [o for o in outlined.nonzero().flatten().tolist() if batch.studies[o] != batch.studies[b]]
        if chance[b] >= wanted or not others:
            donor.append(-1)
            continue
        there = sorted({int(kinds[o]) for o in others})
        kind = there[int(which[b, 0] * len(there))]
        those = [o for o in others if kinds[o] == kind]
        donor.append(those[int(which[b, 1] * len(those))])
    low, high = (math.log(size) for size in SIZES)
    return Transplants(
        tuple(donor),
        turn=(torch.rand(n, generator=rng) * 2 - 1) * JITTER * torch.pi / 180,
        zoom=torch.exp(low + (high - low) * torch.rand(n, generator=rng)),
        mirrored=torch.rand(n, generator=rng) < 0.5,
    )


def transplant(batch: Batch, p: Transplants) -> Batch:
    """The batch under ``p``: each picture that gets a lesion shows it with what is close around it, in the place of its
    own lesion and, where it had none, where the lesion lay in its own head; mask and truth are the lesion's."""
    takers = [b for b, donor in enumerate(p.donor) if donor >= 0]
    if not takers:
        return batch
    donors = [p.donor[b] for b in takers]
    inside = (batch.masks > 0).to(batch.images.dtype)
    moved = functional.grid_sample(
        torch.cat([batch.images[donors], inside[donors, None]], dim=1),
        _grid(batch, inside, p, takers),
        padding_mode="border",
        align_corners=False,
    )
    lesion = (moved[:, -1] >= 0.5).to(batch.masks.dtype)
    share = _share(torch.maximum(moved[:, -1], inside[takers]))
    images, masks, category, abnormal = (t.clone() for t in (batch.images, batch.masks, batch.category, batch.abnormal))
    images[takers] = images[takers].lerp(moved[:, :-1], share[:, None])
    masks[takers] = lesion
    category[takers] = batch.category[donors]
    abnormal[takers] = 1
    return replace(batch, images=images, masks=masks, category=category, abnormal=abnormal)


def _grid(batch: Batch, inside: Tensor, p: Transplants, takers: list[int]) -> Tensor:
    """Sampling points (n, *S, 2) in the donors, for grid_sample."""
    size = batch.images.shape[2:]
    at = torch.stack(torch.meshgrid(*(torch.arange(n, device=inside.device) + 0.5 for n in size), indexing="ij"))
    heads = _middles(batch.images[:, 0] - batch.images[:, 0].flatten(1).amin(1)[:, None, None], at)
    spots = _middles(inside, at)
    reach = (inside.flatten(1).mean(1) * math.prod(size)).sqrt()
    grids = []
    for b in takers:
        d = p.donor[b]
        outward = _angle(spots[d] - heads[d])
        if reach[b] > 0:
            middle, turn = spots[b], _angle(spots[b] - heads[b]) - outward
            zoom = float((reach[b] / reach[d]).clamp(*NEARER)) * float(p.zoom[b])
        else:
            middle, turn, zoom = heads[b] + spots[d] - heads[d], 0.0, float(p.zoom[b])
        turn += float(p.turn[b])
        back = _turning(-turn)
        if p.mirrored[b]:
            back = _turning(outward) @ torch.diag(torch.tensor([1.0, -1.0])) @ _turning(-outward) @ back
        away = torch.einsum("ij,jrc->irc", back.to(at) / zoom, at - middle[:, None, None]) + spots[d][:, None, None]
        grids.append(torch.stack([2 * away[a] / size[a] - 1 for a in (1, 0)], dim=-1))
    return torch.stack(grids)


def _middles(weights: Tensor, at: Tensor) -> Tensor:
    """(B, 2): the mean place of (B, *S) weights, in pixels."""
    flat = weights.flatten(1)
    return flat @ at.flatten(1).T / flat.sum(1, keepdim=True).clamp_min(1e-6)


def _angle(along: Tensor) -> float:
    return math.atan2(float(along[1]), float(along[0]))


def _turning(angle: float) -> Tensor:
    cos, sin = math.cos(angle), math.sin(angle)
    return torch.tensor([[cos, -sin], [sin, cos]])


def _share(lesions: Tensor) -> Tensor:
    """(n, *S) of what is to be covered -> how much of each pixel comes from the donor: all of it in the lesions and
    close to them, falling to nothing over as much again."""
    reach = max(1, round(MARGIN * max(lesions.shape[1:])))
    share = lesions[:, None]
    for across in ((1, 0), (0, 1)):  # one axis, then the other: a square costs its side, not its area
        near, far = ([1 + 2 * r * a for a in across] for r in (reach, 2 * reach))
        share = functional.max_pool2d(share, far, stride=1, padding=[n // 2 for n in far])
        share = functional.avg_pool2d(share, near, stride=1, padding=[n // 2 for n in near], count_include_pad=False)
    return share[:, 0]
