from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secondread.errors import UsageError
from secondread.evaluate import Contender, compare_report, watched_value
from secondread.index import Row

from .fakes import history, write_pictures, write_run
from .test_evaluate import check_page


def run_of(folder: Path, rows: list[Row], accuracy: float, seed: int = 0, **plan: Any) -> Path:
    """A run of 12 epochs whose validation accuracy ends at ``accuracy``."""
    epochs = history(12, 12)
    for epoch in epochs:
        epoch["validation"]["accuracy"] = accuracy * (1 - 0.5 * math.exp(-epoch["epoch"] / 3))
    epochs[-1]["validation"]["accuracy"] = accuracy
    run = write_run(folder, rows, epochs)
    decided = json.loads((run / "plan.json").read_text())
    (run / "plan.json").write_text(json.dumps(decided | {"seed": seed, "loss": "bce"} | plan))
    return run


def contender(name: str, tmp_path: Path, rows: list[Row], accuracies: list[float], **plan: Any) -> Contender:
    runs = [run_of(tmp_path / f"{name}-seed{n}", rows, a, n, **plan) for n, a in enumerate(accuracies)]
    return Contender(name, tuple(runs))


def answer(tmp_path: Path) -> Any:
    return json.loads((tmp_path / "out" / "compare.json").read_text(encoding="utf-8"))


def test_one_run_each_side_by_side(tmp_path: Path) -> None:
    rows = write_pictures(tmp_path / "data", 12)
    contenders = [
        Contender("rmsprop", (write_run(tmp_path / "a", rows, history(12, 8)),)),
        Contender("sgd <slow>", (write_run(tmp_path / "b", rows, history(6, 6)),)),
        Contender("none", (write_run(tmp_path / "c", rows, []),)),
    ]
    (tmp_path / "a" / "evaluation").mkdir()
    figures = {"metrics": {"accuracy": {"value": 0.9, "low": 0.8, "high": 0.95, "n": 9, "groups": 6}}}
    (tmp_path / "a" / "evaluation" / "metrics.json").write_text(json.dumps(figures), encoding="utf-8")
    text = check_page(compare_report(contenders, tmp_path / "out"))
    content = answer(tmp_path)
    assert (content["first"], content["watched"]) == ("rmsprop", "accuracy")
    best = content["runs"]["a"]
    assert best["best_epoch"] == 8
    assert best["validation"]["accuracy"] == pytest.approx(history(12, 8)[7]["validation"]["accuracy"])
    assert best["verdict"]["kind"] == "overfit"
    assert best["plan"]["optimizer"] == "adamw"
    assert best["plan"]["network"] == "segresnet"
    assert best["test"]["accuracy"]["value"] == 0.9
    assert content["runs"]["c"]["best_epoch"] is None
    assert content["plans"]["none"]["figures"] == {}
    assert content["plans"]["rmsprop"]["figures"]["accuracy"]["low"] is None
    assert "sgd &lt;slow&gt;" in text
    assert "(one seed: no interval)" in content["summary"]
    assert "sgd <slow> cannot be told from it" in content["summary"]
    assert "another seed may change the order" in content["summary"]
    assert "0.900" in text


def test_a_lead_that_seeds_do_not_explain(tmp_path: Path) -> None:
    rows = write_pictures(tmp_path / "data", 12)
    contenders = [
        contender("sgd", tmp_path, rows, [0.70, 0.72, 0.71], optimizer="sgd"),
        contender("adam", tmp_path, rows, [0.90, 0.91, 0.92], optimizer="adam"),
    ]
    text = check_page(compare_report(contenders, tmp_path / "out"))
    content = answer(tmp_path)
    assert list(content["plans"]) == ["adam", "sgd"], "best first"
    assert content["plans"]["sgd"]["behind"] is True
    figure = content["plans"]["adam"]["figures"]["accuracy"]
    assert (figure["value"], figure["seeds"]) == (0.91, 3)
    reach = 4.302653 * 0.01 / math.sqrt(3)
    assert (figure["low"], figure["high"]) == pytest.approx((0.91 - reach, 0.91 + reach), abs=1e-6)
    assert "0.910 (0.885 to 0.935 over 3 seeds), ahead of every other by more than seeds do" in content["summary"]
    assert any("nothing about other patients; on 6 validation groups" in caveat for caveat in content["caveats"])
    assert any("flatters itself" in caveat for caveat in content["caveats"])
    assert 'aria-label="Validation curves of 2 plans: adam, sgd."' in text
    assert text.count("PolyCollection") + text.count("FillBetweenPolyCollection") >= 4, "a band per plan and panel"


def test_a_lead_within_what_seeds_do(tmp_path: Path) -> None:
    rows = write_pictures(tmp_path / "data", 12)
    contenders = [
        contender("adam", tmp_path, rows, [0.95, 0.75, 0.85]),
        contender("sgd", tmp_path, rows, [0.80, 0.90, 0.70]),
        contender("rprop", tmp_path, rows, [0.30, 0.31, 0.32]),
    ]
    compare_report(contenders, tmp_path / "out")
    content = answer(tmp_path)
    assert "no more than seeds do: sgd cannot be told from it" in content["summary"]
    assert [plan["behind"] for plan in content["plans"].values()] == [None, False, True]


def test_a_seed_that_diverged_ranks_its_plan_behind(tmp_path: Path) -> None:
    rows = write_pictures(tmp_path / "data", 12)
    wild = contender("wild", tmp_path, rows, [0.95, 0.96])
    contenders = [
        Contender(wild.name, wild.runs, diverged=1),
        contender("calm", tmp_path, rows, [0.80, 0.81, 0.82]),
        Contender("gone", (), diverged=3),
    ]
    text = check_page(compare_report(contenders, tmp_path / "out"))
    content = answer(tmp_path)
    assert list(content["plans"]) == ["calm", "wild", "gone"]
    assert "calm reached the highest mean validation accuracy of those with fewest diverged seeds" in content["summary"]
    assert "wild (1 of 3) and gone (3 of 3)" in content["caveats"][0]
    assert "1 more diverged" in text


def test_learning_rates_have_a_picture_of_their_own(tmp_path: Path) -> None:
    rows = write_pictures(tmp_path / "data", 12)
    contenders = [
        contender(f"{optimizer} {rate}", tmp_path, rows, [value, value - 0.01], optimizer=optimizer, learning_rate=rate)
        for optimizer, rate, value in (("adam", 1e-3, 0.9), ("adam", 1e-2, 0.6), ("sgd", 1e-2, 0.7), ("sgd", 0.1, 0.8))
    ]
    text = check_page(compare_report(contenders, tmp_path / "out"))
    assert "over the learning rate. adam: 0.895 at 0.001, 0.595 at 0.01; sgd: 0.695 at 0.01, 0.795 at 0.1" in text


def test_more_plans_than_colours(tmp_path: Path) -> None:
    rows = write_pictures(tmp_path / "data", 12)
    contenders = [contender(f"plan{n}", tmp_path, rows, [0.5 + n / 100]) for n in range(12)]
    text = check_page(compare_report(contenders, tmp_path / "out"))
    assert ">4 more<" in text
    assert "6 more cannot be told" in answer(tmp_path)["summary"]


def test_losses_of_different_kinds_do_not_rank(tmp_path: Path) -> None:
    rows = write_pictures(tmp_path / "data", 12)
    contenders = [contender(loss, tmp_path, rows, [0.9], loss=loss) for loss in ("bce", "focal")]
    for entry in contenders:
        lines = [json.loads(line) for line in (entry.runs[0] / "history.jsonl").read_text().splitlines()]
        for line in lines:
            line["validation"] = {"loss": line["validation"]["loss"]}
            line["train"] = {"loss": line["train"]["loss"]}
        (entry.runs[0] / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    check_page(compare_report(contenders, tmp_path / "out"))
    assert answer(tmp_path)["first"] is None
    assert "no common scale" in answer(tmp_path)["summary"]
    compare_report(contenders[:1], tmp_path / "out")
    assert "bce reached the lowest validation loss" in answer(tmp_path)["summary"]
    assert np.isclose(watched_value(contenders[0].runs[0]), -history(12, 12)[-1]["validation"]["loss"])


def test_nothing_to_compare(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        compare_report([], tmp_path)
    with pytest.raises(UsageError):
        compare_report([Contender("gone", (), diverged=2)], tmp_path)
    with pytest.raises(UsageError, match=r"history\.jsonl"):
        compare_report([Contender("a", (tmp_path,))], tmp_path)
