from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from secondread.errors import DataError, UsageError
from secondread.evaluate import compare_runs, evaluate
from secondread.evaluate.delong import compare_areas
from secondread.evaluate.paired import compare_predictions
from secondread.index import Index

from .fakes import FakeReader, moved, spec, write_pictures, write_run
from .test_evaluate import ABNORMAL, check_page

NAMES = ("a", "b")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One run that sees and one that guesses, judged on the same test split."""
    folder = tmp_path_factory.mktemp("pair")
    rows = write_pictures(folder / "data", 36)
    for name, skill in (("sees", 1.0), ("guesses", 0.0)):
        run = write_run(folder / name, rows)
        evaluate(run, run / "evaluation", reader=FakeReader(spec(ABNORMAL, "no_tumor"), skill))
    return folder / "guesses", folder / "sees"


def never(_: Path) -> Any:
    raise AssertionError("what is judged already is not judged again")


def test_the_better_run_is_named_in_table_json_and_page(runs: tuple[Path, Path], tmp_path: Path) -> None:
    found = compare_runs(runs[0] / "evaluation", runs[1] / "evaluation", tmp_path / "out", load=never)
    content = json.loads((tmp_path / "out" / "compare.json").read_text(encoding="utf-8"))
    assert content["first"] == "guesses"
    assert content["studies"] == 36
    area = content["metrics"]["presence_auc"]
    assert area["ahead"] == "second"
    assert area["difference"]["p"] < 0.01
    assert area["difference"]["value"] == pytest.approx(area["second"]["value"] - area["first"]["value"], abs=1e-6)
    assert {"accuracy", "macro_f1", "dice", "lesion_sensitivity", "peak_in_mask", "brier", "presence_brier"} <= set(
        content["metrics"]
    )
    assert content["metrics"]["brier"]["ahead"] == "second"  # lower is better
    assert "sees is better in presence_auc" in found.sentence
    assert any("sees is better" in line and line.startswith("dice") for line in found.table)
    text = check_page(tmp_path / "out" / "compare.html")
    assert found.sentence in text
    assert "p = " in text


def test_figures_are_those_of_each_runs_own_report(runs: tuple[Path, Path], tmp_path: Path) -> None:
    found = compare_runs(runs[0] / "evaluation", runs[1] / "evaluation", tmp_path / "out")
    own = json.loads((runs[1] / "evaluation" / "metrics.json").read_text(encoding="utf-8"))["metrics"]
    for duel in found.duels:
        name = {"nsd": "nsd_2mm"}.get(duel.name, duel.name)
        assert duel.second.to_json()["value"] == own[name]["value"], name
        assert duel.second.low == pytest.approx(own[name]["low"], abs=1e-6), name
    table = [pl.read_parquet(run / "evaluation" / "predictions.parquet").sort("study") for run in runs]
    truth = table[0]["abnormal"].to_numpy()
    scores = [t["presence"].to_numpy() for t in table]
    test = compare_areas(truth, scores[0], scores[1], table[0]["group"].to_list())
    assert test is not None
    assert found.duels[0].p == test.p


def test_a_run_against_itself_cannot_be_told_apart(runs: tuple[Path, Path], tmp_path: Path) -> None:
    found = compare_runs(runs[1] / "evaluation", runs[1] / "evaluation", tmp_path / "out")
    assert all(duel.ahead is None and duel.difference.value == 0 for duel in found.duels)
    assert "cannot be told apart by any figure" in found.sentence
    assert found.names == ("sees (first)", "sees (second)")


def test_runs_are_judged_where_they_are_not_yet_or_by_another_model(tmp_path: Path) -> None:
    rows = write_pictures(tmp_path / "data", 12)
    first, second = (write_run(tmp_path / name, rows) for name in ("one", "two"))
    loaded: list[str] = []

    def load(run: Path) -> FakeReader:
        loaded.append(run.name)
        return FakeReader(spec(ABNORMAL, "no_tumor"), sha256=run.name * 8)

    compare_runs(first, second, tmp_path / "out", load=load)
    assert (first / "evaluation" / "report.html").is_file()
    before = (first / "evaluation" / "report.html").stat().st_mtime_ns
    compare_runs(first, second, tmp_path / "out", load=load)
    assert (first / "evaluation" / "report.html").stat().st_mtime_ns == before
    other = FakeReader(spec(ABNORMAL, "no_tumor"), sha256="x")
    compare_runs(first, second, tmp_path / "out", load=lambda _: other)
    assert (first / "evaluation" / "report.html").stat().st_mtime_ns != before
    fresh = [moved(row, sha256=f"x{row.sha256}", group=f"x{row.group}", split=None) for row in rows]
    found = compare_runs(first, second, tmp_path / "new", load=load, index=Index.of(fresh))
    assert found.studies == 36
    assert (tmp_path / "new" / "one" / "predictions.parquet").is_file()


def made(count: int, seed: int = 0) -> pl.DataFrame:
    generator = np.random.default_rng(seed)
    abnormal = np.arange(count) % 2 == 0
    return pl.DataFrame(
        {
            "study": [f"s{k}" for k in range(count)],
            "group": [f"g{k // 2}" for k in range(count)],
            "label": ["x"] * count,
            "truth": [None] * count,
            "abnormal": abnormal,
            "presence": generator.random(count),
        },
        schema_overrides={"truth": pl.String},
    )


def test_what_is_not_shared_is_left_out_and_counted() -> None:
    found = compare_predictions(made(20), made(14, 1), NAMES)
    assert (found.studies, found.groups, found.left_out) == (14, 7, (6, 0))
    assert [duel.name for duel in found.duels] == ["presence_auc"]


@pytest.mark.parametrize(("groups", "ahead"), [(4, None), (40, 0)])
def test_areas_without_variance_are_told_apart_by_many_groups_alone(groups: int, ahead: int | None) -> None:
    """A perfect order beside the same answer to all: DeLong's variance is 0, however few the groups."""
    table = made(2 * groups).with_columns(group=pl.Series([f"g{n // 2}" for n in range(2 * groups)]))
    table = table.with_columns(abnormal=pl.Series([n // 2 % 2 == 0 for n in range(2 * groups)]))
    perfect, blind = table.with_columns(presence=pl.col("abnormal").cast(pl.Float64)), table.with_columns(presence=0.5)
    duel = compare_predictions(perfect, blind, NAMES).duels[0]
    assert (duel.difference.value, duel.p, duel.ahead) == (-0.5, None, ahead)


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    other = made(4).with_columns(pl.col("study") + "x")
    with pytest.raises(DataError, match="no study in common"):
        compare_predictions(made(4), other, NAMES)
    changed = made(4).with_columns(abnormal=~pl.col("abnormal"))
    with pytest.raises(DataError, match=r"4 of 4 studies .* differ in abnormal, the first is 's0'"):
        compare_predictions(made(4), changed, NAMES)
    with pytest.raises(UsageError, match="there is no run"):
        compare_runs(tmp_path / "a", tmp_path / "b", tmp_path / "out")
    made(4).drop("abnormal").write_parquet(tmp_path / "predictions.parquet")
    with pytest.raises(DataError, match="no column abnormal"):
        compare_runs(tmp_path, tmp_path, tmp_path / "out")
    (tmp_path / "predictions.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="cannot be read"):
        compare_runs(tmp_path, tmp_path, tmp_path / "out")
