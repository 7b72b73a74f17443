from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, confusion_matrix, f1_score, roc_auc_score

from secondread.evaluate import metrics


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=60))
def test_auc_is_that_of_scikit_learn(pairs: list[tuple[bool, int]]) -> None:
    truth = np.array([t for t, _ in pairs])
    scores = np.array([float(s) for _, s in pairs])
    if truth.all() or not truth.any():
        assert np.isnan(metrics.auc(truth, scores, metrics.once(len(truth)))).all()
    else:
        weights = np.random.default_rng(0).integers(0, 3, (4, len(truth))).astype(float)
        weights[0] = 1
        for found, weight in zip(metrics.auc(truth, scores, weights), weights, strict=True):
            if weight[truth].any() and weight[~truth].any():
                assert found == pytest.approx(roc_auc_score(truth, scores, sample_weight=weight), abs=1e-12)
            else:
                assert np.isnan(found)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_macro_f1_and_confusion_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = (np.array(column, np.intp) for column in zip(*pairs, strict=True))
    tables = metrics.confusion(truth, predicted, 4, metrics.once(len(truth)))
    labels = np.unique(truth)
    assert (tables[0] == confusion_matrix(truth, predicted, labels=[0, 1, 2, 3])).all()
    expected = f1_score(truth, predicted, labels=labels, average="macro", zero_division=0)
    assert metrics.macro_f1(tables, labels) == pytest.approx([expected], abs=1e-12)


def test_weights_count_studies_as_often_as_they_were_drawn() -> None:
    generator = np.random.default_rng(0)
    truth, predicted = generator.integers(0, 3, (2, 40))
    scores, abnormal = generator.integers(0, 9, 40) / 9, generator.random(40) < 0.5
    at = generator.integers(0, 40, 40)
    drawn, one = np.bincount(at, minlength=40)[None].astype(float), metrics.once(40)
    labels = np.unique(truth)
    for whole, repeated in (
        (metrics.mean(scores, drawn), scores[at].mean()),
        (metrics.auc(abnormal, scores, drawn), metrics.auc(abnormal[at], scores[at], one)),
        (
            metrics.average_precision(abnormal, scores, drawn),
            metrics.average_precision(abnormal[at], scores[at], one),
        ),
        (
            metrics.net_benefit(abnormal, scores, np.array([0.2, 0.6]), drawn),
            metrics.net_benefit(abnormal[at], scores[at], np.array([0.2, 0.6]), one),
        ),
        (
            metrics.macro_f1(metrics.confusion(truth, predicted, 3, drawn), labels),
            metrics.macro_f1(metrics.confusion(truth[at], predicted[at], 3, one), labels),
        ),
        (
            metrics.reliability(scores, abnormal, drawn).ece,
            metrics.reliability(scores[at], abnormal[at], one).ece,
        ),
    ):
        assert whole == pytest.approx(repeated, abs=1e-12)


def test_alarm_threshold_by_hand() -> None:
    normals = np.arange(100) / 100  # 0.99 highest
    # One alarm is allowed (0.99), so the threshold is 0.98.
    assert metrics.alarm_threshold(normals, 1) == 0.98
    assert metrics.alarm_threshold(normals, 5) == 0.94
    assert metrics.alarm_threshold(normals[:50], 1) == 0.49
    assert np.isnan(metrics.alarm_threshold(normals[:0], 1))


@settings(max_examples=50)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=250), st.sampled_from([1, 5, 10]))
def test_alarms_never_exceed_their_rate_where_the_threshold_was_chosen(normals: list[int], rate: int) -> None:
    scores = np.array(normals, float)
    threshold = metrics.alarm_threshold(scores, rate)
    assert (scores > threshold).sum() <= rate * len(scores) / 100
    # And the next lower score would have raised one too many.
    assert (scores >= threshold).sum() > rate * len(scores) / 100


def test_ece_by_hand() -> None:
    confidence = np.array([0.9, 0.9, 0.9, 0.9, 0.5, 0.5])
    right = np.array([True, True, True, False, True, True])
    # Bins of 1/15: 0.9 lies in the 14th (share right 0.75), 0.5 in the 8th (share right 1).
    assert metrics.reliability(confidence, right, metrics.once(6)).ece == pytest.approx([(4 * 0.15 + 2 * 0.5) / 6])


def test_confidence_of_zero_and_one_stay_in_the_outer_bins() -> None:
    bins = metrics.reliability(np.array([0.0, 1.0]), np.array([False, True]), metrics.once(2))
    assert bins.counts[0, [0, -1]].tolist() == [1, 1]
    assert bins.ece == [0]


def test_dice_by_hand() -> None:
    a = np.zeros((4, 4), bool)
    b = a.copy()
    a[:2], b[1:3] = True, True
    assert metrics.dice(a, b) == 0.5
    assert metrics.dice(a, a) == 1
    assert np.isnan(metrics.dice(~a & a, ~a & a))


def test_peak_in_mask() -> None:
    evidence = np.zeros((3, 4), np.float32)
    evidence[2, 1] = 0.3
    inside = evidence > 0
    assert metrics.peak_in_mask(evidence, inside)
    assert not metrics.peak_in_mask(evidence, ~inside)


def test_slices_of_air_do_not_count() -> None:
    truth = np.zeros((4, 4, 6), bool)
    truth[1, 1, 2:4] = True
    scanned = np.zeros_like(truth)
    scanned[..., 1:5] = True
    scores = np.array([0.0, 0.8, 0.9, 0.7, 0.1, 0.0])
    # Slices 1 to 4: true 0.9 and 0.7, false 0.8 and 0.1: three of four pairs in order.
    assert metrics.slice_auc(scores, truth, 2, scanned) == 0.75
    assert np.isnan(metrics.slice_auc(scores, np.ones_like(truth), 2, scanned))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=60))
def test_average_precision_is_that_of_scikit_learn(pairs: list[tuple[bool, int]]) -> None:
    truth = np.array([t for t, _ in pairs])
    scores = np.array([float(s) for _, s in pairs])
    found = metrics.average_precision(truth, scores, metrics.once(len(truth)))
    if truth.any():
        assert found == pytest.approx([average_precision_score(truth, scores)], abs=1e-12)
    else:
        assert np.isnan(found).all()


def test_brier_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    truth, given_ = generator.random(50) < 0.4, generator.random(50)
    assert metrics.brier(truth, given_).mean() == pytest.approx(brier_score_loss(truth, given_), abs=1e-12)
    shares, labels = generator.dirichlet(np.ones(3), 50), generator.integers(0, 3, 50)
    expected = brier_score_loss(labels, shares, labels=[0, 1, 2], scale_by_half=False)
    assert metrics.brier(labels[:, None] == np.arange(3), shares).mean() == pytest.approx(expected, abs=1e-12)


def test_net_benefit_by_hand_and_by_confusion() -> None:
    # 100 men, 20 with cancer; a test at 0.25 calls 15 of them and 30 others: 0.15 - 0.30 / 3 = 0.05.
    truth = np.array([True] * 20 + [False] * 80)
    score = np.array([0.3] * 15 + [0.1] * 5 + [0.4] * 30 + [0.1] * 50)
    assert metrics.net_benefit(truth, score, np.array([0.25]), metrics.once(100)) == pytest.approx(0.05, abs=1e-12)
    for t in (0.05, 0.3, 0.35):
        (_, false), (_, true) = confusion_matrix(truth, score >= t)
        expected = true / 100 - false / 100 * t / (1 - t)
        found = metrics.net_benefit(truth, score, np.array([t]), metrics.once(100))
        assert found == pytest.approx(expected, abs=1e-12)


def test_ece_bin_by_bin() -> None:
    generator = np.random.default_rng(0)
    confidence, right = generator.random(200), generator.random(200) < 0.6
    expected = 0.0
    for low in np.arange(15) / 15:
        inside = (confidence > low) & (confidence <= low + 1 / 15)
        if inside.any():
            expected += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    assert metrics.reliability(confidence, right, metrics.once(200)).ece == pytest.approx([expected], abs=1e-9)
