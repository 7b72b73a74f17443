"""Figures from arrays. Each is one number over the rows it is given; intervals come from ``intervals``.

Shape legend: n studies; N a scan's own grid, (i, j, k) or (row, column); K categories.

Rates that cannot be formed (one class only, no lesion) are NaN, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOUND_COVERAGE = 0.1
"""A true component is found when the predicted mask covers more than this share of it."""

MIN_LESION_VOXELS = 5
"""Smaller true components are specks of the outline, unless a mask holds nothing larger."""

ECE_BINS = 15

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def auc(truth: Bools, scores: Floats) -> float:
    """Area under the ROC curve, ties counted half: the Mann-Whitney statistic (Hanley and McNeil, Radiology 143,
    1982). ``truth`` (n), ``scores`` (n). The same number as sklearn.metrics.roc_auc_score, fast enough to be drawn a
    thousand times."""
    from scipy.stats import rankdata

    positives = int(np.count_nonzero(truth))
    negatives = len(truth) - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    ranks = rankdata(scores)
    return float((ranks[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def alarm_threshold(normal_scores: Floats, per_100: float) -> float:
    """The score above which at most ``per_100`` of 100 normals raise an alarm.

    It is chosen on the normals given, so a sensitivity at it is one of a working point known afterwards. With m
    normals ``floor(per_100 * m / 100)`` alarms are allowed: with fewer than 100 normals one per 100 means none at all.
    """
    allowed = int(np.floor(per_100 * len(normal_scores) / 100 + 1e-9))
    return float(np.sort(normal_scores)[::-1][min(allowed, len(normal_scores) - 1)])


def sensitivity_at_alarms(abnormal: Bools, scores: Floats, per_100: float) -> float:
    """Share of the abnormal studies that score above :func:`alarm_threshold` of the normal ones. Both (n)."""
    if not abnormal.any() or abnormal.all():
        return float("nan")
    return float((scores[abnormal] > alarm_threshold(scores[~abnormal], per_100)).mean())


def confusion(truth: NDArray[np.intp], predicted: NDArray[np.intp], classes: int) -> NDArray[np.int64]:
    """Counts (classes, classes): rows the truth, columns the prediction."""
    flat = np.bincount(truth * classes + predicted, minlength=classes * classes)
    return flat.reshape(classes, classes).astype(np.int64)


def macro_f1(table: NDArray[np.int64], labels: NDArray[np.intp]) -> float:
    """Mean F1 over ``labels`` from a confusion matrix (rows truth); a class neither true nor predicted is left out."""
    hits = np.diag(table)[labels].astype(float)
    total = (table.sum(axis=0) + table.sum(axis=1))[labels].astype(float)
    known = total > 0
    return float((2 * hits[known] / total[known]).mean()) if known.any() else float("nan")


@dataclass(frozen=True, eq=False)
class Reliability:
    """Per bin of the predicted class's probability, arrays of (ECE_BINS): how many studies, their mean probability and
    the share that was right (NaN in an empty bin)."""

    counts: NDArray[np.int64]
    confidence: Floats
    accuracy: Floats

    @property
    def ece(self) -> float:
        """Expected calibration error (Guo et al., ICML 2017, equation 3)."""
        used = self.counts > 0
        gap = np.abs(self.confidence[used] - self.accuracy[used])
        return float((gap * self.counts[used]).sum() / self.counts.sum()) if used.any() else float("nan")


def reliability(confidence: Floats, right: Bools, bins: int = ECE_BINS) -> Reliability:
    """Equal bins over (0, 1], closed above. ``confidence`` (n), ``right`` (n)."""
    which = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(which, confidence, bins) / counts
        share = np.bincount(which, right.astype(float), bins) / counts
    return Reliability(counts.astype(np.int64), mean, share)


def dice(predicted: Bools, truth: Bools) -> float:
    """Twice the overlap over the sum of both, (N) each; NaN where both are empty."""
    total = int(np.count_nonzero(predicted)) + int(np.count_nonzero(truth))
    return 2 * int(np.count_nonzero(predicted & truth)) / total if total else float("nan")


@dataclass(frozen=True)
class LesionCount:
    """How many true lesions there are and were found, how many regions were marked and touch a lesion."""

    true: int
    found: int
    marked: int
    marked_right: int


def count_lesions(predicted: Bools, truth: Bools) -> LesionCount:
    """Components (26- or 8-connected) of both masks, (N) each. See FOUND_COVERAGE and MIN_LESION_VOXELS."""
    true_parts, true_sizes = _components(truth)
    marked_parts, marked_sizes = _components(predicted)
    counted = true_sizes >= MIN_LESION_VOXELS
    if not counted.any():
        counted = true_sizes > 0
    covered = np.bincount(true_parts[predicted], minlength=len(true_sizes) + 1)[1:]
    touching = np.bincount(marked_parts[truth], minlength=len(marked_sizes) + 1)[1:]
    found = counted & (covered > FOUND_COVERAGE * true_sizes)
    return LesionCount(int(counted.sum()), int(found.sum()), len(marked_sizes), int((touching > 0).sum()))


def peak_in_mask(evidence: NDArray[np.float32], truth: Bools) -> bool:
    """Whether the voxel of highest evidence, (N) summed over categories, lies in the mask (N)."""
    return bool(truth.ravel()[int(evidence.argmax())])


def slice_auc(scores: Floats, truth: Bools, axis: int, scanned: Bools) -> float:
    """AUC of slices that hold lesion against slices that hold none, within one scan.

    Args:
        scores: one per slice along ``axis``.
        truth: (N) the lesion.
        axis: the array axis nearest to head-foot.
        scanned: (N) voxels that are not air; slices without any are left out, for they would be guessed for free.
    """
    others = tuple(a for a in range(truth.ndim) if a != axis)
    kept: Bools = np.asarray(scanned.any(axis=others))
    return auc(np.asarray(truth.any(axis=others))[kept], scores[kept])


def _components(mask: Bools) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Component numbers (N), 0 outside, and the size of each component from 1 on."""
    import cc3d

    parts = np.asarray(cc3d.connected_components(mask.astype(np.uint8), connectivity=26 if mask.ndim == 3 else 8))
    return parts, np.bincount(parts.ravel())[1:].astype(np.int64)
