"""From judged studies to the table of figures, each with its interval and what costs nothing beside it.

docs/figures.md defines every one of them in a line or two, with its source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from secondread.evaluate import metrics
from secondread.evaluate.alarms import Alarm
from secondread.evaluate.baselines import majority
from secondread.evaluate.intervals import LOGIT, TO_TWO, Scale, difference
from secondread.evaluate.judged import Classes, Judged
from secondread.evaluate.lines import Line, Measure, auc_edge, auc_of, groups_of, line, mean_of
from secondread.evaluate.places import location_lines
from secondread.index.words import counted

__all__ = [
    "Line",
    "auc_edge",
    "class_arrays",
    "groups_of",
    "presence_arrays",
    "reliability_arrays",
    "tabulate",
]

UNSURE = "unsure"


def tabulate(
    judged: Sequence[Judged], classes: Classes, learned: Mapping[str | None, int], alarms: Sequence[Alarm] = ()
) -> list[Line]:
    """Every figure that the studies allow, in the order of the report.

    Args:
        learned: studies of each class in training, from which what costs nothing follows: always naming the most
            frequent class, always giving the classes' shares.
        alarms: working points chosen on the validation split; without them there is no sensitivity at any.
    """
    lines = [
        *_presence_lines(judged, alarms),
        *_class_lines(judged, classes, majority(learned)),
        *location_lines(judged, classes.located),
        *_calibration_lines(judged, classes, learned),
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
    known = _of_known_class(judged, classes)
    number = {name: i for i, name in enumerate(classes.names)}
    return (
        np.array([number[j.truth or ""] for j in known], np.intp),
        np.array([number[j.predicted] for j in known], np.intp),
        [j.group for j in known],
    )


def reliability_arrays(judged: Sequence[Judged], classes: Classes) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Probability of the predicted class (n) and whether it was right (n)."""
    known = _of_known_class(judged, classes)
    return np.array([j.confidence for j in known], np.float64), np.array([j.right for j in known], np.bool_)


def _of_known_class(judged: Sequence[Judged], classes: Classes) -> list[Judged]:
    return [j for j in judged if j.truth is not None] if len(classes.names) > 1 else []


def _presence_lines(judged: Sequence[Judged], alarms: Sequence[Alarm]) -> list[Line | None]:
    truth, score, groups = presence_arrays(judged)
    share = Measure(partial(metrics.mean, truth.astype(float)), groups)
    area = auc_of(truth, score, groups)
    # At 1 both areas say the same: no normal above an abnormal.
    precision = replace(area, statistic=partial(metrics.average_precision, truth, score))
    lines = [
        line("presence_auc", "Presence, area under ROC", area, 0.5),
        # One kind alone has no curve to take an area under.
        line("presence_auprc", "Presence, area under precision and recall", precision, share)
        if truth.any() and not truth.all()
        else None,
    ]
    for alarm in alarms:
        lines += _alarm_lines(truth, score > alarm.threshold, groups, alarm)
    decided = [j for j in judged if j.decision is not None and j.abnormal is not None]
    for name, title, sort, answer in (
        ("sensitivity_at_decision", "Abnormal studies called abnormal", True, "abnormal"),
        ("specificity_at_decision", "Normal studies called normal", False, "normal"),
    ):
        kind = [j for j in decided if j.abnormal is sort]
        lines.append(line(name, title, mean_of([j.decision == answer for j in kind], [j.group for j in kind])))
    return lines


def _alarm_lines(
    truth: NDArray[np.bool_], raised: NDArray[np.bool_], groups: Sequence[str], alarm: Alarm
) -> list[Line | None]:
    """What one working point brings on these studies: abnormals found, normals that raise an alarm."""
    found, false = (
        mean_of(raised[kind].astype(float), [g for g, k in zip(groups, kind, strict=True) if k])
        for kind in (truth, ~truth)
    )
    gain = difference(
        lambda w: (
            metrics.ratio((raised & truth).astype(float), truth.astype(float), w)
            - metrics.ratio((raised & ~truth).astype(float), (~truth).astype(float), w)
        ),
        groups,
        false.figure,
        found.figure,
        carriers=min(groups_of(truth, groups)),
    )
    title = f"Sensitivity at {counted(alarm.rate, 'false alarm')} per 100 normals"
    return [
        _noted(line(f"presence_sensitivity_at_{alarm.rate}fp", title, found, false, gain=gain), alarm.note),
        line(f"false_alarm_rate_at_{alarm.rate}fp", f"Normals that raise an alarm there ({alarm.rate} % meant)", false),
    ]


def _class_lines(judged: Sequence[Judged], classes: Classes, most: str | None) -> list[Line | None]:
    truth, predicted, groups = class_arrays(judged, classes)
    labels = np.unique(truth)
    count = len(classes.names)
    guess = np.full_like(truth, classes.names.index(most)) if most in classes.names else None

    def f1(answer: NDArray[np.intp]) -> Measure:
        return Measure(lambda w: metrics.macro_f1(metrics.confusion(truth, answer, count, w), labels), groups)

    def accuracy(answer: NDArray[np.intp]) -> Measure:
        return mean_of((answer == truth).astype(float), groups)

    return [
        line("accuracy", "Accuracy", accuracy(predicted), None if guess is None else accuracy(guess)),
        line("macro_f1", "F1, mean over classes", f1(predicted), None if guess is None else f1(guess)),
    ]


def _calibration_lines(
    judged: Sequence[Judged], classes: Classes, learned: Mapping[str | None, int]
) -> list[Line | None]:
    confidence, right = reliability_arrays(judged, classes)
    truth, _, groups = class_arrays(judged, classes)
    ece = Measure(lambda w: metrics.reliability(confidence, right, w).ece, groups, edge=None)
    known = _of_known_class(judged, classes)
    one_hot = truth[:, None] == np.arange(len(classes.names))
    given = np.array([[j.classes[name] for name in classes.names] for j in known]).reshape(one_hot.shape)
    counts = np.array([learned.get(name, 0) for name in classes.names], float)
    shares = counts / counts.sum() if counts.any() else None
    constant = None if shares is None else _brier(one_hot, np.broadcast_to(shares, one_hot.shape), groups, TO_TWO)
    abnormal, presence, owners = presence_arrays(judged)
    abnormals = None if shares is None or classes.normal is None else 1 - float(shares[0])
    usual = None if abnormals is None else _brier(abnormal, np.full(len(abnormal), abnormals), owners, LOGIT)
    alone = _brier(abnormal, presence, owners, LOGIT)
    decided = [j for j in judged if j.decision is not None]
    return [
        line("ece", "Calibration error", ece),
        line("brier", "Brier score of the classes", _brier(one_hot, given, groups, TO_TWO), constant, better="low"),
        line("presence_brier", "Brier score of presence", alone, usual, better="low"),
        line(
            "unsure_rate",
            "Answered with unsure",
            mean_of([j.decision == UNSURE for j in decided], [j.group for j in decided]),
        ),
    ]


def _brier(truth: NDArray[np.bool_], given: NDArray[np.float64], groups: Sequence[str], scale: Scale) -> Measure:
    return Measure(partial(metrics.mean, metrics.brier(truth, given)), groups, edge=None, scale=scale)


def _noted(line: Line | None, note: str) -> Line | None:
    if line is None:
        return None
    said = f"{line.figure.note}; {note}" if line.figure.note else note
    return replace(line, figure=replace(line.figure, note=said))
