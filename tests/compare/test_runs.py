"""Runs of a comparison: what is trained, what is kept, and what happens to one that diverges."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from secondread.errors import DataError, UsageError
from secondread.index import Index, build_index
from tests.compare.conftest import Comparison, Trainer
from tests.evaluate.fakes import write_pictures
from tests.index.makers import picture


def test_every_combination_with_every_seed(comparison: Comparison, trainer: Trainer) -> None:
    found = comparison({"optimizer": "adam,sgd", "learning_rate": "0.01,0.02"}, seeds=2)
    assert trainer.trained[:5] == [
        "adam-bce-segresnet-0.01-seed0",
        "adam-bce-segresnet-0.02-seed0",
        "sgd-bce-segresnet-0.01-seed0",
        "sgd-bce-segresnet-0.02-seed0",
        "adam-bce-segresnet-0.01-seed1",
    ], "one seed of each first, so that an early end leaves something of all"
    assert len(trainer.trained) == 8
    assert set(found["plans"]) == {"adam 0.01", "adam 0.02", "sgd 0.01", "sgd 0.02"}
    assert found["plans"]["adam 0.01"]["figures"]["accuracy"]["values"] == [1.0, 0.999]
    assert found["plans"]["adam 0.02"]["behind"] is True
    assert found["plans"]["sgd 0.01"]["behind"] is False
    plan = json.loads((comparison.out / "sgd-bce-segresnet-0.02-seed1" / "plan.json").read_text())
    assert (plan["optimizer"], plan["learning_rate"], plan["seed"]) == ("sgd", 0.02, 1)
    assert comparison.said[0] == "run 1 of 8: training with adam 0.01, seed 0"
    assert "left" in comparison.said[-1]
    epochs = [what for what in comparison.shown if "epoch" in what]
    assert epochs == [f"run {n}: epoch 1, loss 0.5" for n in range(1, 9)], "each run's own, for its time left"


def test_a_comparison_grows_and_keeps_what_it_has(comparison: Comparison, trainer: Trainer) -> None:
    comparison({"optimizer": "adam,sgd"})
    assert len(trainer.trained) == 2
    trainer.trained.clear()
    comparison({"optimizer": "adam,sgd"})
    assert trainer.trained == []
    found = comparison({"optimizer": "adam,sgd", "loss": "bce,focal"}, seeds=2)
    assert len(trainer.trained) == 6
    assert set(found["plans"]) == {"adam bce", "adam focal", "sgd bce", "sgd focal"}
    assert {entry["figures"]["accuracy"]["seeds"] for entry in found["plans"].values()} == {2}


def test_a_run_that_was_interrupted_is_resumed(comparison: Comparison, trainer: Trainer) -> None:
    comparison({"optimizer": "adam,sgd"})
    run = comparison.out / "sgd-bce-segresnet-0.02-seed0"
    (run / "model" / "manifest.json").unlink()
    (run / "model").rmdir()
    (run / "checkpoints").mkdir()
    trainer.trained.clear()
    comparison({"optimizer": "adam,sgd"})
    assert trainer.trained == [run.name]


def test_a_run_that_diverges_is_a_result(comparison: Comparison, trainer: Trainer) -> None:
    found = comparison({"learning_rate": "0.01,2"})
    assert found["plans"]["2"] == {"figures": {}, "diverged": 1, "behind": None, "runs": []}
    assert "2 (1 of 1)" in found["caveats"][0]
    assert any("no longer a number" in line for line in comparison.said)
    trainer.trained.clear()
    assert comparison({"learning_rate": "0.01,2"}) == found
    assert trainer.trained == [], "nor is it trained again"


def test_where_all_diverge_there_is_no_report(comparison: Comparison, trainer: Trainer) -> None:
    with pytest.raises(DataError, match="lower learning rates"):
        comparison({"learning_rate": "2,3"})
    assert len(trainer.trained) == 2
    assert not (comparison.out / "report.html").exists()


def test_runs_of_another_plan_or_of_other_data_are_refused(comparison: Comparison, trainer: Trainer) -> None:
    comparison({"optimizer": "adam,sgd"})
    trainer.trained.clear()
    for overrides in ({"epochs": 3}, {"size": 48}, {"optimizer": "rprop,sgd", "batch": 4}):
        with pytest.raises(UsageError, match="another plan"):
            comparison({"optimizer": "adam,sgd", **overrides})
    comparison.index = other_index(comparison)
    with pytest.raises(UsageError, match="other data"):
        comparison({"optimizer": "adam,sgd"})
    assert trainer.trained == []


def other_index(comparison: Comparison) -> Index:
    folder = comparison.out.parent / "other"
    for n in range(18):
        picture(folder / ("dark", "bright")[n % 2] / f"p{n:02d}.png", n + 50)
    return build_index([folder])


def test_a_network_that_these_data_cannot_have(comparison: Comparison, trainer: Trainer, tmp_path: Path) -> None:
    comparison.index = Index.of(write_pictures(tmp_path / "masked", 12))
    with pytest.raises(UsageError, match="resnet18 has no decoder"):
        comparison({"network": "segresnet,resnet18"})
    assert trainer.trained == [], "said before the first run, not after it"
    assert not comparison.out.exists()


def test_networks_begin_alike_and_the_comparison_goes_on(comparison: Comparison, trainer: Trainer) -> None:
    """Grey pictures at 160: the starter's weights fit segresnet, and unet has none to begin with."""
    both = {"network": "segresnet,unet", "size": 160}
    found = comparison(both)
    starts = {json.loads(plan.read_text())["start"] for plan in comparison.out.glob("*/plan.json")}
    assert starts == {"cold"}
    assert "all begin with random weights" in comparison.said[0]
    assert {run["plan"]["start"] for run in found["runs"].values()} == {"cold"}
    trainer.trained.clear()
    comparison(both)
    assert trainer.trained == []
    with pytest.raises(UsageError, match="does not fit"):
        comparison({**both, "start": "starter"})


def test_one_network_begins_with_the_starter_as_a_training_does(comparison: Comparison, trainer: Trainer) -> None:
    comparison({"optimizer": "adam,sgd", "size": 160})
    assert {json.loads(plan.read_text())["start"] for plan in comparison.out.glob("*/plan.json")} == {"starter"}
    trainer.trained.clear()
    comparison({"optimizer": "adam,sgd", "size": 160}, seeds=2)
    assert len(trainer.trained) == 2
