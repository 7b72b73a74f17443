"""What a split that leaks leaves behind, and what accepting it does."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from secondread.index import AcceptedLeak, GivenSplitLeaks, Index, build_index, reporting_leaks
from secondread.index.split import find_leaks, freeze, pairs_across
from tests.index.makers import picture, row


def _leaky(folder: Path) -> Path:
    for n in range(24):
        picture(folder / ("train" if n < 16 else "test") / "ab"[n % 2] / f"{n}.png", n)
    for n in range(3):
        picture(folder / "test" / "ab"[n % 2] / f"again{n}.png", n)
    return folder


def test_pairs_pictures_and_the_repaired_split_are_written(tmp_path: Path) -> None:
    data, out = _leaky(tmp_path / "data"), tmp_path / "out" / "index.parquet"
    with pytest.raises(GivenSplitLeaks) as caught, reporting_leaks(out):
        build_index([data])
    notes = " ".join(caught.value.__notes__)
    assert all(str(out.with_name(name)) in notes for name in ("index.leaks.csv", "index.repaired.parquet"))
    with out.with_name("index.leaks.csv").open() as file:
        lines = list(csv.DictReader(file))
    pairs = {frozenset((line["study"], line["other"])) for line in lines}
    assert pairs == {frozenset((f"train/{'ab'[n % 2]}/{n}", f"test/{'ab'[n % 2]}/again{n}")) for n in range(3)}
    assert {line["why"] for line in lines} == {"the same or nearly the same picture"}
    page = out.with_name("index.leaks.html").read_text()
    assert page.count("<img") == 6
    assert "http" not in page
    repaired = Index.load(out.with_name("index.repaired.parquet"))
    assert find_leaks(repaired.all_rows()) == []
    assert repaired.table.height == 27
    assert not out.exists()


def test_no_patient_is_named_in_what_is_written(tmp_path: Path) -> None:
    rows = [row(f"s{n}", group="Doe^Jane", split=("train", "test")[n % 2], cluster=n) for n in range(4)]
    GivenSplitLeaks(rows, find_leaks(rows), Index.of(rows)).write(tmp_path / "run")
    for name in ("run.leaks.csv", "run.leaks.html"):
        assert "Doe" not in (tmp_path / name).read_text()


def test_every_study_that_leaks_is_in_a_pair() -> None:
    rows = [row(f"s{n}", group=f"g{n // 4}", split=("train", "test")[n % 2], cluster=n) for n in range(12)]
    pairs = pairs_across(rows)
    assert {pair.other for pair in pairs} == {f"s{n}" for n in range(1, 12, 2)}
    assert {pair.study for pair in pairs} == {"s0", "s4", "s8"}


def test_copies_are_told_before_patients(tmp_path: Path) -> None:
    """Those among one patient's studies, too."""
    side = ("train", "test")
    rows = [row(f"p{n}", group=f"g{n // 2}", split=side[n % 2], cluster=n) for n in range(8)]
    rows += [row(f"c{n}", group=f"h{n // 2}", split=side[n % 2], cluster=20 + n // 2) for n in range(8)]
    leaks = find_leaks(rows)
    copies = [leak.why == "the same or nearly the same picture" for leak in pairs_across(rows)]
    assert copies == [True] * 4 + [False] * 4
    assert [leak.why for leak in leaks[:4]] == ["the same or nearly the same picture"] * 4
    error = GivenSplitLeaks(rows, leaks, Index.of(rows))
    assert "(4 clusters and 8 patients, some tied to each other)" in str(error)
    shown = [line for line in str(error).splitlines() if ": one patient" in line or "same picture" in line]
    assert ["same picture" in line for line in shown] == [True] * 4 + [False]


def test_an_accepted_leak_keeps_the_split_and_is_told(tmp_path: Path) -> None:
    data = _leaky(tmp_path / "data")
    index = build_index([data], accept_leak=True)
    given = [r for r in index.rows() if r.study.startswith("test/")]
    assert len(given) == 11
    assert {r.split for r in given} == {"test"}
    assert {r.split for r in index.rows() if r.study.startswith("train/")} == {"train", "validation"}
    leak = index.accepted_leak
    assert leak is not None
    assert (leak.patients, leak.clusters) == (0, 3)
    assert leak.studies["test"] <= 3
    assert str(leak) in index.notes
    index.save(tmp_path / "i.parquet")
    assert Index.load(tmp_path / "i.parquet").accepted_leak == leak
    assert build_index([data], repair=True).accepted_leak is None


def test_an_index_with_an_accepted_leak_is_still_refused(tmp_path: Path) -> None:
    build_index([_leaky(tmp_path / "data")], accept_leak=True).save(tmp_path / "i.parquet")
    with pytest.raises(GivenSplitLeaks):
        build_index([tmp_path / "i.parquet"])
    assert build_index([tmp_path / "i.parquet"], accept_leak=True).accepted_leak is not None


def test_accepting_where_nothing_leaks_says_nothing(tmp_path: Path) -> None:
    for n in range(12):
        picture(tmp_path / ("train", "test")[n % 2] / "ab"[n // 6] / f"{n}.png", n)
    index = build_index([tmp_path], accept_leak=True)
    assert index.accepted_leak is None
    assert not any("LEAK" in note for note in index.notes)


def test_parts_of_a_divided_patient_stay_where_they_were_and_strays_go_to_train() -> None:
    rows = [row(f"s{n}", group=f"g{n % 5}", split=("train", "validation", "test")[n % 3], cluster=n) for n in range(30)]
    rows.append(replace(row("stray", group="g0"), cluster=99))
    sides, _ = freeze(rows, seed=0, fractions=(0.7, 0.15, 0.15), accept=True)
    assert sides[:30] == [r.split for r in rows[:30]]
    assert sides[30] == "train"


def test_an_accepted_leak_in_words() -> None:
    said = str(AcceptedLeak(2, 1, {"validation": 0, "test": 5}))
    assert "2 patients" in said
    assert "5 test" in said


def test_sites_on_both_sides_are_said(tmp_path: Path) -> None:
    lines = ["image,label,site,split"]
    for n in range(24):
        path = picture(tmp_path / f"{n}.png", n)
        lines.append(
            f"{path.name},{'ab'[n % 2]},{('x', 'y', 'z')[n % 3]},{'test' if n % 3 == 2 or n > 20 else 'train'}"
        )
    (tmp_path / "d.csv").write_text("\n".join(lines))
    assert any("2 of 3 sites are in train and in test" in note for note in build_index([tmp_path / "d.csv"]).notes)
