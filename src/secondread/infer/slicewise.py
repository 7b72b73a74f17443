"""A network of pictures that reads volumes: slice by slice in three planes, the answers averaged.

Axes: B batch, C channels, K categories, I J K' a prepared volume's (nearest to left, posterior, superior), cut to its
foreground.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from secondread.infer.predict import AIR_LOGIT, Network
from secondread.models import NetworkSpec, Output, SecondReader
from secondread.volume import Recipe, Study
from secondread.volume.foreground import foreground
from secondread.volume.prepare import normalise

SLICE_MM = 1.4
"""Voxel of a volume that is read slice by slice: a head of 224 mm fits 160 of them."""

EVERY = 2
"""Of neighbouring slices every second is read; evidence between two is their mean."""

AT_ONCE = 16
"""Slices of SIDE x SIDE pixels in one batch; fewer where they are larger."""

LEAST_TISSUE = 0.04
"""A slice with less foreground than this share is air, or the last shaving of a scalp."""

LOOKED_AT = 6
"""Of the slices that are read, every sixth gives its features, which so can be had at a sixth of the price."""

SIDE = 160
"""Slices are padded to as many pixels a side as training gave them, and to no more than this."""

CRANIAL_MM = 150.0
"""What lies further below the top of a head is neck, and is not read: a brain with its skull and scalp is 130 to 145 mm
high (FSL's robustfov cuts at 170 mm). In fat and muscles of a neck a network that knows brains sees lesions first."""

ANY = "any"
"""The channel of a model that reads whichever contrast there is, one at a time."""

CLEAREST = ("flair", "t1c", "t1", "t2", "pd")
"""Contrasts in the order in which a model of ANY prefers them: where most lesions show best comes first, of those that
the starter has learned from; then the others."""

PLANES = ((2, (1, 0)), (1, (2, 0)), (0, (2, 1)))
"""Axial, coronal and sagittal as they hang on the wall: the axis that slices are stacked along, then row and column."""


def clearest(study: Study, warnings: list[str]) -> tuple[Study, list[str]]:
    """The study with the one series in which most lesions show best once more, as ANY; its reference stays."""
    chosen = next((name for name in CLEAREST if name in study.series), next(iter(study.series)))
    if len(study.series) > 1:
        warnings.append(f"read from {chosen} alone, of {', '.join(study.series)}: this model reads one contrast")
    return Study(study.name, {**study.series, ANY: study.series[chosen]}), warnings


class Slicewise:
    """In the place of a network of volumes.

    Args:
        patch: (I, J, K') that training gave to a head.
        height: voxels of CRANIAL_MM along the axis nearest to superior; None to read all that there is.
        apart: whether each slice is normalised by itself, as a picture is, and not as a part of its volume.
        glance: to read no more slices than features need: they are those of a whole reading, evidence is not.

    ``__call__(images (1, C, I, J, K')) -> Output`` with evidence on the whole grid. The presence logit is pooled from
    the averaged evidence, as a network of volumes does; the category is the mean over slices, those that show most
    counting most; features are the mean over every LOOKED_AT-th slice.
    """

    whole = True
    """Slices are read as large as they are: cut into overlapping blocks, a large volume would be read eight times."""

    def __init__(
        self,
        network: SecondReader,
        patch: Sequence[int],
        height: int | None = None,
        *,
        apart: bool = False,
        glance: bool = False,
    ) -> None:
        self._network, self._patch, self._height = network, tuple(patch), height
        self._apart, self._glance = apart, glance
        self.spec: NetworkSpec = replace(network.spec, dimensions=3)

    def __call__(self, images: Tensor, /) -> Output:
        below = max(0, images.shape[4] - self._height) if self._height else 0
        head = self._read(images[..., below:])
        evidence = functional.pad(head.evidence, (below, 0), value=AIR_LOGIT)
        return Output(evidence, head.presence, head.category, head.features)

    def _read(self, images: Tensor) -> Output:
        tissue = tissue_of(images[0])
        shape = images.shape[2:]
        total = images.new_zeros(self.spec.categories, *shape)
        count = images.new_zeros(shape)
        read: list[Output] = []
        seen: list[Tensor] = []
        for axis, (row, column) in PLANES:
            chosen = with_tissue(tissue, axis, EVERY)[:: LOOKED_AT if self._glance else 1]
            if not chosen:
                continue
            maps, features = [], []
            at_once = max(1, AT_ONCE * SIDE**2 // max(SIDE**2, shape[row] * shape[column]))
            for some in batches_of(chosen, at_once):
                slices = slices_of(images[0], axis, some, self._patch)
                out = self._network(_normalised(slices) if self._apart else slices)
                maps.append(_back(out.evidence, shape, self._patch, row, column))
                read.append(Output(out.evidence.new_empty(0), out.presence, out.category))
                features.append(out.features)
            _spread(total, count, torch.cat(maps), chosen, axis, row, column)
            seen.append(torch.cat([f for f in features if f is not None])[:: 1 if self._glance else LOOKED_AT])
        evidence = torch.where(count > 0, total / count.clamp_min(1e-6), AIR_LOGIT)[None]
        return self._pooled(evidence, read, seen)

    def _pooled(self, evidence: Tensor, read: list[Output], seen: list[Tensor]) -> Output:
        presence = self._network.presence_of(evidence, dimensions=3)
        if not read:
            sizes = self.spec.categories, 2 * self._network.backbone.deep_features
            return Output(evidence, presence, *(evidence.new_zeros(1, n) for n in sizes))
        shows = torch.cat([out.presence for out in read]).softmax(0)
        category = (shows[:, None] * torch.cat([out.category for out in read])).sum(0, keepdim=True)
        return Output(evidence, presence, category, torch.cat(seen).mean(0, keepdim=True))


def network_for(network: SecondReader, recipe: Recipe, patch: Sequence[int], *, glance: bool = False) -> Network:
    """What reads a prepared study: ``network``, or where it is one of pictures and the study is a volume, its slices.
    A model of ANY contrast has learned from pictures alone, and from what a simulator makes of necks: it gets each
    slice as a picture, and nothing below the brain. ``glance``: as :class:`Slicewise`, for features alone.
    """
    if recipe.spacing is None or network.spec.dimensions == 3:
        return network
    if recipe.channels == (ANY,):
        return Slicewise(network, patch, round(CRANIAL_MM / recipe.spacing[2]), apart=True, glance=glance)
    return Slicewise(network, patch, glance=glance)


def tissue_of(volume: Tensor) -> Tensor:
    """(I, J, K') bool: where any contrast of (C, I, J, K') shows more than air."""
    tissue = torch.zeros(volume.shape[1:], dtype=torch.bool)
    for channel in volume.numpy(force=True):
        if channel.any():
            tissue |= torch.from_numpy(foreground(channel))
    return tissue.to(volume.device)


def with_tissue(tissue: Tensor, axis: int, every: int) -> list[int]:
    """Positions along ``axis``, so many apart, of slices that are not air."""
    share = tissue.float().mean([a for a in range(3) if a != axis])
    return [n for n in range(every // 2, len(share), every) if float(share[n]) >= LEAST_TISSUE]


def batches_of(chosen: Sequence[int], at_once: int = AT_ONCE) -> Iterator[Sequence[int]]:
    """So many at a time."""
    return (chosen[n : n + at_once] for n in range(0, len(chosen), at_once))


def slices_of(volume: Tensor, axis: int, at: Sequence[int], patch: Sequence[int]) -> Tensor:
    """Slices as a network of pictures takes them: (C, I, J, K') -> (B, C, row, column), superior up, air all round.
    ``patch``: as :class:`Slicewise`."""
    air = volume.flatten(1).amin(1).tolist()
    return torch.cat([plane_of(one[None], axis, at, patch, low) for one, low in zip(volume, air, strict=True)], dim=1)


def plane_of(volume: Tensor, axis: int, at: Sequence[int], patch: Sequence[int], around: float = 0.0) -> Tensor:
    """(C, I, J, K') -> (B, C, row, column), superior up, padded with one value."""
    row, column = dict(PLANES)[axis]
    picked = volume.movedim((1 + axis, 1 + row, 1 + column), (0, 2, 3))[list(at)]
    if row == 2:
        picked = picked.flip(2)
    pads = [n for a in (column, row) for n in _padding(volume.shape[1 + a], patch[a])]
    return functional.pad(picked, pads, value=around)


def _normalised(slices: Tensor) -> Tensor:
    """(B, C, row, column), each channel of each slice normalised by itself; one without contrast becomes 0."""
    out = np.zeros(slices.shape, np.float32)
    for b, one in enumerate(slices.numpy(force=True)):
        for c, channel in enumerate(one):
            if channel.min() < channel.max():
                out[b, c] = normalise(channel, "slice")
    return torch.from_numpy(out).to(slices.device)


def _padding(size: int, patch: int) -> tuple[int, int]:
    missing = max(0, min(SIDE, patch) - size)
    return missing // 2, missing - missing // 2


def _back(evidence: Tensor, shape: Sequence[int], patch: Sequence[int], row: int, column: int) -> Tensor:
    """The middle of (B, K, row, column) that is no padding, the way up that the volume has."""
    for picture_axis, axis in ((2, row), (3, column)):
        evidence = evidence.narrow(picture_axis, _padding(shape[axis], patch[axis])[0], shape[axis])
    return evidence.flip(2) if row == 2 else evidence


def _spread(total: Tensor, count: Tensor, maps: Tensor, at: list[int], axis: int, row: int, column: int) -> None:
    """Add one plane's maps (B, K, row, column) at positions ``at`` to ``total``, linear between the slices."""
    n = total.shape[1 + axis]
    weight = maps.new_zeros(n, len(at))
    for column_of, position in enumerate(at):
        for away in range(-EVERY, EVERY + 1):
            if 0 <= position + away < n:
                weight[position + away, column_of] = 1 - abs(away) / EVERY
    full = torch.tensordot(weight, maps, dims=1)  # (n, K, row, column)
    total += full.movedim((0, 2, 3), (1 + axis, 1 + row, 1 + column))
    shape = [-1 if a == axis else 1 for a in range(3)]
    count += weight.sum(1).reshape(shape)
