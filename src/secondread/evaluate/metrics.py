"""Figures from arrays.

Shape legend: n studies; D draws; N a scan's own grid, (i, j, k) or (row, column).

Figures over studies take weights (D, n), how often each study counts, and give one value per draw, (D): a thousand
bootstrap draws are then one array operation. Weights of one give the figure itself. Rates that cannot be formed (one
class only, no lesion) are NaN, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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


def average_precision(truth: Bools, scores: Floats, weights: Floats) -> Floats:
    """Area under the precision-recall curve by steps, as scikit-learn's ``average_precision_score``: straight lines
    between its points would promise too much (Davis and Goadrich, ICML 2006). Both (n)."""
    levels, level = np.unique(-scores, return_inverse=True)
    ranked = np.argsort(level, kind="stable")
    starts = np.searchsorted(level[ranked], np.arange(len(levels)))
    ordered = weights[:, ranked]
    hits = np.add.reduceat(ordered * truth[ranked], starts, axis=1)
    precision = _divided(np.cumsum(hits, axis=1), np.cumsum(np.add.reduceat(ordered, starts, axis=1), axis=1))
    return _divided((hits * np.nan_to_num(precision)).sum(axis=1), hits.sum(axis=1))


def brier(truth: Bools, probability: Floats) -> Floats:
    """Squared error of each study's probabilities (Brier, Monthly Weather Review 78, 1950), to be averaged.

    Args:
        truth: (n), or (n, classes) with one true class per row.
        probability: likewise. Of one probability the error lies in [0, 1], of several classes in [0, 2].
    """
    squared = (probability - truth) ** 2
    return np.asarray(squared if squared.ndim == 1 else squared.sum(axis=1), np.float64)


def net_benefit(truth: Bools, probability: Floats, thresholds: Floats, weights: Floats) -> Floats:
    """Net benefit (D, thresholds) of calling abnormal what reaches each threshold t: TP/n - FP/n * t / (1 - t)
    (Vickers and Elkin, Medical Decision Making 26, 2006). ``truth``, ``probability`` (n), ``thresholds`` in (0, 1)."""
    called = (probability[:, None] >= thresholds).astype(float)
    total = weights.sum(axis=1, keepdims=True)
    true = weights @ (called * truth[:, None])
    false = weights @ (called * ~truth[:, None])
    return np.asarray((true - false * thresholds / (1 - thresholds)) / total)


def alarm_threshold(normal_scores: Floats, per_100: float) -> float:
    """The lowest score above which at most ``per_100`` of 100 normals (m) raise an alarm; NaN without normals.

    With m normals ``floor(per_100 * m / 100)`` alarms are allowed: with fewer than 100 normals one per 100 means none.
    """
    if not len(normal_scores):
        return float("nan")
    allowed = int(np.floor(per_100 * len(normal_scores) / 100 + 1e-9))
    # The highest score with which one alarm too many would be raised.
    return float(np.sort(normal_scores)[::-1][min(allowed, len(normal_scores) - 1)])


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
