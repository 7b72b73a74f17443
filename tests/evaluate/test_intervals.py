from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from secondread.evaluate import intervals
from secondread.evaluate.intervals import LOG, TO_TWO, Figure, Statistic, apart, bootstrap, difference, newcombe, wilson
from secondread.evaluate.metrics import auc, mean


def mean_of(values: NDArray[np.float64]) -> Statistic:
    return partial(mean, values)


def test_wilson_is_the_published_example() -> None:
    # Newcombe, Statistics in Medicine 17, 1998, table I: 81 of 263, 0 of 20.
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0.0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


def test_newcombe_solves_its_equation() -> None:
    low, high = newcombe(1.0, 12, 12)
    spread = 1 + 11 * ((1 - low) / (2 - low) + low / (1 + low))
    assert 1 - low == pytest.approx(1.959964 * math.sqrt(low * (1 - low) * spread / 144), abs=1e-6)
    assert high == 1
    assert low == pytest.approx(0.833, abs=0.002)
    assert newcombe(0.0, 12, 12) == pytest.approx((0, 1 - low))
    assert newcombe(1.0, 1, 1)[0] == pytest.approx(wilson(1.0, 1)[0])


@pytest.mark.parametrize("distance", [1.5, 2.0, 2.5])
def test_flawless_areas_are_not_believed_too_much(distance: float) -> None:
    # Of normal scores `distance` apart the true area is Phi(distance / sqrt 2). The interval of 8 against 12 without
    # error may miss it in few of all draws.
    area = 0.5 * (1 + math.erf(distance / 2))
    low, _ = newcombe(1.0, 8, 12)
    generator = np.random.default_rng(0)
    lowest = generator.normal(distance, 1, (2000, 8)).min(axis=1)
    highest = generator.normal(0, 1, (2000, 12)).max(axis=1)
    misses = (lowest > highest).mean() if area < low else 0.0
    assert misses <= 0.05


def test_interval_agrees_with_theory_for_independent_studies() -> None:
    values = (np.arange(400) % 5 > 0).astype(float)  # a share of 0.8
    figure = bootstrap(mean_of(values), [str(n) for n in range(400)])
    assert figure is not None
    half = 1.96 * math.sqrt(0.8 * 0.2 / 400)
    assert figure.value == pytest.approx(0.8)
    assert (figure.low, figure.high) == pytest.approx((0.8 - half, 0.8 + half), abs=0.01)
    assert (figure.n, figure.groups, figure.skipped, figure.note) == (400, 400, 0, None)


def test_groups_widen_the_interval() -> None:
    values = np.repeat((np.arange(40) % 5 > 0).astype(float), 10)
    grouped = bootstrap(mean_of(values), [str(n // 10) for n in range(400)])
    alone = bootstrap(mean_of(values), [str(n) for n in range(400)])
    assert grouped is not None
    assert alone is not None
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_all_right_in_twelve_groups_is_no_certainty() -> None:
    figure = bootstrap(mean_of(np.ones(24)), [str(n // 2) for n in range(24)], edge=wilson)
    assert figure is not None
    assert (figure.value, figure.high) == (1.0, 1.0)
    assert figure.low == pytest.approx(wilson(1.0, 12)[0])
    assert "all draws agree" in (figure.note or "")


def test_two_flawless_runs_may_still_differ() -> None:
    # Newcombe, Statistics in Medicine 17, 1998, pp. 873-890, table II, method 10: 10 of 10 less 0 of 20, and 10 of 10
    # less 0 of 10 (independent samples, Wilson's limits).
    def share(value: float, trials: int) -> Figure:
        return Figure(value, *wilson(value, trials), trials, trials)

    assert apart(share(0.0, 20), share(1.0, 10)) == pytest.approx((0.6791, 1.0), abs=1e-4)
    assert apart(share(0.0, 10), share(1.0, 10)) == pytest.approx((0.6075, 1.0), abs=1e-4)


def test_one_group_has_no_interval() -> None:
    figure = bootstrap(mean_of(np.ones(5)), ["a"] * 5)
    assert figure is not None
    assert figure.to_json()["low"] is None
    assert figure.note == "one group"
    assert "no interval" in figure.words


def test_draws_of_one_class_are_skipped_and_counted() -> None:
    truth = np.array([True, False, False, False])
    scores = np.array([0.9, 0.1, 0.95, 0.3])
    figure = bootstrap(partial(auc, truth, scores), ["a", "b", "c", "d"])
    assert figure is not None
    # A draw lacks the one abnormal group with probability 0.75^4, and the normals with 0.25^4: 0.320 in all.
    assert 250 < figure.skipped < 400
    assert "one class only" in (figure.note or "")


def test_nothing_to_judge_gives_no_figure() -> None:
    assert bootstrap(mean_of(np.ones(0)), []) is None
    assert bootstrap(lambda w: np.full(len(w), np.nan), ["a", "b"]) is None


def test_same_seed_same_interval() -> None:
    values = np.random.default_rng(1).random(50)
    groups = [str(n % 20) for n in range(50)]
    assert bootstrap(mean_of(values), groups) == bootstrap(mean_of(values), groups)
    assert bootstrap(mean_of(values), groups, seed=1) != bootstrap(mean_of(values), groups)


@pytest.mark.parametrize("separation", [0.0, 2.0])
def test_intervals_of_areas_hold_the_truth_as_often_as_they_promise(separation: float) -> None:
    # 37 patients, most of them ill, nine pictures each: percentiles of the draws hold it in 84 to 86 of 100.
    spread = 0.7
    area = 0.5 * (1 + math.erf(separation / math.sqrt(2 * (1 + spread**2)) / math.sqrt(2)))
    held = 0
    for seed in range(100):
        generator = np.random.default_rng(seed)
        member = np.repeat(np.arange(37), 9)
        truth = (generator.random(37) < 0.85)[member]
        scores = spread * generator.normal(size=37)[member] + generator.normal(size=333) + separation * truth
        groups = [str(n) for n in member]
        carriers = min(len(np.unique(member[truth])), len(np.unique(member[~truth])))
        figure = bootstrap(partial(auc, truth, scores), groups, carriers=carriers, draws=300)
        assert figure is not None
        held += figure.low <= area <= figure.high
    assert held >= 93


def test_intervals_of_shares_hold_the_truth_as_often_as_they_promise() -> None:
    held = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        member = np.repeat(np.arange(20), generator.integers(1, 8, 20))
        right = (generator.random(len(member)) < generator.beta(2.1, 0.23, 20)[member]).astype(float)
        figure = bootstrap(mean_of(right), [str(n) for n in member], edge=wilson, draws=300)
        assert figure is not None
        held += figure.low <= 2.1 / 2.33 <= figure.high
    assert held >= 186


def test_no_bound_is_crossed() -> None:
    values = np.array([1.0] * 30 + [0.0])
    figure = bootstrap(mean_of(values), [str(n) for n in range(31)])
    assert figure is not None
    assert 0 < figure.low < figure.value < figure.high < 1
    far = bootstrap(mean_of(100 * values + 1), [str(n) for n in range(31)], scale=LOG)
    assert far is not None
    assert 0 < far.low < far.value < far.high
    brier = bootstrap(mean_of(2 * values - 0.1 * np.arange(31) / 31), [str(n) for n in range(31)], scale=TO_TWO)
    assert brier is not None
    assert 0 < brier.low < brier.value < brier.high < 2


def test_draws_in_parts_are_the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).random(50)
    groups = [str(n % 20) for n in range(50)]
    whole = bootstrap(mean_of(values), groups)
    monkeypatch.setattr(intervals, "CHUNK", 700)
    assert bootstrap(mean_of(values), groups) == whole


def test_a_difference_of_nothing_is_seen_as_often_as_promised() -> None:
    """Two readers of the same worth: either is called better in 2.5 of 100 repeats."""
    generator, better, worse = np.random.default_rng(0), 0, 0
    names = [str(n) for n in range(60)]
    for _ in range(200):
        first, second = ((generator.random(60) < 0.8).astype(float) for _ in range(2))
        each = [bootstrap(mean_of(values), names, draws=200) for values in (first, second)]
        found = difference(mean_of(second - first), names, each[0], each[1])
        assert found is not None
        better, worse = better + (found.low > 0), worse + (found.high < 0)
        assert found.high - found.low > 0.1
    assert better <= 11
    assert worse <= 11


def test_a_difference_that_every_draw_agrees_on_rests_on_the_two_intervals() -> None:
    names = [str(n) for n in range(12)]
    right, wrong = (bootstrap(mean_of(np.full(12, value)), names, edge=wilson) for value in (1.0, 0.0))
    found = difference(mean_of(np.ones(12)), names, wrong, right)
    assert found is not None
    assert found.value == 1
    assert 0.5 < found.low < 0.7
    assert found.high == 1
    assert difference(mean_of(np.ones(12)), names, None, right) is None


def test_draws_that_differ_by_rounding_agree() -> None:
    names = [str(n) for n in range(12)]

    def almost(value: float) -> Statistic:
        return lambda weights: value - 1e-13 * weights[:, 0]

    figure = bootstrap(almost(1.0), names, edge=wilson)
    assert figure is not None
    assert (figure.low, figure.high) == wilson(1.0, 12)
    low, high = (bootstrap(mean_of(np.full(12, value)), names, edge=wilson) for value in (0.0, 1.0))
    found = difference(almost(1.0), names, low, high)
    assert found is not None
    assert 0.5 < found.low < 0.7
