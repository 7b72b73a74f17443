"""From judged studies to the table of figures, each with its interval and what costs nothing beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from secondread.evaluate import metrics
from secondread.evaluate.intervals import Edge, Figure, Statistic, bootstrap, newcombe, wilson
from secondread.evaluate.judged import Classes, Judged, Located

T = TypeVar("T")

ALARM_RATES = (1, 5, 10)
"""False alarms per 100 normal studies at which sensitivity is given."""

UNSURE = "unsure"


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        name: as in metrics.json; ``title``: for a person.
        figure: the model's.
        baseline: the figure of what costs nothing, or a number known without data (AUC of a coin), or None.
        difference: model minus baseline, drawn in pairs over the same groups; None without a measured baseline.
    """

    name: str
    title: str
    figure: Figure
    baseline: Figure | float | None = None
    difference: Figure | None = None

    @property
    def beats_baseline(self) -> bool | None:
        """Whether the interval lies wholly above the baseline; None where there is no baseline or no interval."""
        if self.baseline is None or np.isnan(self.figure.low):
            return None
        if isinstance(self.baseline, float):
            return self.figure.low > self.baseline
        return self.difference is not None and self.difference.low > 0


def tabulate(judged: Sequence[Judged], classes: Classes, majority: str | None) -> list[Line]:
    """Every figure that the studies allow, in the order of the report. ``majority`` is the most frequent class of
    training, the baseline of accuracy."""
    lines = [
        *_presence_lines(judged),
        *_class_lines(judged, classes, majority),
        *_location_lines(judged, classes.located),
        *_calibration_lines(judged, classes),
    ]
    return [line for line in lines if line is not None]


def presence_arrays(judged: Sequence[Judged]) -> tuple[NDArray[np.bool_], NDArray[np.float64], list[str]]:
    """Studies with a presence probability and a known truth: abnormal (n), probability (n), groups."""
    known = [j for j in judged if j.presence is not None and j.abnormal is not None]
    return (
        np.array([j.abnormal for j in known], np.bool_),
        np.array([j.presence for j in known], np.float64),
        [j.group for j in known],
    )


def class_arrays(judged: Sequence[Judged], classes: Classes) -> tuple[NDArray[np.intp], NDArray[np.intp], list[str]]:
    """Studies whose class is known, where there are classes to confuse: truth (n), predicted (n), groups."""
    known = [j for j in judged if j.truth is not None] if len(classes.names) > 1 else []
    number = {name: i for i, name in enumerate(classes.names)}
    return (
        np.array([number[j.truth or ""] for j in known], np.intp),
        np.array([number[j.predicted] for j in known], np.intp),
        [j.group for j in known],
    )


def reliability_arrays(judged: Sequence[Judged], classes: Classes) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Probability of the predicted class (n) and whether it was right (n)."""
    known = [j for j in judged if j.truth is not None] if len(classes.names) > 1 else []
    return np.array([j.confidence for j in known], np.float64), np.array([j.right for j in known], np.bool_)


def _presence_lines(judged: Sequence[Judged]) -> list[Line | None]:
    truth, score, groups = presence_arrays(judged)
    abnormal, normal = groups_of(truth, groups)
    lines = [
        _line(
            "presence_auc",
            "Presence, area under ROC",
            lambda w: metrics.auc(truth, score, w),
            groups,
            0.5,
            partial(auc_edge, abnormal, normal),
        )
    ]
    for rate in ALARM_RATES:
        lines.append(
            _line(
                f"presence_sensitivity_at_{rate}fp",
                f"Sensitivity at {rate} false alarm{'s' if rate > 1 else ''} per 100 normals",
                partial(metrics.sensitivity_at_alarms, truth, score, rate),
                groups,
                rate / 100,
                partial(_edge_of, abnormal),
            )
        )
    decided = [j for j in judged if j.decision is not None and j.abnormal is not None]
    for name, title, sort, answer in (
        ("sensitivity_at_decision", "Abnormal studies called abnormal", True, "abnormal"),
        ("specificity_at_decision", "Normal studies called normal", False, "normal"),
    ):
        kind = [j for j in decided if j.abnormal is sort]
        hit = np.array([j.decision == answer for j in kind], float)
        lines.append(_line(name, title, _mean_of(hit), [j.group for j in kind]))
    return lines


def _class_lines(judged: Sequence[Judged], classes: Classes, majority: str | None) -> list[Line | None]:
    truth, predicted, groups = class_arrays(judged, classes)
    labels = np.unique(truth)
    count = len(classes.names)
    guess = np.full_like(truth, classes.names.index(majority)) if majority in classes.names else None

    def accuracy(answer: NDArray[np.intp]) -> Statistic:
        return _mean_of((answer == truth).astype(float))

    def f1(answer: NDArray[np.intp]) -> Statistic:
        return lambda w: metrics.macro_f1(metrics.confusion(truth, answer, count, w), labels)

    return [
        _line("accuracy", "Accuracy", accuracy(predicted), groups, None if guess is None else accuracy(guess)),
        _line("macro_f1", "F1, mean over classes", f1(predicted), groups, None if guess is None else f1(guess)),
    ]


def _location_lines(judged: Sequence[Judged], drawn: bool) -> list[Line | None]:
    located = [(j.group, j.located) for j in judged if j.located is not None]
    groups = [group for group, _ in located]

    def column(get: Callable[[Located], float]) -> Statistic:
        return _mean_of(np.array([get(place) for _, place in located], float))

    def ratio(top: Callable[[Located], int], bottom: Callable[[Located], int]) -> Statistic:
        a = np.array([top(place) for _, place in located], float)
        b = np.array([bottom(place) for _, place in located], float)
        return partial(metrics.ratio, a, b)

    lesions = sum(place.lesions.true for _, place in located)
    marked = sum(place.lesions.marked for _, place in located)
    sliced = [(g, p) for g, p in located if not np.isnan(p.slice_auc)]
    slices = _mean_of(np.array([p.slice_auc for _, p in sliced]))
    bright = _mean_of(np.array([p.baseline_slice_auc for _, p in sliced]))
    masks = [
        _line("dice", "Dice, whole lesion", column(lambda p: p.dice), groups, column(lambda p: p.baseline_dice)),
        _line(
            "lesion_sensitivity",
            "Lesions found",
            ratio(lambda p: p.lesions.found, lambda p: p.lesions.true),
            groups,
            n=lesions,
        ),
        _line(
            "region_precision",
            "Marked regions that touch a lesion",
            ratio(lambda p: p.lesions.marked_right, lambda p: p.lesions.marked),
            groups,
            n=marked,
        ),
    ]
    return [
        *(masks if drawn else []),
        _line(
            "peak_in_mask",
            "Highest evidence lies in the lesion",
            column(lambda p: float(p.peak_in_mask)),
            groups,
            column(lambda p: p.lesion_share),
        ),
        _line("slice_presence_auc", "Slices with against without lesion, AUC", slices, [g for g, _ in sliced], bright),
    ]


def _calibration_lines(judged: Sequence[Judged], classes: Classes) -> list[Line | None]:
    confidence, right = reliability_arrays(judged, classes)
    groups = class_arrays(judged, classes)[2]
    decided = [j for j in judged if j.decision is not None]
    unsure = np.array([j.decision == UNSURE for j in decided], float)
    return [
        _line("ece", "Calibration error", lambda w: metrics.reliability(confidence, right, w).ece, groups, edge=None),
        _line("unsure_rate", "Answered with unsure", _mean_of(unsure), [j.group for j in decided]),
    ]


def _line(
    name: str,
    title: str,
    statistic: Statistic,
    groups: list[str],
    baseline: Statistic | float | None = None,
    edge: Edge | None = wilson,
    n: int | None = None,
) -> Line | None:
    figure = bootstrap(statistic, groups, n=n, edge=edge)
    if figure is None:
        return None
    if baseline is None or isinstance(baseline, float):
        return Line(name, title, figure, baseline)
    trivial: Statistic = baseline
    # The same seed draws the same groups for both, so that the difference is one between paired answers.
    difference = bootstrap(lambda w: statistic(w) - trivial(w), groups)
    return Line(name, title, figure, bootstrap(trivial, groups, n=n, edge=edge), difference)


def _mean_of(values: NDArray[np.float64]) -> Statistic:
    return partial(metrics.mean, values)


def groups_of(truth: NDArray[np.bool_], groups: Sequence[str]) -> tuple[int, int]:
    """How many groups hold a true row and how many hold a false one: what an AUC rests on."""
    held = [{g for g, t in zip(groups, truth, strict=True) if t == kind} for kind in (True, False)]
    return len(held[0]), len(held[1])


def auc_edge(positives: int, negatives: int, area: float, _groups: int) -> tuple[float, float]:
    """:data:`Edge` of an AUC."""
    return newcombe(area, positives, negatives)


def _edge_of(trials: int, share: float, _groups: int) -> tuple[float, float]:
    return wilson(share, trials)
