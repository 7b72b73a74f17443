"""Two runs against each other where one has seen what both judge, and what a comparison says of where it comes from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from secondread.evaluate import compare_runs
from secondread.evaluate.origins import tied
from secondread.index import Index, Row

from .test_evaluate import check_page

COUNT = 60
"""Test studies, two a patient."""


def held_out() -> list[Row]:
    return [
        Row(f"s{n}", f"g{n // 2}", "csv", (Path(f"s{n}.png"),), ("image",), sha256=f"x{n}", split="test")
        for n in range(COUNT)
    ]


def clean(split: str = "train") -> Row:
    return Row("t", "someone", "csv", (Path("t.png"),), ("image",), sha256="t", split=split)


def leaky(patients: int, split: str = "train") -> list[Row]:
    """Others of the first so many patients, on the side that is learned from."""
    return [replace(clean(split), study=f"t{g}", group=f"g{g}", sha256=f"t{g}") for g in range(patients)]


def judged_run(folder: Path, taught: Sequence[Row], skill: float, *, stamp: bool = False, **changes: Any) -> Path:
    """A run's folder, and its evaluation on the test rows: of skill 1 every study is told right, of 0 by chance."""
    index = Index.of([*held_out(), *taught])
    evaluation = folder / "evaluation"
    evaluation.mkdir(parents=True)
    index.save(folder / "index.parquet")
    (folder / "plan.json").write_text(json.dumps({"seed": folder.name, "network": {"width": 16}}))
    generator = np.random.default_rng(len(folder.name))
    abnormal = np.arange(COUNT) // 2 % 2 == 0
    pl.DataFrame(
        {
            "study": [row.study for row in held_out()],
            "group": [row.group for row in held_out()],
            "label": ["x"] * COUNT,
            "truth": pl.Series([None] * COUNT, dtype=pl.String),
            "abnormal": abnormal,
            "presence": skill * abnormal * 0.5 + 0.5 * generator.random(COUNT),
        }
    ).write_parquet(evaluation / "predictions.parquet")
    metrics = {
        "model": {"name": "net", "version": "1", "sha256": folder.name * 10},
        "data": {"index_sha256": index.fingerprint(), "leaks": ["LEAK: divided"] if stamp else []},
        "stamp": "LEAK ACCEPTED" if stamp else None,
        "versions": {"secondread": "0.1", "code": "c0de"},
        "command": f"secondread evaluate {folder.name} -o evaluation",
    } | changes
    (evaluation / "metrics.json").write_text(json.dumps(metrics))
    return evaluation


def compared(first: Path, second: Path, out: Path) -> tuple[dict[str, Any], str]:
    compare_runs(first, second, out)
    return json.loads((out / "compare.json").read_text(encoding="utf-8")), check_page(out / "compare.html")


def test_a_run_that_learned_from_a_leak_is_stamped_and_judged_on_what_it_has_not_seen(tmp_path: Path) -> None:
    first = judged_run(tmp_path / "leaky", leaky(10), 1.0, stamp=True)
    second = judged_run(tmp_path / "honest", [clean()], 0.0)
    for sides in ((first, second), (second, first)):
        content, page = compared(*sides, tmp_path / "out")
        who = "the first run" if sides[0] == first else "the second run"
        assert content["stamp"].startswith(f"LEAK ACCEPTED: {who} learned from a split")
        assert f'<header class="stamp" aria-label="Warning">{content["stamp"]}' in page
        assert content["summary"].startswith("LEAK ACCEPTED: leaky learned from a split that divides patients.")
        assert all(leak in page for leak in content["leaks"])
        assert "leaky has seen 20 of 60 studies" in page
        assert (content["studies"], content["groups"]) == (40, 20)
        assert content["left_out"] == {"first": 0, "second": 0, "seen": 20}
        assert content["conclusive"]
        assert "leaky is better in presence_auc" in content["summary"]  # on what it has not seen


def test_a_leak_that_leaves_nothing_names_no_winner(tmp_path: Path) -> None:
    first = judged_run(tmp_path / "leaky", leaky(COUNT // 2, "validation"), 1.0, stamp=True)
    second = judged_run(tmp_path / "honest", [clean()], 0.0)
    content, page = compared(first, second, tmp_path / "out")
    assert not content["conclusive"]
    assert content["studies"] == COUNT
    assert all(figure["ahead"] is None for figure in content["metrics"].values())
    assert "nothing can be concluded about leaky and honest" in content["summary"]
    assert "No figure here is evidence." in content["stamp"]
    assert "is better" not in page
    assert "cannot be told" in page


def test_an_evaluation_without_its_run_is_believed_when_it_found_no_leak_alone(tmp_path: Path) -> None:
    lone = judged_run(tmp_path / "run", leaky(10), 1.0, stamp=True).rename(tmp_path / "lone")
    second = judged_run(tmp_path / "honest", [clean()], 0.0)
    content, _ = compared(lone, second, tmp_path / "out")
    assert content["stamp"] is not None
    assert not content["conclusive"]
    assert "cannot be told from its evaluation alone; give the run's folder" in content["summary"]
    honest = judged_run(tmp_path / "other", [clean()], 1.0).rename(tmp_path / "far")
    content, _ = compared(honest, second, tmp_path / "out")
    assert (content["stamp"], content["leaks"], content["conclusive"]) == (None, [], True)
    (honest / "metrics.json").unlink()
    assert not compared(honest, second, tmp_path / "out")[0]["conclusive"]


def test_other_data_that_one_run_has_learned_from_are_left_out_without_a_stamp(tmp_path: Path) -> None:
    taught = [replace(clean(), study="elsewhere", sha256="x7"), replace(clean("validation"), study="v", group="g10")]
    rows = held_out()
    assert tied(taught, rows) == {"s6", "s7", "s20", "s21"}  # of s7 the bytes, so its patient; the patient g10
    near = [replace(row, cluster=3) if row.study in ("s7", "s40") else row for row in rows]
    assert tied(taught, near) == {"s6", "s7", "s20", "s21", "s40", "s41"}
    nobody = [replace(clean(), study="s0", group="s0", group_from="study", sha256="other")]
    assert tied(nobody, [replace(row, group_from="study", group=row.study) for row in rows]) == frozenset()
    own = [replace(row, cluster=1) if row.study == "s2" else row for row in rows]
    assert tied([*own, replace(clean(), cluster=1)], own) == {"s2", "s3"}


def test_a_comparison_says_what_it_was_made_from(tmp_path: Path) -> None:
    first, second = (judged_run(tmp_path / name, [clean()], 0.5) for name in ("one", "two"))
    content, page = compared(first, second, tmp_path / "out")
    assert content["command"] == "secondread evaluate one/evaluation two/evaluation -o out"
    for side, run in (("first", first), ("second", second)):
        made = content["runs"][side]
        name = run.parent.name
        assert made["plan_sha256"] == hashlib.sha256((run.parent / "plan.json").read_bytes()).hexdigest()
        assert made["index_sha256"] == Index.load(run.parent / "index.parquet").fingerprint()
        assert made["trained_on_index_sha256"] == made["index_sha256"]
        assert made["model"]["sha256"] == name * 10
        assert made["plan"]["seed"] == name
        told = (content["command"], made["plan_sha256"], made["index_sha256"], name * 10, made["command"], "code c0de")
        assert all(what in page for what in told)
    assert "<td>one</td><td>two</td>" in page  # the seed, where the plans differ
    assert "network.width" not in page


def test_one_is_no_plural(tmp_path: Path) -> None:
    first, second = (judged_run(tmp_path / name, [clean()], 0.5) for name in ("one", "two"))
    for run in (first, second):
        table = pl.read_parquet(run / "predictions.parquet")
        alarms = [pl.Series(f"alarm_{rate}fp", [True] * COUNT) for rate in (1, 5, 10)]
        table.with_columns(alarms).write_parquet(run / "predictions.parquet")
    _, page = compared(first, second, tmp_path / "out")
    assert "Sensitivity at 1 false alarm per" in page
    assert "Sensitivity at 5 false alarms per" in page
    for run in (first, second):
        pl.read_parquet(run / "predictions.parquet").head(1).write_parquet(run / "predictions.parquet")
    assert "On the 1 study of 1 group that both" in compared(first, second, tmp_path / "out")[0]["summary"]


@pytest.mark.parametrize("number", [0, 2])
def test_counted(number: int) -> None:
    from secondread.index.words import counted

    assert counted(number, "study") == f"{number} studies"
    assert counted(number, "group") == f"{number} groups"
