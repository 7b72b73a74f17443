"""What a network is worth on the validation split, and the thresholds that follow from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secondread.infer import Promise, Thresholds, calibrated, predict
from secondread.infer.brightness import WEIGHTS, Brightness
from secondread.infer.predict import Network
from secondread.models import Loss, Output, Target, Task, total
from secondread.store import Batch
from secondread.train.calibrate import fit_sigmoid, fit_temperature, presence_band

MASK_LEVELS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
ERROR_RATE = 0.1

PLAIN = (0.0, 0.5)
"""How masks are made unless validation says otherwise: by evidence alone, from a probability of a half."""

CLEARLY = 0.005
"""By so much Dice another way of making masks must be better."""


@dataclass(eq=False)
class Tally:
    """What was predicted and what was true, gathered over batches.

    ``presence`` holds the logit, whether the study is abnormal, and its group; ``overlaps``, by weight of brightness
    and study, what :func:`overlap_by_level` finds.
    """

    task: Task
    losses: list[tuple[float, int]] = field(default_factory=list)
    presence: list[tuple[float, int, str]] = field(default_factory=list)
    classes: list[tuple[int, int]] = field(default_factory=list)
    category: list[tuple[NDArray[np.float32], int]] = field(default_factory=list)
    overlaps: dict[float, dict[str, NDArray[np.int64]]] = field(default_factory=dict)

    def add(
        self,
        output: Output,
        target: Target,
        loss: float,
        groups: Sequence[str] | None = None,
        images: Tensor | None = None,
        studies: Sequence[str] | None = None,
    ) -> None:
        """Take one batch in. ``loss`` is the batch's mean; without ``groups`` each study is a patient of its own, and
        without ``images`` masks are made by evidence alone. Samples of one name in ``studies`` are slices of one study,
        which has one Dice; without it each sample is a study."""
        self.losses.append((loss, len(target.abnormal)))
        z, c = output.presence.detach().float(), output.category.detach().float()
        p = z.sigmoid()
        for b in range(len(p)):
            abnormal, category = int(target.abnormal[b]), int(target.category[b])
            if abnormal >= 0:
                group = groups[b] if groups else f"#{len(self.presence)}"
                self.presence.append((float(z[b]), abnormal, group))
            if category >= 0:
                self.category.append((c[b].numpy(force=True), category))
            self._classify(float(p[b]), c[b].softmax(0), abnormal, category)
        if self.task.located:
            self._overlap(output.evidence.detach(), target, images, studies)

    def metrics(self) -> dict[str, float]:
        """``loss``, and ``accuracy``, ``presence_auc``, ``dice`` where they have a meaning."""
        out = {"loss": sum(v * n for v, n in self.losses) / max(1, sum(n for _, n in self.losses))}
        if self.classes:
            out["accuracy"] = float(np.mean([guess == truth for guess, truth in self.classes]))
        logits, truth = [z for z, _, _ in self.presence], [t for _, t, _ in self.presence]
        # Of a training that came apart the loss speaks.
        if self.task.normal is not None and len(set(truth)) == 2 and np.isfinite(logits).all():
            from sklearn.metrics import roc_auc_score

            out["presence_auc"] = float(roc_auc_score(truth, logits))
        found = self.dice_by_rule()
        return out | ({"dice": found[PLAIN]} if PLAIN in found else {})

    def calibration(
        self, error_rate: float = ERROR_RATE, *, few_patients: bool = False
    ) -> tuple[Thresholds, Promise | None]:
        """Thresholds fitted on what was gathered, defaults where there was too little; and what they promise. How the
        mask is made is not for ``few_patients`` to choose."""
        brightness, mask = PLAIN if few_patients else self.mask_rule()
        temperature = fit_temperature([row for row, _ in self.category], [t for _, t in self.category])
        if self.task.normal is None:
            # Presence is that of the strongest voxel, so what makes a mask makes a finding.
            return Thresholds(
                presence_low=mask, presence_high=mask, mask=mask, brightness=brightness, temperature=temperature
            ), None
        logits, abnormal = self.presence_and_truth()
        fitted, present = with_sigmoid(
            Thresholds(mask=mask, brightness=brightness, temperature=temperature), logits, abnormal
        )
        low, high, promise = presence_band(present, abnormal, [g for _, _, g in self.presence], error_rate)
        return fitted.model_copy(update={"presence_low": low, "presence_high": high}), promise

    def presence_and_truth(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Presence logits, and which of them are of abnormal studies."""
        return np.array([z for z, _, _ in self.presence]), np.array([t == 1 for _, t, _ in self.presence], bool)

    def _classify(self, p: float, c: Tensor, abnormal: int, category: int) -> None:
        task = self.task
        if task.normal is None:
            if category >= 0 and len(task.categories) > 1:
                self.classes.append((int(c.argmax()), category))
            return
        # Whoever teaches a category alone, with another's lesion in it, is not asked for presence.
        if abnormal == 0 or (abnormal == 1 and category >= 0):
            joint = torch.cat([torch.tensor([1 - p]), p * c.cpu()])
            self.classes.append((int(joint.argmax()), 0 if abnormal == 0 else 1 + category))

    def _overlap(self, evidence: Tensor, target: Target, images: Tensor | None, studies: Sequence[str] | None) -> None:
        """Count the overlap of "something is here" with each mask that is known, and not empty unless it is a slice's:
        what is marked where a study shows nothing lowers its Dice."""
        useful = target.mask_known if studies else target.mask_known & (target.masks > 0).flatten(1).any(1)
        for b in useful.nonzero().flatten().tolist():
            inside, brightness = target.masks[b] > 0, None if images is None else Brightness.of(images[b])
            for weight in (0.0,) if brightness is None else WEIGHTS:
                agreed = evidence[b] if brightness is None else brightness.agreed(evidence[b], weight)
                here = agreed.float().logsumexp(0).sigmoid()
                counted = self.overlaps.setdefault(weight, {})
                study = studies[b] if studies else f"#{len(counted)}"
                counted[study] = counted.get(study, 0) + overlap_by_level(here, inside)

    def dice_by_rule(self) -> dict[tuple[float, float], float]:
        """Mean Dice for each weight of brightness and level of the mask that was tried."""
        found: dict[tuple[float, float], float] = {}
        for weight, studies in self.overlaps.items():
            each = [2 * n[:, 0] / (n[:, 1] + n[:, 2]) for n in studies.values() if n[0, 2]]
            if each:
                means = np.mean(each, axis=0).tolist()
                found |= {(weight, level): mean for level, mean in zip(MASK_LEVELS, means, strict=True)}
        return found

    def dice_of(self, thresholds: Thresholds) -> dict[str, float]:
        """``dice`` of the masks that ``thresholds`` make; empty where there was nothing to compare them with."""
        found = self.dice_by_rule()
        rule = thresholds.brightness, thresholds.mask
        return {"dice": found[rule]} if rule in found else {}

    def mask_rule(self) -> tuple[float, float]:
        """Weight of brightness and level of the mask: the plain level unless another is clearly better, and no
        brightness unless that is clearly better again."""
        found, rule = self.dice_by_rule(), PLAIN
        for weights in ((0.0,), WEIGHTS):
            tried = {way: dice for way, dice in found.items() if way[0] in weights}
            best = max(tried, key=tried.__getitem__, default=rule)
            if tried and tried[best] > tried[rule] + CLEARLY:
                rule = best
        return rule


def overlap_by_level(p: Tensor, inside: Tensor) -> NDArray[np.int64]:
    """For each of MASK_LEVELS, how many voxels a probability map and a mask of its shape both mark, the map and the
    mask: (6, 3)."""
    marked, inside = torch.stack([p.flatten() >= level for level in MASK_LEVELS]), inside.flatten()
    # Brought to numpy once: a device is asked once for each scan, not for each count.
    counts = [(marked & inside).sum(1), marked.sum(1), inside.sum().expand(len(marked))]
    found: NDArray[np.int64] = torch.stack(counts, dim=1).numpy(force=True)
    return found


def with_sigmoid(
    thresholds: Thresholds, logits: NDArray[np.float64], abnormal: NDArray[np.bool_]
) -> tuple[Thresholds, NDArray[np.float64]]:
    """``thresholds`` with what makes presence logits a probability; and these probabilities."""
    scale, shift = fit_sigmoid(logits, abnormal)
    fitted = thresholds.model_copy(update={"presence_scale": scale, "presence_shift": shift})
    return fitted, np.array([calibrated(z, fitted) for z in logits.tolist()])


@torch.inference_mode()
def validate(
    network: Network,
    batches: Iterable[Batch],
    loss: Loss,
    task: Task,
    patch: Sequence[int],
    device: str,
    *,
    mirror: bool = False,
    masks: bool = False,
    groups: Mapping[str, str] | None = None,
    slices: bool = False,
) -> Tally:
    """Predict each validation study and gather what came of it.

    Args:
        network: in evaluation mode.
        mirror: ask the network as ``read`` does.
        masks: try every way of making masks, which takes about as long as the network.
        groups: the patient of each study.
        slices: whether samples of one name are slices of one study.
    """
    tally = Tally(task)
    for batch in batches:
        target = target_of(batch, device)
        images = batch.images.to(device)
        output = predict(network, images, patch, mirror=mirror)
        patients = [groups[study] for study in batch.studies] if groups else None
        value = total(loss(output, target, task)).item()
        tally.add(output, target, value, patients, images if masks else None, batch.studies if slices else None)
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
