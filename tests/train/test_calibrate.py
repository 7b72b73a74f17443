"""What is promised of decisions, and that it is kept on made patients."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from secondread.train.calibrate import conformal_threshold, fit_sigmoid, groups_needed, presence_band

RESPLITS = 200


def patients(rng: np.random.Generator, n: int) -> tuple[NDArray[np.float64], NDArray[np.bool_], list[str]]:
    """Presence probabilities of ``n`` patients with 1 to 12 studies each, alike within a patient."""
    logits, abnormal, groups = [], [], []
    for patient in range(n):
        sick, own, size = bool(rng.random() < 0.5), rng.normal(0, 1.2), int(rng.integers(1, 13))
        logits += list((1.0 if sick else -1.0) + own + rng.normal(0, 0.7, size))
        abnormal += [sick] * size
        groups += [f"p{patient}"] * size
    return 1 / (1 + np.exp(-np.array(logits))), np.array(abnormal), groups


def test_the_threshold_is_the_weighted_quantile() -> None:
    # Four patients, one study each: the quantile at 0.75 of five places is the fourth score.
    assert conformal_threshold(np.array([1.0, 2.0, 3.0, 4.0]), list("abcd"), 0.25) == 4.0
    # Patient a's four studies share the weight of one: 1/4 of 1/3 each.
    scores = np.array([1.0, 2.0, 3.0, 4.0, 2.5])
    assert conformal_threshold(scores, ["a", "a", "a", "a", "b"], 0.5) == 2.5
    assert conformal_threshold(scores, ["a", "a", "a", "a", "b"], 0.4) == 4.0
    assert math.isinf(conformal_threshold(scores, ["a", "a", "a", "a", "b"], 0.1))


@pytest.mark.parametrize(("rate", "groups"), [(0.1, 9), (0.05, 19), (0.2, 4)])
def test_groups_needed_are_the_fewest_that_give_a_threshold(rate: float, groups: int) -> None:
    assert groups_needed(rate) == groups
    assert math.isfinite(conformal_threshold(np.arange(groups, dtype=float), [str(i) for i in range(groups)], rate))
    fewer = groups - 1
    assert math.isinf(conformal_threshold(np.arange(fewer, dtype=float), [str(i) for i in range(fewer)], rate))


@pytest.mark.parametrize("rate", [0.1, 0.2])
def test_the_promise_is_kept_over_resplits_of_patients(rate: float) -> None:
    rng = np.random.default_rng(3)
    present, abnormal, groups = patients(rng, 160)
    names = np.array(groups)
    own = sorted(set(names[~abnormal].tolist()))
    outside, wrong, tested = [], {"normal": [0.0], "abnormal": [0.0]}, 0
    for _ in range(RESPLITS):
        order = rng.permutation(sorted(set(groups)))
        fitted = np.isin(names, order[:80])
        low, high, promise = presence_band(present[fitted], abnormal[fitted], names[fitted].tolist(), rate)
        assert promise.normal.made
        assert promise.abnormal.made
        normal = fitted & ~abnormal
        limit = conformal_threshold(present[normal], names[normal].tolist(), rate)
        for patient in order[80:]:
            mine = present[names == patient]
            if patient in own:
                outside.append(float((mine > limit).mean()))
                wrong["normal"].append(float((mine >= high).mean()))
                tested += 1
            else:
                wrong["abnormal"].append(float((mine < low).mean()))
    # Resplits share their patients: what is independent is at least the patients of one class themselves.
    error = 3 * math.sqrt(rate * (1 - rate) / len(own))
    assert float(np.mean(outside)) == pytest.approx(rate, abs=error), "neither broken nor kept by never deciding"
    assert float(np.mean(outside)) <= rate + 3 * math.sqrt(rate * (1 - rate) / tested) + 0.005
    for rates in wrong.values():
        assert float(np.mean(rates)) <= rate + 0.01


def test_a_plain_quantile_breaks_the_promise() -> None:
    """The check above can fail: without the place for the new patient, few patients are promised too much."""
    rng = np.random.default_rng(5)
    outside = []
    for _ in range(400):
        scores = rng.normal(size=10)
        outside.append(float(rng.normal() > np.quantile(scores, 0.9, method="lower")))
    assert float(np.mean(outside)) > 0.13


def test_too_few_patients_promise_nothing_and_say_so() -> None:
    rng = np.random.default_rng(0)
    present, abnormal, groups = patients(rng, 10)
    low, high, promise = presence_band(present, abnormal, groups, 0.05)
    assert not promise.normal.made
    assert not promise.abnormal.made
    assert 0 < promise.normal.groups < 19
    assert 0 <= low <= high <= 1


def test_classes_far_apart_are_cut_in_the_middle() -> None:
    present = np.r_[np.linspace(0.01, 0.1, 20), np.linspace(0.9, 0.99, 20)]
    low, high, promise = presence_band(
        present, np.r_[np.zeros(20, bool), np.ones(20, bool)], list(map(str, range(40))), 0.1
    )
    assert low == high == pytest.approx(0.5, abs=0.02)
    assert promise.normal.made


def test_a_sigmoid_undoes_what_was_done_to_logits() -> None:
    rng = np.random.default_rng(1)
    true = rng.normal(0, 2, 4000)
    abnormal = rng.random(4000) < 1 / (1 + np.exp(-true))
    scale, shift = fit_sigmoid(3 * true + 2, abnormal)
    assert scale == pytest.approx(1 / 3, abs=0.03)
    assert shift == pytest.approx(-2 / 3, abs=0.12)
    assert fit_sigmoid(np.array([1.0, -1.0]), np.array([True, False])) == (1.0, 0.0)
    flawless = fit_sigmoid(np.r_[np.full(20, -3.0), np.full(20, 3.0)], np.r_[np.zeros(20, bool), np.ones(20, bool)])
    assert all(math.isfinite(value) for value in flawless)
