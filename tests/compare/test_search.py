"""Search with Optuna. What does not need it is tested where it is not installed, too."""

from __future__ import annotations

import sys

import pytest

from secondread.compare import choose, require_optuna
from secondread.compare.search import proposals
from secondread.errors import UsageError
from secondread.train import Plan
from tests.compare.conftest import Comparison, Trainer


def test_without_optuna_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UsageError, match=r"pip install 'secondread\[search\]'"):
        require_optuna()
    choices, _ = choose({}, trials=3)
    with pytest.raises(UsageError, match="Optuna"):
        next(proposals(choices, 0))


@pytest.fixture
def _optuna() -> None:
    pytest.importorskip("optuna", reason="NOT TESTED: Optuna is not installed; pip install 'secondread[search]'")


@pytest.mark.usefixtures("_optuna")
def test_what_is_proposed_lies_within_what_was_given() -> None:
    choices, _ = choose({"optimizer": "sgd", "loss": "bce,focal", "learning_rate": "1e-4..1e-2"}, trials=20)
    asking = proposals(choices, 0)
    found = [next(asking), *(asking.send(0.5) for _ in range(19))]
    assert {chosen["optimizer"] for chosen in found} == {"sgd"}
    assert {chosen["loss"] for chosen in found} == {"bce", "focal"}
    rates = [chosen["learning_rate"] for chosen in found]
    assert all(1e-4 <= rate <= 1e-2 for rate in rates)
    assert sum(rate < 1e-3 for rate in rates) > 4, "spread over the decades"


@pytest.mark.usefixtures("_optuna")
def test_a_search_finds_the_rate_and_a_longer_one_goes_on(comparison: Comparison, trainer: Trainer) -> None:
    asked = {"optimizer": "sgd", "learning_rate": "1e-4..10"}
    comparison(asked, trials=15)
    first = list(trainer.trained)
    assert len(first) == 15
    trainer.trained.clear()
    found = comparison(asked, trials=40)
    assert 20 <= len(trainer.trained) <= 25, "the same rate to three digits may come up twice"
    assert not set(first) & set(trainer.trained), "those that are there answer without being trained"
    best = float(found["first"])
    assert 0.005 < best < 0.02
    late = [Plan.load(comparison.out / name / "plan.json").learning_rate for name in trainer.trained]
    assert sum(0.001 < rate < 0.1 for rate in late) > 15, "it draws where it is good, not evenly"
    assert any(entry["diverged"] for entry in found["plans"].values()), "and a rate that diverged ended nothing"


@pytest.mark.usefixtures("_optuna")
def test_a_trial_is_the_mean_over_its_seeds(comparison: Comparison, trainer: Trainer) -> None:
    found = comparison({"optimizer": "sgd,adam"}, seeds=2, trials=4)
    assert len(trainer.trained) == 8
    assert all(len(entry["runs"]) == 2 for entry in found["plans"].values())
