"""Figures over seeds, held against SciPy, and what is called better held against chance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from secondread.evaluate.seeds import behind, over_seeds


def test_the_interval_is_students() -> None:
    values = [0.81, 0.84, 0.78, 0.86]
    figure = over_seeds(values, share=True)
    assert figure is not None
    expected = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert (figure.low, figure.high) == pytest.approx(expected, abs=1e-12)
    assert figure.words == "0.823 (0.767 to 0.878)"


def test_a_share_stays_one_and_a_loss_need_not() -> None:
    values = [0.99, 0.90, 0.97]
    share, loss = over_seeds(values, share=True), over_seeds(values, share=False)
    assert share is not None
    assert loss is not None
    assert share.high == 1
    assert loss.high > 1
    assert share.low == loss.low


def test_one_seed_has_no_interval_and_none_no_figure() -> None:
    figure = over_seeds([math.nan, 0.8], share=True)
    assert figure is not None
    assert figure.words == "0.800 (one seed: no interval)"
    assert figure.to_json() == {"value": 0.8, "low": None, "high": None, "seeds": 1, "values": [0.8]}
    assert over_seeds([math.nan], share=True) is None


def test_behind_is_welchs_test_at_its_share_of_five_in_a_hundred() -> None:
    best = [0.90, 0.92, 0.91]
    others = {"near": [0.89, 0.93, 0.88], "middle": [0.88, 0.86, 0.89], "far": [0.70, 0.71, 0.75]}
    told = behind("best", {"best": best, **others})
    for name, values in others.items():
        p = stats.ttest_ind(best, values, equal_var=False, alternative="greater").pvalue
        assert told[name] == (p < 0.05 / 3), name
    assert told == {"near": False, "middle": False, "far": True}
    assert behind("best", {"best": best, "middle": others["middle"]}) == {"middle": True}, "fewer to hold it against"


def test_what_one_seed_or_no_spread_can_tell() -> None:
    assert behind("a", {"a": [0.9, 0.91], "b": [0.2]}) == {"b": None}
    assert behind("a", {"a": [0.9], "b": [0.2, 0.3]}) == {"b": None}
    assert behind("a", {"a": [0.9, 0.9], "b": [0.9, 0.9], "c": [0.5, 0.5]}) == {"b": False, "c": True}
    assert behind("a", {"a": [0.9, 0.9]}) == {}


@pytest.mark.parametrize(("plans", "seeds"), [(2, 2), (4, 3), (8, 5)])
def test_the_best_is_called_behind_in_at_most_five_of_a_hundred(plans: int, seeds: int) -> None:
    """Where all are equally good, and some jump four times as far, every "behind" is an error."""
    generator = np.random.default_rng(seeds)
    spread = np.linspace(1, 4, plans)[:, None]
    wrong, repeats = 0, 2000
    for _ in range(repeats):
        drawn = generator.normal(0, 1, (plans, seeds)) * spread
        values = {str(n): row.tolist() for n, row in enumerate(drawn)}
        # Plan 0 stands for the truly best: an error is to call it behind whichever looks best.
        first = max(values, key=lambda name: float(np.mean(values[name])))
        wrong += behind(first, values).get("0") is True
    allowed = 0.05 * repeats + 3 * math.sqrt(0.05 * 0.95 * repeats)
    assert wrong <= allowed


def test_a_difference_well_above_the_spread_is_found() -> None:
    generator = np.random.default_rng(0)
    found = 0
    for _ in range(200):
        values = {name: (mean + generator.normal(0, 0.01, 3)).tolist() for name, mean in (("a", 0.9), ("b", 0.8))}
        found += behind("a", values)["b"] is True
    assert found > 190
