"""What a network is worth on the validation split, and the thresholds that follow from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secondread.infer import Thresholds, predict
from secondread.models import Loss, Output, SecondReader, Target, Task, total
from secondread.store import Batch

MASK_LEVELS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
FEWEST_TO_FIT = 8
"""Studies of each kind below which a threshold keeps its default: fitted on fewer it would be noise."""


@dataclass(eq=False)
class Tally:
    """What was predicted and what was true, gathered over batches."""

    task: Task
    losses: list[tuple[float, int]] = field(default_factory=list)
    presence: list[tuple[float, int]] = field(default_factory=list)
    classes: list[tuple[int, int]] = field(default_factory=list)
    category: list[tuple[NDArray[np.float32], int]] = field(default_factory=list)
    overlaps: list[list[float]] = field(default_factory=list)

    def add(self, output: Output, target: Target, loss: float) -> None:
        """Take one batch in. ``loss`` is the batch's mean."""
        self.losses.append((loss, len(target.abnormal)))
        p, c = output.presence.detach().float().sigmoid(), output.category.detach().float()
        for b in range(len(p)):
            abnormal, category = int(target.abnormal[b]), int(target.category[b])
            if abnormal >= 0:
                self.presence.append((float(p[b]), abnormal))
            if category >= 0:
                self.category.append((c[b].numpy(force=True), category))
            self._classify(float(p[b]), c[b].softmax(0), abnormal, category)
        if self.task.located:
            self._overlap(output.evidence.detach(), target)

    def metrics(self) -> dict[str, float]:
        """``loss``, and ``accuracy``, ``presence_auc``, ``dice`` where they have a meaning."""
        out = {"loss": sum(v * n for v, n in self.losses) / max(1, sum(n for _, n in self.losses))}
        if self.classes:
            out["accuracy"] = float(np.mean([guess == truth for guess, truth in self.classes]))
        truths = {truth for _, truth in self.presence}
        if self.task.normal is not None and len(truths) == 2:
            from sklearn.metrics import roc_auc_score

            out["presence_auc"] = float(roc_auc_score([t for _, t in self.presence], [p for p, _ in self.presence]))
        if self.overlaps:
            out["dice"] = float(np.mean([row[MASK_LEVELS.index(0.5)] for row in self.overlaps]))
        return out

    def thresholds(self) -> Thresholds:
        """Thresholds fitted on what was gathered; defaults where there was too little."""
        mask = self._mask_level()
        # Without a normal class presence is that of the strongest voxel, so what makes a mask makes a finding.
        low, high = _presence_band(self.presence) if self.task.normal is not None else (mask, mask)
        return Thresholds(presence_low=low, presence_high=high, mask=mask, temperature=_temperature(self.category))

    def _classify(self, p: float, c: Tensor, abnormal: int, category: int) -> None:
        task = self.task
        if task.normal is None:
            if category >= 0 and len(task.categories) > 1:
                self.classes.append((int(c.argmax()), category))
            return
        if abnormal == 0 or category >= 0:
            joint = torch.cat([torch.tensor([1 - p]), p * c.cpu()])
            self.classes.append((int(joint.argmax()), 0 if abnormal == 0 else 1 + category))

    def _overlap(self, evidence: Tensor, target: Target) -> None:
        """Dice of "something is here" at each level, for each study of the batch with a mask that is not empty."""
        lesions = target.mask_known & (target.masks > 0).flatten(1).any(1)
        here = evidence[lesions].float().logsumexp(1).sigmoid().flatten(1)
        inside = target.masks[lesions].flatten(1) > 0
        for p, t in zip(here, inside, strict=True):
            chosen = [p >= level for level in MASK_LEVELS]
            self.overlaps.append([float(2 * (m & t).sum() / (m.sum() + t.sum())) for m in chosen])

    def _mask_level(self) -> float:
        if not self.overlaps:
            return 0.5
        means = np.mean(self.overlaps, axis=0)
        best = int(means.argmax())
        return MASK_LEVELS[best] if means[best] > means[MASK_LEVELS.index(0.5)] + 0.005 else 0.5


@torch.inference_mode()
def validate(
    network: SecondReader,
    batches: Iterable[Batch],
    loss: Loss,
    task: Task,
    patch: Sequence[int],
    device: str,
    *,
    mirror: bool = False,
) -> Tally:
    """Predict each validation study and gather what came of it; with ``mirror``, exactly as ``read`` predicts."""
    network.eval()
    tally = Tally(task)
    for batch in batches:
        target = target_of(batch, device)
        output = predict(network, batch.images.to(device), patch, mirror=mirror)
        tally.add(output, target, total(loss(output, target, task)).item())
    return tally


def target_of(batch: Batch, device: str) -> Target:
    """The truth that a batch carries, on the device."""
    return Target(
        abnormal=batch.abnormal.to(device),
        category=batch.category.to(device),
        masks=batch.masks.to(device),
        mask_known=batch.mask_known.to(device),
    )


def score(metrics: dict[str, float]) -> float:
    """One number to choose the best epoch by: the mean of what was measured; the loss, where nothing else was."""
    parts = [metrics[name] for name in ("accuracy", "presence_auc", "dice") if name in metrics]
    # The loss breaks ties between epochs that get the same studies right.
    return float(np.mean(parts)) - 1e-3 * metrics["loss"] if parts else -metrics["loss"]


def _presence_band(pairs: list[tuple[float, int]]) -> tuple[float, float]:
    """(low, high): 5 % of abnormals lie below low, 5 % of normals at or above high; one value where the two cross."""
    positive = np.array([p for p, t in pairs if t == 1])
    negative = np.array([p for p, t in pairs if t == 0])
    if min(len(positive), len(negative)) < FEWEST_TO_FIT:
        return 0.5, 0.5
    low, high = float(np.quantile(positive, 0.05)), float(np.quantile(negative, 0.95))
    if low >= high:
        # Separated: any threshold between serves, and the middle is the safest.
        low = high = (low + high) / 2
    return low, high


def _temperature(pairs: list[tuple[NDArray[np.float32], int]]) -> float:
    """The temperature that minimises the cross-entropy of the validation categories (Guo 2017)."""
    if len(pairs) < FEWEST_TO_FIT or len(pairs[0][0]) < 2:
        return 1.0
    from scipy.optimize import minimize_scalar

    logits = torch.from_numpy(np.stack([row for row, _ in pairs]))
    truth = torch.tensor([t for _, t in pairs])
    found = minimize_scalar(
        lambda log_t: float(torch.nn.functional.cross_entropy(logits / np.exp(log_t), truth)),
        bounds=(-1.5, 1.5),
        method="bounded",
    )
    return float(np.exp(found.x))
