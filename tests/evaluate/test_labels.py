"""Labels flipped on purpose, and who finds them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from secondread.evaluate import evaluate
from secondread.evaluate.judged import Judged
from secondread.evaluate.labels import FEWEST, confident, find_label_errors
from secondread.index import Index, Row

from .fakes import FakeReader, moved, spec, write_pictures, write_run
from .test_splitgap import patients

OTHER = {"glioma": "meningioma", "meningioma": "glioma"}


def flipped(rows: list[Row], share: float, seed: int) -> tuple[list[Row], set[str]]:
    picked = set(np.random.default_rng(seed).choice(len(rows), round(share * len(rows)), replace=False).tolist())
    out = [moved(row, label=OTHER[row.label or ""]) if n in picked else row for n, row in enumerate(rows)]
    return out, {rows[n].study for n in picked}


def said(row: Row, label: str) -> Judged:
    classes = {label: 0.97, OTHER[label]: 0.03}
    return Judged(row.study, row.group, row.label, row.label, None, None, None, classes, classes, None)


@pytest.mark.parametrize(("signal", "least"), [(0.0, 0.4), (60.0, 0.7)])
def test_three_in_a_hundred_labels_flipped_are_found(signal: float, least: float) -> None:
    """By other studies of the patient where nothing else tells the classes apart, and by the class where that can be
    told."""
    rows, wrong = flipped(patients(60, 8, signal), 0.03, seed=4)
    found = find_label_errors(rows)
    likely, all_of_them = ({s.row.study for s in some} for some in (found.likely, found.suspects))
    assert found.studies == 480
    assert len(wrong & likely) >= least * len(wrong)
    assert len(wrong & likely) >= 0.9 * len(likely)
    assert len(wrong & all_of_them) >= 0.9 * len(wrong)
    assert all(suspect.instead == OTHER[suspect.label] for suspect in found.suspects)
    margins = [suspect.of_instead - suspect.of_label for suspect in found.likely]
    assert margins == sorted(margins, reverse=True)
    assert found.suspects[: len(found.likely)] == found.likely


def test_a_model_that_agrees_with_a_label_clears_it_and_one_that_does_not_confirms() -> None:
    rows, wrong = flipped(patients(60, 8, signal=0.0), 0.06, seed=1)
    alone = find_label_errors(rows)
    truth = {row.study: row.label or "" for row in patients(60, 8, signal=0.0)}
    confirmed = find_label_errors(rows, [said(row, truth[row.study]) for row in rows])
    assert len({s.row.study for s in confirmed.likely} & wrong) > len({s.row.study for s in alone.likely} & wrong)
    cleared = find_label_errors(rows, [said(row, row.label or "") for row in rows])
    assert len(cleared.likely) < len(alone.likely)


def test_what_all_studies_of_a_patient_share_is_not_found() -> None:
    """As the report says."""
    rows = patients(40, 6, signal=0.0)
    rows = [moved(row, label=OTHER[row.label or ""]) if row.group == "p3" else row for row in rows]
    assert "p3" not in {suspect.row.group for suspect in find_label_errors(rows).likely}


def test_a_copy_under_the_same_wrong_label_does_not_speak_for_it() -> None:
    rows = patients(30, 6, signal=60.0)
    twin = moved(rows[0], label="meningioma")
    found = find_label_errors([twin, moved(twin, study="copy"), *rows[1:]])
    assert {suspect.row.study for suspect in found.likely} == {"p0_0", "copy"}


def test_thresholds_by_hand() -> None:
    given = np.array([[0.9, 0.1], [0.7, 0.3], [0.5, 0.5], [0.3, 0.7], [0.45, 0.55]])
    _, margin, likely = confident(given, np.array([0, 0, 1, 1, 0]))
    # Means: (0.9 + 0.7 + 0.45) / 3 = 0.683 and (0.5 + 0.7) / 2 = 0.6. The last one is more probably of the second
    # class, and not as probably as those that bear its label.
    assert np.flatnonzero(margin > 0).tolist() == [4]
    assert not likely.any()
    best, margin, likely = confident(given, np.array([0, 1, 1, 1, 0]))
    # Now 0.675 and 0.5: the second study reaches the first threshold, the last the second one.
    assert np.flatnonzero(likely).tolist() == [1, 4]
    assert margin[[1, 4]] == pytest.approx([0.4, 0.1])
    assert best[[1, 4]].tolist() == [0, 1]


def test_too_little_to_say() -> None:
    assert "two classes" in (find_label_errors([]).blocked or "")
    few = [row for row in patients(20, 2, signal=60.0) if row.label == "glioma" or int(row.group[1:]) < FEWEST - 1]
    assert "two classes" in (find_label_errors(few).blocked or "")
    twin = patients(20, 2, signal=60.0)
    one = next(row for row in twin if row.label == "glioma")
    many = [row for row in twin if row.label != "glioma"] + [moved(one, study=f"copy{n}") for n in range(FEWEST)]
    assert "two classes" in (find_label_errors(many).blocked or ""), "copies of one file are one study"
    clean = find_label_errors(patients(40, 6, signal=90.0))
    assert clean.suspects == ()
    assert clean.sentence.startswith("0 of 240 labels are likely wrong and 0 more doubtful")


def test_a_reader_that_knows_no_better_than_chance_accuses_nobody() -> None:
    rng = np.random.default_rng(3)
    rows = [moved(row, label=list(OTHER)[int(rng.integers(2))], group=row.study) for row in patients(60, 2, signal=0.0)]
    blocked = [one for one in (find_label_errors(rows, seed=seed) for seed in range(6)) if one.blocked]
    assert blocked
    for one in blocked:
        assert one.suspects == ()
        assert f"labels {one.named} of 120 studies as they are" in one.sentence


def test_the_report_draws_them_and_names_nobody(tmp_path: Path) -> None:
    rows = write_pictures(tmp_path / "data", 40)
    prints = {row.label: np.full((48, 48), 40 + 60 * n, np.uint8) for n, row in enumerate(rows[::40])}
    noise = np.random.default_rng(0)
    rows = [
        moved(
            row,
            study=f"ward7/Quastenberg_{n}",
            group=f"Wolkenried_{n // 2}",
            cluster=n,
            thumbprint=(prints[row.label] + noise.integers(0, 9, (48, 48))).astype(np.uint8).tobytes(),
        )
        for n, row in enumerate(rows)
    ]
    rows[3] = moved(rows[3], label="glioma", normal=False)
    run = write_run(tmp_path / "R", rows)
    Index.of(rows).save(run / "index.parquet")
    report = evaluate(run, tmp_path / "E", reader=FakeReader(spec(("glioma", "meningioma"), "no_tumor")))
    page = report.read_text(encoding="utf-8")
    assert "Likely label errors" in page
    assert "labelled glioma" in page
    assert "Quastenberg" not in page
    content = json.loads(report.with_name("metrics.json").read_text(encoding="utf-8"))["label_errors"]
    first = content["likely"][0]
    assert (first["label"], first["instead"]) == ("glioma", "no_tumor")
    lines = list(csv.DictReader(report.with_name("label_errors.csv").read_text(encoding="utf-8").splitlines()))
    assert lines[0]["study"] == "ward7/Quastenberg_3"
    assert lines[0]["report"] == first["study"]
    assert len(lines) == len(content["likely"]) + content["doubtful"]
    assert [line["likely"] for line in lines].count("true") == len(content["likely"])
