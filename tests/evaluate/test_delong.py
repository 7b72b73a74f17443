from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from secondread.evaluate.delong import areas, compare_areas
from secondread.evaluate.intervals import bootstrap
from secondread.evaluate.lines import auc_of

RATED = {False: (33, 6, 6, 11, 2), True: (3, 2, 2, 11, 33)}
"""How often each of five ratings was given to normal and to abnormal CT scans: Hanley and McNeil, Radiology 143, 1982,
table I. They print an area of 0.893 and a standard error of 0.032 by their own variance."""


def rated() -> tuple[np.ndarray, np.ndarray]:
    truth = np.repeat([False, True], [sum(RATED[False]), sum(RATED[True])])
    scores = np.concatenate([np.repeat(np.arange(1.0, 6.0), RATED[kind]) for kind in (False, True)])
    return truth, scores


def delong_by_its_definition(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equations 3 to 6 of DeLong, DeLong and Clarke-Pearson 1988, pair by pair."""
    v10, v01 = [], []
    for row in scores:
        psi = [[1.0 if x > y else 0.5 if x == y else 0.0 for y in row[~truth]] for x in row[truth]]
        v10.append([sum(line) / len(line) for line in psi])
        v01.append([sum(column) / len(column) for column in zip(*psi, strict=True)])
    theta = np.array([np.mean(v) for v in v10])
    return theta, np.cov(v10) / truth.sum() + np.cov(v01) / (~truth).sum()


def test_area_of_the_published_table() -> None:
    truth, scores = rated()
    found = areas(truth, scores[None], [str(k) for k in range(len(truth))])
    assert found is not None
    assert found.values[0] == pytest.approx(0.893, abs=5e-4)
    assert math.sqrt(found.covariance[0, 0]) == pytest.approx(0.032, abs=2e-3)


@pytest.mark.parametrize("seed", range(5))
def test_variance_is_delongs_where_every_group_is_one_study(seed: int) -> None:
    generator = np.random.default_rng(seed)
    truth = generator.random(60) < 0.4
    scores = np.round(generator.normal(size=(2, 60)) + truth, 1)  # with ties
    found = areas(truth, scores, [str(k) for k in range(60)])
    assert found is not None
    theta, covariance = delong_by_its_definition(truth, scores)
    assert found.values == pytest.approx(theta, abs=1e-12)
    assert found.values == pytest.approx([roc_auc_score(truth, row) for row in scores], abs=1e-12)
    assert found.covariance == pytest.approx(covariance, abs=1e-12)


def test_every_study_twice_is_no_more_certain() -> None:
    generator = np.random.default_rng(0)
    truth = generator.random(80) < 0.5
    scores = generator.normal(size=(2, 80)) + truth
    once = areas(truth, scores, [str(k) for k in range(80)])
    twice = areas(np.repeat(truth, 2), np.repeat(scores, 2, axis=1), [str(k // 2) for k in range(160)])
    assert once is not None
    assert twice is not None
    assert twice.covariance == pytest.approx(once.covariance, rel=1e-9)


def test_variance_over_groups_is_near_that_of_the_bootstrap() -> None:
    generator = np.random.default_rng(0)
    member = np.repeat(np.arange(40), 4)
    truth = generator.random(160) < 0.5
    scores = generator.normal(size=40)[member] + generator.normal(size=160) + truth
    groups = [f"g{k}" for k in member]
    found = areas(truth, scores[None], groups)
    figure = bootstrap(auc_of(truth, scores, groups).statistic, groups, draws=4000)
    assert found is not None
    assert figure is not None
    error = math.sqrt(found.covariance[0, 0])
    assert (figure.high - figure.low) / (2 * 2.02) == pytest.approx(error, rel=0.08)


def test_the_test_calls_what_differs_and_leaves_what_does_not() -> None:
    generator = np.random.default_rng(0)
    groups = [str(k // 2) for k in range(300)]
    wrong, seen = 0, 0
    for _ in range(200):
        truth = generator.random(300) < 0.5
        shared = generator.normal(size=300) + truth
        a, b = shared + 0.7 * generator.normal(size=(2, 300))
        level = compare_areas(truth, a, b, groups)
        apart = compare_areas(truth, a, b + truth, groups)
        assert level is not None
        assert apart is not None
        wrong += level.p < 0.05
        seen += apart.p < 0.05 and apart.difference.low > 0
    assert wrong <= 18  # 10 are expected
    assert seen >= 195


def test_what_has_no_variance() -> None:
    truth = np.array([True, True, False, False])
    same = compare_areas(truth, np.arange(4.0), np.arange(4.0), list("abcd"))
    assert same is not None
    assert (same.difference.value, same.p) == (0.0, 1.0)
    lonely = compare_areas(truth, np.arange(4.0), np.arange(4.0), list("aabc"))
    assert lonely is not None
    assert math.isnan(lonely.p)
    assert compare_areas(truth | True, np.arange(4.0), np.arange(4.0), list("abcd")) is None
