"""One prepared array, or a batch of equal ones, through a network: in one go where it fits, else by windows.

Axes: B batch, C channels, F features, K categories, S space.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from secondread.models import NetworkSpec, Output
from secondread.volume.foreground import foreground

OVERLAP = 0.5
"""Neighbouring windows share this much of their length: evidence at a window's edge has seen half the context."""

AIR_SHARE = 0.001
"""A window with less foreground than this is air with a speck of noise, and is not read."""

AIR_LOGIT = -20.0
"""Evidence where no window was read."""


class Network(Protocol):
    """What reads a window: torch itself, or a runtime in its place; one that cuts a scan up by itself has ``whole``."""

    @property
    def spec(self) -> NetworkSpec: ...

    def __call__(self, images: Tensor, /) -> Output: ...


@torch.inference_mode()
def predict(network: Network, images: Tensor, patch: Sequence[int], *, mirror: bool = False) -> Output:
    """Logits for a batch.

    Args:
        network: in evaluation mode.
        images: (B, C, *S) float32, prepared.
        patch: the size that training saw; an axis of S longer than 1.25 times it is read in windows.
        mirror: also read the left-right mirrored scan and average: a head is nearly symmetric.

    Returns:
        Output with evidence (B, K, *S). Over windows, presence is the highest logit of any window, the category that
        of the window with the highest presence, evidence the mean weighted towards window centres (AIR_LOGIT where
        all is air), features (B, 2 F) the mean. Features are those of the scan as it is, mirrored or not.
    """
    if not mirror:
        return _windows(network, images, patch)
    # Axis 2 is Left for volumes; for pictures (row, column) the columns mirror.
    axis = 2 if images.ndim == 5 else 3
    if isinstance(network, torch.nn.Module) and tuple(images.shape[2:]) == tuple(_window(network, images, patch)):
        # Both at once take a seventh less time than one after the other; other runtimes have a size of their own.
        both = network(torch.cat([images, images.flip(axis)]))
        out, other = _rows(both, slice(len(images))), _rows(both, slice(len(images), None))
    else:
        out, other = (_windows(network, one, patch) for one in (images, images.flip(axis)))
    return Output(
        (out.evidence + other.evidence.flip(axis)) / 2,
        (out.presence + other.presence) / 2,
        (out.category + other.category) / 2,
        out.features,
    )


def _rows(out: Output, part: slice) -> Output:
    features = None if out.features is None else out.features[part]
    return Output(out.evidence[part], out.presence[part], out.category[part], features)


def _window(network: Network, images: Tensor, patch: Sequence[int]) -> list[int]:
    """The size that is read at once: an axis as it is, unless it is much longer than the patch."""
    if getattr(network, "whole", False):
        return list(images.shape[2:])
    return [n if n <= 1.25 * p else p for n, p in zip(images.shape[2:], patch, strict=True)]


def _windows(network: Network, images: Tensor, patch: Sequence[int]) -> Output:
    size = images.shape[2:]
    window = _window(network, images, patch)
    if list(size) == window:
        return network(images)
    weight = _bump(window).to(images.device)
    evidence = images.new_zeros(images.shape[0], network.spec.categories, *size)
    total = images.new_zeros(*size)
    read: list[Output] = []
    for at in _places(images, window):
        out = network(images[(slice(None), slice(None), *at)])
        evidence[(slice(None), slice(None), *at)].addcmul_(out.evidence, weight)
        total[at] += weight
        # The evidence is blended already: a large scan's windows are not held until the end.
        read.append(Output(out.evidence.new_empty(0), out.presence, out.category, out.features))
    evidence.masked_fill_(total == 0, AIR_LOGIT).div_(total.masked_fill_(total == 0, 1))
    strongest = torch.stack([out.presence for out in read]).max(0)
    categories = torch.stack([out.category for out in read])
    chosen = categories[strongest.indices, torch.arange(images.shape[0], device=images.device)]
    features = [out.features for out in read if out.features is not None]
    return Output(evidence, strongest.values, chosen, torch.stack(features).mean(0) if features else None)


def _places(images: Tensor, window: Sequence[int]) -> list[tuple[slice, ...]]:
    """Where windows are read: all that hold more than air, or all if none does."""
    starts = [_starts(n, w) for n, w in zip(images.shape[2:], window, strict=True)]
    every = [
        tuple(slice(c, c + w) for c, w in zip(corner, window, strict=True)) for corner in itertools.product(*starts)
    ]
    channels = [channel for channel in images.flatten(0, 1).numpy(force=True) if channel.any()]
    tissue = torch.zeros(images.shape[2:], dtype=torch.bool)
    for channel in channels:
        tissue |= torch.from_numpy(foreground(channel))
    return [at for at in every if float(tissue[at].float().mean()) >= AIR_SHARE] or every


def _starts(n: int, window: int) -> list[int]:
    """First voxels of the windows along one axis: evenly spread, first and last flush with the edges."""
    if n == window:
        return [0]
    count = 1 + -(-(n - window) // max(1, int(window * (1 - OVERLAP))))
    return [round(i * (n - window) / (count - 1)) for i in range(count)]


def _bump(window: Sequence[int]) -> Tensor:
    """Weights of one window (*window): a product of triangles, 1 at the centre and never 0."""
    weight = torch.ones(*window)
    for axis, n in enumerate(window):
        ramp = 1 - (torch.arange(n) - (n - 1) / 2).abs() / (n / 2 + 0.5)
        weight *= ramp.reshape(*(-1 if a == axis else 1 for a in range(len(window))))
    return weight
