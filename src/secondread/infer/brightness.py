"""What a scan's own brightness says of how far a lesion reaches.

A network finds a lesion sooner than its border, above all in scans that are unlike those it has learned from. The scan
itself knows more: how bright the lesion is, once most of it is found, and how bright everything else. So voxels are
taken for a mixture of two classes, each with its own histogram of brightness and with the network's evidence for its
prior; voxels and histograms are settled in turns, in the manner of expectation maximisation (Ashburner and Friston
2005, "Unified segmentation", have tissue maps where evidence stands here). A lesion grows only from where it is found:
what is as bright and lies elsewhere, a vessel or a scalp, gains nothing. And no logit moves by more than MOST: what is
surer than that is not overruled.

Axes: K categories, C channels, S the prepared grid, n voxels of the head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secondread.volume.foreground import foreground

WEIGHTS = (0.0, 1.0, 2.0, 4.0)
"""What a model chooses from: how much brightness counts beside evidence. 0 leaves evidence as it is."""

MOST = 5.0
"""Logits by which brightness may move evidence, up or down."""

ROUNDS = 6
"""Of settling; later ones change little."""

NEAR_VOXELS = 1.5
"""Evidence within about so far decides whether a voxel may join: never where its mean is below -1, fully from 1 on."""

BINS = 48
_BLUR_VOXELS = 0.6
_BLUR_BINS = 1.5
_ASSUMED = 50.0
"""Voxels as bright as the whole head's that each class is taken to hold besides: of few voxels little is learned."""

_TINY = 1e-6
_SUREST = 9.0

Floats = NDArray[np.float32]


def with_brightness(evidence: Tensor, images: Tensor, weight: float) -> Tensor:
    """Evidence logits (K, *S) of one scan (C, *S) as its brightness has them; nothing is done for a weight of 0."""
    return Brightness.of(images).agreed(evidence, weight) if weight else evidence


@dataclass(frozen=True, eq=False)
class Brightness:
    """One scan's brightness.

    Attributes:
        head: (*S) bool; all False where no channel shows anything.
        bins: of each channel that is there, the bin of each voxel of the head, (n) uint8.
    """

    head: NDArray[np.bool_]
    bins: tuple[NDArray[np.uint8], ...]

    @classmethod
    def of(cls, images: Tensor) -> Brightness:
        """Of one scan (C, *S) as prepared; a channel of zeros alone is missing."""
        present = [channel for channel in images.float().numpy(force=True) if channel.any()]
        head = np.zeros(images.shape[1:], bool)
        for channel in present:
            head |= foreground(channel)
        return cls(head, tuple(_binned(channel, head) for channel in present) if head.any() else ())

    def agreed(self, evidence: Tensor, weight: float) -> Tensor:
        """Evidence logits (K, *S) that agree with brightness, whose log likelihood ratio counts ``weight`` times;
        channels count together as much as one. Which kind of lesion it is stays; outside the head all does."""
        if not weight or not self.bins:
            return evidence
        here = evidence.float().logsumexp(0).numpy(force=True)
        shift = torch.from_numpy(self._settled(here, weight) - here)
        return evidence + shift.to(evidence.device, evidence.dtype)

    def _settled(self, evidence: Floats, weight: float) -> Floats:
        from scipy.ndimage import gaussian_filter

        prior, now = evidence[self.head], evidence.copy()
        for _ in range(ROUNDS):
            inside = 1 / (1 + np.exp(-now[self.head].clip(-60, 60)))
            ratio = np.mean([_log_ratio(at, inside) for at in self.bins], axis=0, dtype=np.float32)
            moved = (weight * ratio).clip(-MOST, MOST)
            near = gaussian_filter(now.clip(-_SUREST, _SUREST), NEAR_VOXELS)[self.head]
            may_join = ((near + 1) / 2).clip(0, 1)
            now[self.head] = prior + np.where(moved > 0, moved * may_join, moved)
        return now


def _binned(channel: Floats, head: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The bin of each voxel of the head, (n): from the darkest half percent to the brightest."""
    from scipy.ndimage import gaussian_filter

    values = gaussian_filter(channel, _BLUR_VOXELS)[head]
    low, high = np.percentile(values, [0.5, 99.5])
    scaled = (values - np.float32(low)) * np.float32(BINS / max(high - low, 1e-6))
    return np.asarray(scaled.clip(0, BINS - 1), np.uint8)


def _log_ratio(at: NDArray[np.uint8], inside: Floats) -> Floats:
    """How much likelier each voxel's brightness is inside a lesion than outside, as a logarithm, (n)."""
    from scipy.ndimage import gaussian_filter1d

    within, without = (gaussian_filter1d(np.bincount(at, part, BINS), _BLUR_BINS) for part in (inside, 1 - inside))
    usual = within + without + _TINY
    usual /= usual.sum()
    shares = [(counts + _ASSUMED * usual) / (counts.sum() + _ASSUMED) for counts in (within, without)]
    ratio: Floats = np.log(shares[0] / shares[1]).astype(np.float32)[at]
    return ratio
