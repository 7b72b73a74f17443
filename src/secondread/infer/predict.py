"""One prepared array, or a batch of equal ones, through a network: in one go where it fits, else by windows.

Axes: B batch, C channels, K categories, S space.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from secondread.models import Output, SecondReader

OVERLAP = 0.5
"""Neighbouring windows share this much of their length: evidence at a window's edge has seen half the context."""


@torch.inference_mode()
def predict(network: SecondReader, images: Tensor, patch: Sequence[int], *, mirror: bool = False) -> Output:
    """Logits for a batch.

    Args:
        network: in evaluation mode.
        images: (B, C, *S) float32, prepared.
        patch: the size that training saw; an axis of S longer than 1.25 times it is read in windows.
        mirror: also read the left-right mirrored scan and average: a head is nearly symmetric.

    Returns:
        Output with evidence (B, K, *S). Over windows, presence is the highest logit of any window, the category that
        of the window with the highest presence, evidence the mean weighted towards window centres.
    """
    out = _windows(network, images, patch)
    if not mirror:
        return out
    # Axis 2 is Left for volumes; for pictures (row, column) the columns mirror.
    axis = 2 if images.ndim == 5 else 3
    other = _windows(network, images.flip(axis), patch)
    return Output(
        (out.evidence + other.evidence.flip(axis)) / 2,
        (out.presence + other.presence) / 2,
        (out.category + other.category) / 2,
    )


def _windows(network: SecondReader, images: Tensor, patch: Sequence[int]) -> Output:
    size = images.shape[2:]
    window = [n if n <= 1.25 * p else p for n, p in zip(size, patch, strict=True)]
    if list(size) == window:
        return network(images)  # type: ignore[no-any-return]
    weight = _bump(window).to(images.device)
    starts = [_starts(n, w) for n, w in zip(size, window, strict=True)]
    evidence = images.new_zeros(images.shape[0], network.spec.categories, *size)
    total = images.new_zeros(*size)
    presence, category = [], []
    for corner in itertools.product(*starts):
        at = tuple(slice(c, c + w) for c, w in zip(corner, window, strict=True))
        out: Output = network(images[(slice(None), slice(None), *at)])
        evidence[(slice(None), slice(None), *at)] += out.evidence * weight
        total[at] += weight
        presence.append(out.presence)
        category.append(out.category)
    strongest = torch.stack(presence).max(0)
    chosen = torch.stack(category)[strongest.indices, torch.arange(images.shape[0], device=images.device)]
    return Output(evidence / total, strongest.values, chosen)


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
