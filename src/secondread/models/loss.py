"""Losses by name, for batches in which each study teaches with what it has.

Three questions, three terms, each averaged over the studies that can answer it:

- *presence*: binary cross-entropy of the pooled logit, where ``abnormal`` is known
- *category*: cross-entropy over the categories, where the category is known. For two classes this *is* binary
  cross-entropy, of the difference of the two logits
- *voxel*: binary cross-entropy (and Dice) of "something is here" where a mask or a normal label says so for every
  voxel, and cross-entropy of "what is here" inside the mask

Axes: B batch, K categories, S space.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from secondread.errors import UsageError
from secondread.models.task import Output, Target, Task

LEAST_SHARE = 0.1
"""In the voxel loss a lesion weighs as if it filled at least this share of its scan."""

HEAVIEST = 100.0
"""And no lesion voxel weighs more than this many others."""


@dataclass(frozen=True)
class Loss:
    """One way to weigh errors.

    Attributes:
        gamma: focusing exponent (Lin 2017, "Focal loss for dense object detection"); 0 is plain cross-entropy.
        dice: weight of the soft Dice term on masks (Milletari 2016, "V-Net"); 0 leaves it out.
        smoothing: probability mass moved from the true class to the others (Szegedy 2016).
    """

    gamma: float = 0.0
    dice: float = 0.0
    smoothing: float = 0.0

    def __call__(self, output: Output, target: Target, task: Task) -> dict[str, Tensor]:
        """The terms that this batch can teach; their sum is the loss. Missing terms are absent, not zero."""
        terms: dict[str, Tensor] = {}
        if task.judges_presence and (known := target.abnormal >= 0).any():
            terms["presence"] = self._binary(output.presence[known], target.abnormal[known].float()).mean()
        if len(task.categories) > 1 and (known := target.category >= 0).any():
            terms["category"] = self._choice(output.category[known], target.category[known]).mean()
        if task.judges_presence and target.mask_known.any():
            terms |= self._voxels(output.evidence, target)
        return terms

    def _voxels(self, evidence: Tensor, target: Target) -> dict[str, Tensor]:
        known = target.mask_known
        inside = (target.masks[known] > 0).float()
        # Half precision is too coarse for sums over a volume.
        here = evidence[known].float().logsumexp(1)
        terms = {"voxel": (self._binary(here, inside) * lesion_weight(inside)).mean()}
        lesions = inside.flatten(1).any(1)
        if self.dice and lesions.any():
            terms["dice"] = self.dice * soft_dice_loss(here[lesions].sigmoid(), inside[lesions])
        named = known & (target.category >= 0) & (target.masks > 0).flatten(1).any(1)
        if evidence.shape[1] > 1 and named.any():
            terms["voxel_category"] = self._voxel_category(
                evidence[named], target.masks[named] > 0, target.category[named]
            )
        return terms

    def _voxel_category(self, evidence: Tensor, inside: Tensor, category: Tensor) -> Tensor:
        """Cross-entropy of the softmax over K at lesion voxels; every study counts the same, large lesion or small."""
        which = category.reshape(-1, *[1] * (evidence.ndim - 2)).expand(inside.shape)
        per_voxel = functional.cross_entropy(evidence, which, reduction="none") * inside
        return (per_voxel.flatten(1).sum(1) / inside.flatten(1).sum(1)).mean()

    def _binary(self, logits: Tensor, truth: Tensor) -> Tensor:
        soft = truth * (1 - self.smoothing) + self.smoothing / 2
        loss = functional.binary_cross_entropy_with_logits(logits, soft, reduction="none")
        if self.gamma:
            wrong = torch.where(truth > 0.5, 1 - logits.sigmoid(), logits.sigmoid())
            loss = loss * wrong**self.gamma
        return loss

    def _choice(self, logits: Tensor, truth: Tensor) -> Tensor:
        loss = functional.cross_entropy(logits, truth, reduction="none", label_smoothing=self.smoothing)
        if self.gamma:
            right = logits.softmax(1).gather(1, truth[:, None])[:, 0]
            loss = loss * (1 - right) ** self.gamma
        return loss


LOSSES: dict[str, Loss] = {
    "bce": Loss(),
    "focal": Loss(gamma=2.0),
    "dice-bce": Loss(dice=1.0),
    "label-smoothing": Loss(smoothing=0.1),
}
"""Losses by name. ``dice-bce`` is the default where there are masks, ``bce`` where there are none."""


def loss_for(name: str) -> Loss:
    """The loss called ``name``. Raises UsageError with the known names."""
    if name not in LOSSES:
        raise UsageError(f"no loss called {name!r}; there are {', '.join(LOSSES)}")
    return LOSSES[name]


def lesion_weight(inside: Tensor) -> Tensor:
    """Weights (B, *S) under which a lesion counts for LEAST_SHARE of its scan, however few its voxels.

    Unweighted, a lesion of a thousandth of the scan is best explained, for a long time, by saying nothing anywhere.
    """
    share = inside.flatten(1).mean(1).clamp_min(1e-6).reshape(-1, *[1] * (inside.ndim - 1))
    return 1 + inside * (LEAST_SHARE / share - 1).clamp(0, HEAVIEST)


def total(terms: dict[str, Tensor]) -> Tensor:
    """The sum of the terms; a batch that can teach nothing is worth 0 and moves nothing."""
    return torch.stack(list(terms.values())).sum() if terms else torch.zeros((), requires_grad=True)


def soft_dice_loss(probability: Tensor, inside: Tensor, smooth: float = 1.0) -> Tensor:
    """1 - soft Dice, averaged over the batch. Both (B, *S); ``smooth`` voxels keep small lesions from exploding."""
    p, t = probability.flatten(1), inside.flatten(1)
    dice = (2 * (p * t).sum(1) + smooth) / (p.sum(1) + t.sum(1) + smooth)
    return 1 - dice.mean()
