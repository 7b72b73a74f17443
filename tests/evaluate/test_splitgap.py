from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from secondread.evaluate import quick
from secondread.evaluate.splitgap import split_gap
from secondread.index import Index, Row, build_index

from .fakes import moved

SIDE = 24


def patients(count: int, slices: int, signal: float, seed: int = 0) -> list[Row]:
    """Simulated patients of two classes, ``slices`` studies each: thumbprints are an anatomy that all slices of a
    patient share, noise, and a mark of the class of strength ``signal``."""
    generator = np.random.default_rng(seed)
    mark = generator.normal(0, 1, (SIDE, SIDE))
    rows = []
    for patient in range(count):
        label = ("glioma", "meningioma")[patient % 2]
        anatomy = generator.normal(0, 30, (SIDE, SIDE)) + signal * mark * (patient % 2)
        for at in range(slices):
            grey = 128 + anatomy + generator.normal(0, 12, (SIDE, SIDE))
            rows.append(
                Row(
                    f"p{patient}_{at}",
                    f"p{patient}",
                    "csv",
                    (Path(f"/p{patient}_{at}.png"),),
                    ("image",),
                    label=label,
                    kind="picture",
                    thumbprint=grey.clip(0, 255).astype(np.uint8).tobytes(),
                    sha256=f"{patient}{at}",
                    cluster=patient * slices + at,
                )
            )
    return rows


def by_picture(rows: list[Row], seed: int = 1) -> list[Row]:
    generator = np.random.default_rng(seed)
    return [moved(row, split=str(generator.choice(["train", "test"], p=[0.75, 0.25]))) for row in rows]


def guessing(share: float) -> Callable[..., NDArray[np.str_]]:
    """In the place of ``quick.answers``: right as often as ``share``, whoever was seen."""
    generator = np.random.default_rng(0)

    def answers(_: object, labels: NDArray[np.str_], __: object, judge: NDArray[np.intp], ___: int) -> NDArray[np.str_]:
        return np.where(generator.random(len(judge)) < share, labels[judge], "")

    return answers


def test_patients_known_again_are_the_whole_of_a_leaky_figure() -> None:
    """With no signal at all but the patients themselves, the leaky figure is near 1 and the honest one near a coin."""
    gap = split_gap(Index.of(by_picture(patients(40, 8, signal=0.0))))
    assert gap.given
    assert gap.tied > 0.9
    assert gap.leaky is not None
    assert gap.honest is not None
    assert gap.gap is not None
    assert gap.leaky.value > 0.95
    assert gap.honest.low < 0.5 < gap.honest.high
    assert gap.gap.low > 0.2
    assert gap.gap.value == pytest.approx(gap.leaky.value - gap.honest.value)
    (sentence,) = gap.sentences
    assert sentence.startswith("The split that came with the data claims")
    assert "patients known again" in sentence


def test_a_reader_that_knows_nobody_again_shows_no_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secondread.evaluate.intervals.DRAWS", 200)
    monkeypatch.setattr("secondread.evaluate.quick.answers", guessing(0.7))
    index = Index.of(by_picture(patients(40, 4, signal=0.0)))
    gaps = [split_gap(index, seed=seed).gap for seed in range(60)]
    assert sum(gap is not None and gap.low > 0 for gap in gaps) <= 5
    assert all(gap is not None and gap.low < gap.high for gap in gaps)


def test_a_real_signal_survives_an_honest_split() -> None:
    gap = split_gap(Index.of(by_picture(patients(40, 6, signal=60.0))))
    assert gap.honest is not None
    assert gap.honest.value > 0.95
    assert "no difference that these studies can show" in gap.sentences[0]


def test_without_a_given_split_one_by_study_is_drawn() -> None:
    rows = patients(30, 5, signal=0.0)
    gap = split_gap(Index.of(rows))
    assert not gap.given
    assert "would claim" in gap.sentences[0]
    clean = [moved(row, split="test" if row.group in ("p0", "p1", "p2", "p3") else "train") for row in rows]
    assert not split_gap(Index.of(clean)).given


def test_one_study_each_leaks_nothing() -> None:
    gap = split_gap(Index.of(patients(40, 1, signal=0.0)))
    assert gap.leaky is None
    assert "hardly a patient has several studies" in (gap.blocked or "")
    one = [moved(row, label="glioma") for row in patients(10, 4, signal=0.0)]
    assert "two classes" in (split_gap(Index.of(one)).blocked or "")
    assert split_gap(Index.of([moved(row, label=None) for row in one])).blocked is not None


def test_near_duplicates_count_as_one_patient() -> None:
    """Patients unknown, copies known: the cluster alone ties them."""
    rows = [moved(row, group=row.study, cluster=int(row.group[1:])) for row in patients(30, 5, signal=0.0)]
    gap = split_gap(Index.of(by_picture(rows)))
    assert gap.honest is not None
    assert gap.leaky is not None
    assert gap.leaky.value - gap.honest.value > 0.2


def test_same_rows_same_gap_and_large_sets_are_sampled_by_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = by_picture(patients(20, 5, signal=0.0))
    assert split_gap(Index.of(rows)) == split_gap(Index.of(rows))
    monkeypatch.setattr(quick, "MAX_STUDIES", 50)
    some = quick.sampled(rows, 0)
    assert 0 < len(some) <= 55
    counts = {row.group: sum(r.group == row.group for r in some) for row in some}
    assert set(counts.values()) == {5}


def test_a_split_that_was_mended_is_remembered_and_shown(tmp_path: Path) -> None:
    leaky = Index.of(by_picture(patients(20, 5, signal=0.0)))
    leaky.save(tmp_path / "leaky.parquet")
    mended = build_index([tmp_path / "leaky.parquet"], repair=True)
    mended.save(tmp_path / "mended.parquet")
    again = Index.load(tmp_path / "mended.parquet")
    assert again.given_split == {row.study: row.split for row in leaky.rows()}
    gap = split_gap(again)
    assert gap.given
    assert gap.leaky == split_gap(leaky).leaky
    assert build_index([tmp_path / "mended.parquet"]).given_split == again.given_split
