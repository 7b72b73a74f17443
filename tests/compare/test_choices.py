"""What a comparison is asked to try."""

from __future__ import annotations

from typing import Any

import pytest

from secondread.compare import Choices, choose
from secondread.compare.choices import DEFAULT, MOST_RUNS, seeds_of
from secondread.errors import UsageError


def test_lists_with_commas_make_a_grid() -> None:
    overrides = {"optimizer": "adam, sgd,adam", "loss": "bce,focal", "learning_rate": "0.001,1e-2", "epochs": 3}
    choices, shared = choose(overrides, seeds=2)
    assert shared == {"epochs": 3}
    assert choices.lists == {"optimizer": ("adam", "sgd"), "loss": ("bce", "focal"), "learning_rate": (0.001, 0.01)}
    grid = list(choices.grid())
    assert len(grid) == choices.plans == 8
    assert choices.runs == 16
    assert grid[1] == {"optimizer": "adam", "loss": "bce", "learning_rate": 0.01}
    assert choices.varied == ("optimizer", "loss", "learning_rate")
    assert choices.words(5) == (
        "16 runs: 2 optimizers x 2 losses x 2 learning rates x 2 seeds; at 5 minutes each, 80 minutes in all"
    )
    assert choices.words("2.5").endswith("at 2.5 minutes each, 40 minutes in all"), "the environment gives text"


def test_a_yaml_file_may_hold_lists_and_numbers() -> None:
    choices, _ = choose({"network": ["segresnet", "unet"], "learning_rate": 0.01})
    assert choices.lists == {"network": ("segresnet", "unet"), "learning_rate": (0.01,)}
    assert choices.varied == ("network",)


def test_without_a_list_the_optimizers_are_compared() -> None:
    assert choose({})[0].lists == {"optimizer": DEFAULT}
    assert choose({"loss": "bce"}, seeds=2)[0].lists == {"optimizer": DEFAULT, "loss": ("bce",)}
    assert "optimizer" not in choose({"loss": "bce,focal"})[0].lists, "another list was given: the plan's own"


def test_one_plan_with_several_seeds_is_a_comparison() -> None:
    choices, shared = choose({"optimizer": "sgd", "seed": "4"}, seeds=3)
    assert (choices.plans, choices.runs) == (1, 3)
    assert list(seeds_of(choices, shared)) == [4, 5, 6]


def test_a_search_looks_around_each_optimizers_rate() -> None:
    choices, _ = choose({"optimizer": "sgd,adam"}, trials=10)
    assert choices.varied == ("optimizer", "learning_rate")
    assert choices.rates("sgd") == pytest.approx((2e-3, 0.2))
    assert choices.words() == "up to 10 runs: 10 trials"
    given, _ = choose({"learning_rate": "1e-4..1e-2"}, trials=10)
    assert given.lists == {"optimizer": ("adamw",)}
    assert given.rates("adamw") == (1e-4, 1e-2)
    listed, _ = choose({"optimizer": "sgd", "learning_rate": "0.1,0.01"}, trials=2)
    assert listed.varied == ("learning_rate",)
    assert choose({}, trials=3)[0].lists == {"optimizer": DEFAULT}


@pytest.mark.parametrize(
    ("overrides", "more", "said"),
    [
        ({"optimizer": "adam"}, {}, "at least two"),
        ({"optimizer": " , "}, {}, "at least two"),
        ({"learning_rate": "0.1"}, {"trials": 1}, "one run"),
        ({"optimizer": "sgd", "learning_rate": "0.1"}, {"trials": 5, "seeds": 2}, "one run"),
        ({"optimizer": "adam,zzz"}, {}, "zzz"),
        ({"network": "unet,vgg"}, {}, "vgg"),
        ({"loss": "bce,mse"}, {}, "mse"),
        ({"learning_rate": "0.1,fast"}, {}, "fast"),
        ({"learning_rate": "0.1,-1"}, {}, "above 0"),
        ({"learning_rate": "0.1..1"}, {}, "--search"),
        ({"learning_rate": "1..0.1"}, {"trials": 5}, "lower to the higher"),
        ({"learning_rate": "0.1.."}, {"trials": 5}, "at least two"),
        ({"learning_rate": "0.1..1,2"}, {"trials": 5}, "lower to the higher"),
        ({"epochs": 0}, {}, "epochs"),
        ({}, {"seeds": 0}, "at least 1"),
        ({}, {"seeds": MOST_RUNS}, "400 runs: 4 optimizers x 100 seeds are more than 100"),
        ({}, {"trials": MOST_RUNS + 1}, "shorten a list"),
    ],
)
def test_what_cannot_be_compared(overrides: dict[str, Any], more: dict[str, int], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        choose(overrides, **more)


def test_words_of_one_list() -> None:
    assert Choices({"loss": ("bce", "focal"), "optimizer": ("sgd",)}).words() == "2 runs: 2 losses"
