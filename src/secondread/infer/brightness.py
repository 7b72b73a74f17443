"""What a scan's own brightness says of how far a lesion reaches.

A network finds a lesion sooner than its border, above all in scans that are unlike those it has learned from. The scan
itself knows more: how bright the lesion is, once most of it is found, and how bright everything else. So voxels are
taken for a mixture of two classes, each with its own histogram of brightness and with the network's evidence for its
prior, and the mixture is fitted to the scan by expectation maximisation (as in Ashburner and Friston 2005, "Unified
segmentation", with evidence in the place of tissue maps). A lesion grows from where it is found: what is as bright and
lies elsewhere, a vessel or a scalp, gains nothing. Where lesion and surroundings are alike, nothing changes.

Axes: K categories, C channels, S the prepared grid, n voxels of the head.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secondread.volume.prepare import foreground

WEIGHTS = (0.0, 1.0, 2.0, 4.0)
"""What a model chooses from: how much brightness counts beside evidence. 0 leaves evidence as it is."""

ROUNDS = 6
"""Of fitting and growing; later ones change little."""

NEAR_VOXELS = 1.5
"""Evidence within about so far decides whether a voxel may join."""

BINS = 48
_BLUR_VOXELS = 0.6
_BLUR_BINS = 1.5
_LEAST = 1e-3
"""Share that every bin has at least: what was not seen is not impossible."""

_STEEP = 1.5
_SUREST = 9.0

Floats = NDArray[np.float32]


def with_brightness(evidence: Tensor, images: Tensor, weight: float) -> Tensor:
    """Evidence logits (K, *S) of one scan (C, *S) as :func:`grown` moves "something is here"; which kind stays."""
    if not weight:
        return evidence
    here = evidence.float().logsumexp(0)
    moved = grown(here.numpy(force=True), images.numpy(force=True), weight)
    return evidence + (torch.from_numpy(moved).to(here.device) - here)


def grown(evidence: Floats, images: Floats, weight: float) -> Floats:
    """Evidence that agrees with the scan's brightness.

    Args:
        evidence: (*S) logits that something is at a voxel.
        images: (C, *S) as prepared; a channel of zeros alone is missing. The others count together as much as one.
        weight: of the log likelihood ratio of the two histograms.

    Returns:
        (*S) float32 logits, unchanged outside the head.
    """
    from scipy.ndimage import gaussian_filter

    present = [channel for channel in images if channel.any()]
    head = np.logical_or.reduce([foreground(channel) for channel in present]) if present else None
    if not weight or head is None or not head.any():
        return evidence
    bins = [_binned(channel, head) for channel in present]
    prior, now = evidence[head], evidence.copy()
    for _ in range(ROUNDS):
        inside = _sigmoid(now[head])
        ratio = weight * np.mean([_log_ratio(at, inside) for at in bins], axis=0)
        near = gaussian_filter(now.clip(-_SUREST, _SUREST), NEAR_VOXELS)[head]
        now[head] = prior + np.where(ratio > 0, ratio * _sigmoid(_STEEP * near), ratio)
    return now


def _binned(channel: Floats, head: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The bin of each voxel of the head, (n): from the darkest half percent to the brightest."""
    from scipy.ndimage import gaussian_filter

    values = gaussian_filter(channel, _BLUR_VOXELS)[head]
    low, high = np.percentile(values, [0.5, 99.5])
    return np.asarray(np.clip((values - low) / max(high - low, 1e-6) * BINS, 0, BINS - 1), np.intp)


def _log_ratio(at: NDArray[np.intp], inside: Floats) -> Floats:
    """How much likelier each voxel's brightness is inside a lesion than outside, as a logarithm, (n)."""
    from scipy.ndimage import gaussian_filter1d

    shares = []
    for belongs in (inside, 1 - inside):
        counts = gaussian_filter1d(np.bincount(at, belongs, BINS), _BLUR_BINS)
        shares.append(counts / max(counts.sum(), 1e-12) + _LEAST)
    ratio: Floats = np.log(shares[0] / shares[1]).astype(np.float32)[at]
    return ratio


def _sigmoid(z: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-z.clip(-60, 60))), np.float32)
