"""A network of pictures that reads volumes: slice by slice in three planes, the answers averaged.

Axes: B batch, K categories, I J K' a prepared volume's (nearest to left, posterior, superior), cut to its foreground.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from secondread.infer.predict import AIR_LOGIT
from secondread.models import NetworkSpec, Output, SecondReader
from secondread.volume import Study
from secondread.volume.prepare import foreground, normalise

EVERY = 2
"""Of neighbouring slices every second is read; evidence between two is their mean."""

AT_ONCE = 16
"""Slices in one batch."""

LEAST_TISSUE = 0.04
"""A slice with less foreground than this share is air, or the last shaving of a scalp."""

SIDE = 160
"""Slices are given at least this many pixels a side: what training saw was never a crop of the head's own box."""

CRANIAL_MM = 150.0
"""What lies further below the top of a head is neck, and is not read: a brain with its skull and scalp is 130 to 145 mm
high (FSL's robustfov cuts at 170 mm). In fat and muscles of a neck a network that knows brains sees lesions first."""

ANY = "any"
"""The channel of a model that reads whichever contrast there is, one at a time."""

CLEAREST = ("flair", "t1c", "t1", "t2", "pd")
"""Contrasts in the order in which a model of ANY prefers them: where most lesions show best comes first, of those that
the starter has learned from; then the others."""

_PLANES = ((2, (1, 0)), (1, (2, 0)), (0, (2, 1)))
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
        height: voxels of CRANIAL_MM, along the axis nearest to superior.

    ``__call__(images (1, 1, I, J, K')) -> Output`` with evidence on the whole grid. The presence logit is pooled from
    the averaged evidence, as a network of volumes does; the category is the mean over slices, those that show most
    counting most; features are the mean over slices.
    """

    def __init__(self, network: SecondReader, height: int) -> None:
        self._network, self._height = network, height
        self.spec: NetworkSpec = replace(network.spec, dimensions=3)

    def __call__(self, images: Tensor, /) -> Output:
        below = max(0, images.shape[4] - self._height)
        head = self._read(images[..., below:])
        evidence = functional.pad(head.evidence, (below, 0), value=AIR_LOGIT)
        return Output(evidence, head.presence, head.category, head.features)

    def _read(self, images: Tensor) -> Output:
        tissue = torch.from_numpy(foreground(images[0, 0].numpy(force=True))).to(images.device)
        shape = images.shape[2:]
        total = images.new_zeros(self.spec.categories, *shape)
        count = images.new_zeros(shape)
        read: list[Output] = []
        for axis, (row, column) in _PLANES:
            chosen = _with_tissue(tissue, axis)
            if not chosen:
                continue
            maps = []
            for some in _batches(chosen):
                out = self._network(_slices(images[0], axis, row, column, some))
                maps.append(_back(out.evidence, [shape[row], shape[column]], row))
                read.append(Output(out.evidence[:0], out.presence, out.category, out.features))
            _spread(total, count, torch.cat(maps), chosen, axis, row, column)
        evidence = torch.where(count > 0, total / count.clamp_min(1e-6), AIR_LOGIT)[None]
        return self._pooled(evidence, read)

    def _pooled(self, evidence: Tensor, read: list[Output]) -> Output:
        presence = self._network.presence_of(evidence, dimensions=3)
        if not read:
            nothing = evidence.new_zeros(1, self.spec.categories)
            return Output(evidence, presence, nothing)
        shows = torch.cat([out.presence for out in read]).softmax(0)
        category = (shows[:, None] * torch.cat([out.category for out in read])).sum(0, keepdim=True)
        features = torch.cat([out.features for out in read if out.features is not None]).mean(0, keepdim=True)
        return Output(evidence, presence, category, features)


def _with_tissue(tissue: Tensor, axis: int) -> list[int]:
    """Positions along ``axis``, every EVERY-th, of slices that are not air."""
    share = tissue.float().mean([a for a in range(3) if a != axis])
    return [n for n in range(EVERY // 2, len(share), EVERY) if float(share[n]) >= LEAST_TISSUE]


def _batches(chosen: list[int]) -> Iterator[list[int]]:
    return (chosen[n : n + AT_ONCE] for n in range(0, len(chosen), AT_ONCE))


def _slices(volume: Tensor, axis: int, row: int, column: int, at: list[int]) -> Tensor:
    """(1, I, J, K') -> (B, 1, row, column), superior up, each slice normalised by itself, air all round."""
    picked = volume.movedim((1 + axis, 1 + row, 1 + column), (0, 2, 3))[at]
    if row == 2:
        picked = picked.flip(2)
    pads = [n for size in (picked.shape[3], picked.shape[2]) for n in _padding(size)]
    padded = functional.pad(picked, pads, value=float(volume.min())).numpy(force=True)
    return torch.from_numpy(np.stack([normalise(one, "slice") for one in padded])).to(volume.device)


def _padding(size: int) -> tuple[int, int]:
    missing = max(0, SIDE - size)
    return missing // 2, missing - missing // 2


def _back(evidence: Tensor, size: list[int], row: int) -> Tensor:
    """The middle of (B, K, row, column) that is no padding, the way up that the volume has."""
    for axis, n in enumerate(size):
        evidence = evidence.narrow(2 + axis, _padding(n)[0], n)
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
