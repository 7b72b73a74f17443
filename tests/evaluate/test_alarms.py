from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from secondread.evaluate import alarms, evaluate
from secondread.evaluate.alarms import Score, choose, keep, kept
from secondread.index import Index

from .fakes import FakeReader, moved, spec, write_pictures, write_run
from .test_evaluate import ABNORMAL

READER = FakeReader(spec(ABNORMAL, "no_tumor"))


def scores(normals: list[float], abnormals: list[float]) -> list[Score]:
    return [Score(f"s{k}", f"g{k}", False, p) for k, p in enumerate(normals)] + [
        Score(f"t{k}", f"h{k}", True, p) for k, p in enumerate(abnormals)
    ]


def test_normals_alone_choose_and_too_few_say_so() -> None:
    few = choose(scores([0.1, 0.2, 0.3, 0.4], [0.05, 0.9]))
    assert [(a.rate, a.threshold, a.normals) for a in few] == [(1, 0.4, 4), (5, 0.4, 4), (10, 0.4, 4)]
    assert "too few to hold this rate" in few[2].note
    many = choose(scores((np.arange(100) / 100).tolist(), []))
    assert [a.threshold for a in many] == [0.98, 0.94, 0.89]
    assert "too few" not in many[0].note
    assert choose(scores([], [0.9])) == ()


def test_scores_are_kept_for_one_model(tmp_path: Path) -> None:
    said = scores([0.1], [0.9])
    assert kept(tmp_path, "m") is None
    keep(tmp_path, "m", said)
    assert kept(tmp_path, "m") == said
    assert kept(tmp_path, "another") is None
    (tmp_path / alarms.KEPT).write_bytes(b"no parquet")
    assert kept(tmp_path, "m") is None


def test_the_threshold_comes_from_validation_and_the_figures_from_the_test_split(tmp_path: Path) -> None:
    rows = write_pictures(tmp_path / "data", 36)
    run = write_run(tmp_path / "R", rows)
    evaluate(run, tmp_path / "E", reader=READER)
    held = pl.read_parquet(run / alarms.KEPT)
    assert set(held["study"]) == {row.study for row in rows if row.split == "validation"}
    figures = json.loads((tmp_path / "E" / "metrics.json").read_text(encoding="utf-8"))["metrics"]
    table = pl.read_parquet(tmp_path / "E" / "predictions.parquet")
    assert not set(held["study"]) & set(table["study"])
    normals = np.sort(held.filter(~pl.col("abnormal"))["presence"].to_numpy())[::-1]
    for rate in alarms.ALARM_RATES:
        threshold = normals[int(rate * len(normals) / 100)]
        for name, kind in (("presence_sensitivity_at", True), ("false_alarm_rate_at", False)):
            presence = table.filter(pl.col("abnormal") == kind)["presence"].to_numpy()
            assert figures[f"{name}_{rate}fp"]["value"] == pytest.approx((presence > threshold).mean(), abs=1e-6)
        assert f"from {len(normals)} validation normals" in figures[f"presence_sensitivity_at_{rate}fp"]["note"]


def test_test_studies_cannot_move_the_threshold(tmp_path: Path) -> None:
    rows = write_pictures(tmp_path / "data", 18)
    run = write_run(tmp_path / "R", rows)
    evaluate(run, tmp_path / "E", reader=READER)
    before = (run / alarms.KEPT).read_bytes()
    # Judged on other data, with its own scans out of reach, the run still knows its working points.
    fresh = [
        moved(row, sha256=f"x{row.sha256}", group=f"x{row.group}", split=None) for row in rows if row.split == "test"
    ]
    for row in rows:
        if row.split == "validation":
            row.images[0].unlink()
    evaluate(run, tmp_path / "F", reader=READER, index=Index.of(fresh))
    assert (run / alarms.KEPT).read_bytes() == before
    same = [json.loads((tmp_path / e / "metrics.json").read_text(encoding="utf-8"))["metrics"] for e in "EF"]
    assert same[0]["presence_sensitivity_at_5fp"]["value"] == same[1]["presence_sensitivity_at_5fp"]["value"]


def test_without_validation_studies_there_is_no_working_point(tmp_path: Path) -> None:
    rows = [row for row in write_pictures(tmp_path / "data", 18) if row.split != "validation"]
    evaluate(write_run(tmp_path / "R", rows), tmp_path / "E", reader=READER)
    figures = json.loads((tmp_path / "E" / "metrics.json").read_text(encoding="utf-8"))["metrics"]
    assert "presence_auc" in figures
    assert not [name for name in figures if "fp" in name]
    assert pl.read_parquet(tmp_path / "E" / "predictions.parquet")["alarm_1fp"].null_count() == 12 + 6
