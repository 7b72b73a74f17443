"""From what a network said of the validation groups to probabilities and decisions that keep a promise.

The promise is that of split conformal prediction, for each of the two classes by itself (Vovk 2012, "Conditional
validity of inductive conformal predictors"), over patients: studies of one patient are not exchangeable with those of
another, so each group shares one weight among its studies (Lee, Barber and Willett 2023, "Distribution-free inference
with hierarchical data", arXiv:2306.06342). In words: take a new patient from where the validation patients came from,
and one of the patient's studies of class y at random; with probability 1 - ``error_rate`` or more its decision is not
the other class. The probability is over the validation patients, too.

What it assumes: patients of validation and of later are exchangeable. Another scanner, hospital or mixture of
diseases within "abnormal" breaks it. The best epoch was chosen on the same groups, which flatters a little.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from secondread.infer import ClassPromise, Promise

FEWEST_TO_FIT = 8
"""Studies of each kind below which a threshold keeps its default: fitted on fewer it would be noise."""

Floats = NDArray[np.float64]


def conformal_threshold(scores: Floats, groups: Sequence[str], error_rate: float) -> float:
    """The score that a study of a new group exceeds with probability ``error_rate`` at most; inf for too few groups.

    The (1 - error_rate) quantile of the scores with weight 1 / ((K + 1) N_k) for each of the N_k studies of the k-th
    of K groups, and 1 / (K + 1) at infinity for the new one.
    """
    _, which, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    weights = 1 / ((len(sizes) + 1) * sizes[which])
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum(weights[order]) >= 1 - error_rate - 1e-9
    return float(scores[order][reached.argmax()]) if reached.any() else math.inf


def groups_needed(error_rate: float) -> int:
    """Groups of a class below which no threshold keeps the promise."""
    return math.ceil(1 / error_rate - 1 - 1e-9)


def presence_band(
    present: Floats, abnormal: NDArray[np.bool_], groups: Sequence[str], error_rate: float
) -> tuple[float, float, Promise]:
    """(low, high, promise): below low *normal*, from high *abnormal*, between *unsure*.

    A class is ruled out where its conformal threshold does so; unsure is where neither is. Where the classes are so
    far apart that both would be ruled out between them, every cut there keeps the promise, and the middle is taken: a
    set that holds no class would make even a faultless model unsure of up to ``error_rate`` of all scans. A class
    with too few groups gets the plain quantile of its studies, and no promise.

    Args:
        present: (n) probability that something is there.
        abnormal, groups: (n) the truth and the patient.
    """
    names = np.asarray(groups)
    fewest = groups_needed(error_rate)
    sides = {}
    for name, own, scores in (("normal", ~abnormal, present), ("abnormal", abnormal, -present)):
        count = len(set(names[own].tolist()))
        sides[name] = (own, scores, count, count >= fewest)
    promise = Promise(
        error_rate=error_rate,
        normal=ClassPromise(groups=sides["normal"][2], made=False),
        abnormal=ClassPromise(groups=sides["abnormal"][2], made=False),
    )
    if min(int(abnormal.sum()), int((~abnormal).sum())) < FEWEST_TO_FIT:
        return 0.5, 0.5, promise
    limits = {
        name: conformal_threshold(scores[own], names[own].tolist(), error_rate)
        if made
        else float(np.quantile(scores[own], 1 - error_rate))
        for name, (own, scores, _, made) in sides.items()
    }
    promise = promise.model_copy(
        update={name: ClassPromise(groups=count, made=made) for name, (_, _, count, made) in sides.items()}
    )
    # Abnormal is possible from `low` on; normal up to and with `high`.
    low, high = -limits["abnormal"], limits["normal"]
    if low > high:
        return (low + high) / 2, (low + high) / 2, promise
    return low, min(1.0, float(np.nextafter(high, 2))), promise


def fit_temperature(logits: Sequence[NDArray[np.float32]], truth: Sequence[int]) -> float:
    """The temperature that minimises the cross-entropy of categories (n, K) (Guo 2017)."""
    if len(logits) < FEWEST_TO_FIT or len(logits[0]) < 2:
        return 1.0
    from scipy.optimize import minimize_scalar

    rows, wanted = torch.from_numpy(np.stack(logits)), torch.tensor(list(truth))
    found = minimize_scalar(
        lambda log_t: float(torch.nn.functional.cross_entropy(rows / np.exp(log_t), wanted)),
        bounds=(-1.5, 1.5),
        method="bounded",
    )
    return float(np.exp(found.x))


def fit_sigmoid(logits: Floats, abnormal: NDArray[np.bool_]) -> tuple[float, float]:
    """(scale, shift) under which ``sigmoid(scale * logit + shift)`` is a probability (Platt 1999, with his targets,
    which keep separable classes finite); (1, 0) where there are too few. Scale is 0.2 to 5."""
    positive, negative = int(abnormal.sum()), int((~abnormal).sum())
    if min(positive, negative) < FEWEST_TO_FIT:
        return 1.0, 0.0
    from scipy.optimize import minimize

    wanted = np.where(abnormal, (positive + 1) / (positive + 2), 1 / (negative + 2))

    def loss(x: Floats) -> float:
        z = np.exp(x[0]) * logits + x[1]
        return float(np.mean(np.logaddexp(0, z) - wanted * z))

    found = minimize(loss, np.zeros(2), method="L-BFGS-B", bounds=[(math.log(0.2), math.log(5)), (-20, 20)])
    return float(np.exp(found.x[0])), float(found.x[1])
