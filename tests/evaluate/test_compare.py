from __future__ import annotations

import json
from pathlib import Path

import pytest

from secondread.errors import UsageError
from secondread.evaluate import compare_report

from .fakes import history, write_pictures, write_run
from .test_evaluate import check_page


def test_runs_side_by_side(tmp_path: Path) -> None:
    rows = write_pictures(tmp_path / "data", 12)
    runs = {
        "rmsprop": write_run(tmp_path / "a", rows, history(12, 8)),
        "sgd <slow>": write_run(tmp_path / "b", rows, history(6, 6)),
        "none": write_run(tmp_path / "c", rows, []),
    }
    (tmp_path / "a" / "evaluation").mkdir()
    figures = {"metrics": {"accuracy": {"value": 0.9, "low": 0.8, "high": 0.95, "n": 9, "groups": 6}}}
    (tmp_path / "a" / "evaluation" / "metrics.json").write_text(json.dumps(figures), encoding="utf-8")
    text = check_page(compare_report(runs, tmp_path / "out"))
    content = json.loads((tmp_path / "out" / "compare.json").read_text(encoding="utf-8"))
    assert content["first"] == "rmsprop"
    best = content["runs"]["rmsprop"]
    assert best["best_epoch"] == 8
    assert best["best_validation_accuracy"] == pytest.approx(history(12, 8)[7]["validation"]["accuracy"])
    assert best["verdict"]["kind"] == "overfit"
    assert best["plan"]["optimizer"] == "adamw"
    assert best["test"]["accuracy"]["value"] == 0.9
    assert content["runs"]["none"]["best_epoch"] is None
    assert "sgd &lt;slow&gt;" in text
    assert "cannot be told from it" in content["summary"]
    assert "0.900" in text


def test_nothing_to_compare(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        compare_report({}, tmp_path)
    with pytest.raises(UsageError, match=r"history\.jsonl"):
        compare_report({"a": tmp_path}, tmp_path)
