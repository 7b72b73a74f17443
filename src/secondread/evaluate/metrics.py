"""Figures from arrays.

Shape legend: n studies; D draws; N a scan's own grid, (i, j, k) or (row, column).

Figures over studies take weights (D, n), how often each study counts, and give one value per draw, (D): a thousand
bootstrap draws are then one array operation. Weights of one give the figure itself. Rates that cannot be formed (one
class only, no lesion) are NaN, never 0.
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


def once(n: int) -> Floats:
    """Weights (1, n) with which every study counts once."""
    return np.ones((1, n))


def mean(values: Floats, weights: Floats) -> Floats:
    """Mean of ``values`` (n)."""
    return ratio(values, np.ones(len(values)), weights)


def ratio(top: Floats, bottom: Floats, weights: Floats) -> Floats:
    """Sum of ``top`` (n) over sum of ``bottom`` (n), NaN where that is 0."""
    return _divided(weights @ top, weights @ bottom)


def auc(truth: Bools, scores: Floats, weights: Floats) -> Floats:
    """Area under the ROC curve, ties counted half: the Mann-Whitney statistic (Hanley and McNeil, Radiology 143,
    1982). ``truth`` (n), ``scores`` (n)."""
    levels, level = np.unique(scores, return_inverse=True)
    ranked = np.argsort(level, kind="stable")
    starts = np.searchsorted(level[ranked], np.arange(len(levels)))
    ordered = weights[:, ranked]
    positive = np.add.reduceat(ordered * truth[ranked], starts, axis=1)
    negative = np.add.reduceat(ordered * ~truth[ranked], starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    return _divided((positive * (below + negative / 2)).sum(axis=1), positive.sum(axis=1) * negative.sum(axis=1))


def sensitivity_at_alarms(abnormal: Bools, scores: Floats, per_100: float, weights: Floats) -> Floats:
    """Share of the abnormal studies that score above the threshold of :func:`alarm_threshold`. Both (n)."""
    threshold = alarm_threshold(scores[~abnormal], per_100, weights[:, ~abnormal])
    found = scores[abnormal][None] > threshold[:, None]
    share = _divided((weights[:, abnormal] * found).sum(axis=1), weights[:, abnormal].sum(axis=1))
    return np.where(np.isnan(threshold), np.nan, share)


def alarm_threshold(normal_scores: Floats, per_100: float, weights: Floats) -> Floats:
    """The score above which at most ``per_100`` of 100 normals raise an alarm; NaN without normals.

    It is chosen on the normals given, so a sensitivity at it is one of a working point known afterwards. With m
    normals ``floor(per_100 * m / 100)`` alarms are allowed: with fewer than 100 normals one per 100 means none at all.
    """
    if not len(normal_scores):
        return np.full(len(weights), np.nan)
    order = np.argsort(-normal_scores, kind="stable")
    counted = np.cumsum(weights[:, order], axis=1)
    allowed = np.floor(per_100 * counted[:, -1] / 100 + 1e-9)
    # The highest score with which one alarm too many would be raised.
    threshold = normal_scores[order][(counted > allowed[:, None]).argmax(axis=1)]
    return np.where(counted[:, -1] > 0, threshold, np.nan)


def confusion(truth: NDArray[np.intp], predicted: NDArray[np.intp], classes: int, weights: Floats) -> Floats:
    """Counts (D, classes, classes): rows the truth, columns the prediction. ``truth`` and ``predicted`` (n)."""
    cells = np.zeros((len(truth), classes * classes))
    cells[np.arange(len(truth)), truth * classes + predicted] = 1
    return np.asarray((weights @ cells).reshape(-1, classes, classes))


def macro_f1(tables: Floats, labels: NDArray[np.intp]) -> Floats:
    """Mean F1 over ``labels`` from confusion matrices (D, classes, classes); a class that is neither true nor
    predicted is left out."""
    hits = tables[:, labels, labels]
    total = (tables.sum(axis=1) + tables.sum(axis=2))[:, labels]
    scores = _divided(2 * hits, total)
    known = ~np.isnan(scores)
    return _divided(np.where(known, scores, 0).sum(axis=1), known.sum(axis=1).astype(float))


@dataclass(frozen=True, eq=False)
class Reliability:
    """Per bin of the predicted class's probability, arrays (D, ECE_BINS): how many studies, their mean probability and
    the share that was right (NaN in an empty bin)."""

    counts: Floats
    confidence: Floats
    accuracy: Floats

    @property
    def ece(self) -> Floats:
        """Expected calibration error (Guo et al., ICML 2017, equation 3), (D)."""
        gap = np.where(self.counts > 0, np.abs(self.confidence - self.accuracy), 0)
        return _divided((gap * self.counts).sum(axis=1), self.counts.sum(axis=1))


def reliability(confidence: Floats, right: Bools, weights: Floats, bins: int = ECE_BINS) -> Reliability:
    """Equal bins over (0, 1], closed above. ``confidence`` (n), ``right`` (n)."""
    which = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    member = (which[:, None] == np.arange(bins)).astype(float)
    counts = weights @ member
    return Reliability(
        counts,
        _divided(weights @ (member * confidence[:, None]), counts),
        _divided(weights @ (member * right[:, None]), counts),
    )


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
    return float(auc(np.asarray(truth.any(axis=others))[kept], scores[kept], once(int(kept.sum())))[0])


def _divided(top: Floats, bottom: Floats) -> Floats:
    out = np.full(np.shape(top), np.nan)
    np.divide(top, bottom, out=out, where=bottom > 0)
    return out


def _components(mask: Bools) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Component numbers (N), 0 outside, and the size of each component from 1 on."""
    import cc3d

    parts = np.asarray(cc3d.connected_components(mask.astype(np.uint8), connectivity=26 if mask.ndim == 3 else 8))
    return parts, np.bincount(parts.ravel())[1:].astype(np.int64)
