from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from secondread.evaluate import evaluate
from secondread.evaluate.audit import audit_shortcuts
from secondread.evaluate.judged import Classes, Judged
from secondread.evaluate.sites import leave_one_site_out
from secondread.evaluate.subgroups import by_subgroup, properties_of

from .fakes import FakeReader, moved, spec, write_pictures, write_run
from .test_splitgap import SIDE, guessing, patients

CLASSES = Classes(("glioma", "meningioma"), None)


def judged(name: str, right: bool, group: str | None = None) -> Judged:
    said = {"glioma": 0.9, "meningioma": 0.1} if right else {"glioma": 0.2, "meningioma": 0.8}
    return Judged(name, group or name, "glioma", "glioma", None, None, None, said, said, None)


def test_a_site_where_the_model_fails_is_called_worse_and_a_small_one_too_small() -> None:
    names = [f"s{n}" for n in range(60)]
    answers = [judged(name, right=n < 30 or n % 10 == 0) for n, name in enumerate(names)]
    site = {name: "good" if n < 30 else "bad" if n < 55 else "tiny" for n, name in enumerate(names)}
    lines = {line.value: line for line in by_subgroup(answers, CLASSES, {"site": site})}
    assert lines["good"].verdict == "no worse to be seen"
    assert lines["bad"].verdict == "worse: accuracy"
    assert lines["tiny"].verdict == "too few patients to say"
    assert lines["bad"].figures["accuracy"].n == 25
    assert lines["bad"].figures["accuracy"].value == pytest.approx(sum(n % 10 == 0 for n in range(30, 55)) / 25)


def test_a_part_drawn_at_random_is_seldom_called_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secondread.evaluate.intervals.DRAWS", 200)
    generator, worse = np.random.default_rng(0), 0
    for _ in range(60):
        answers = [judged(f"s{n}", right=bool(generator.random() < 0.8)) for n in range(80)]
        part = {f"s{n}": str(generator.choice(["a", "b"])) for n in range(80)}
        worse += sum("accuracy" in line.worse for line in by_subgroup(answers, CLASSES, {"part": part}))
    # Of 120 parts 2.5 in 100 look worse by chance.
    assert worse <= 8


def test_a_site_like_the_others_seldom_loses_or_gains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secondread.evaluate.intervals.DRAWS", 200)
    monkeypatch.setattr("secondread.evaluate.quick.answers", guessing(0.7))
    rows = [moved(row, site="AB"[n // 2 % 2]) for n, row in enumerate(patients(60, 1, signal=0.0))]
    said = [line.verdict for seed in range(40) for line in leave_one_site_out(rows, seed=seed).lines]
    assert len(said) == 80
    assert sum(verdict != "no difference to be seen" for verdict in said) <= 9


def test_a_subgroups_area_rests_on_its_rarer_kind() -> None:
    generator, kinds = np.random.default_rng(0), Classes((), "normal")
    answers = []
    for n in range(60):
        ill = n < 3 if n < 30 else bool(n % 2)
        presence = float(np.clip(generator.normal(0.6 if ill else 0.4, 0.2), 0, 1))
        answers.append(Judged(f"s{n}", f"s{n}", None, None, ill, "unsure", presence, {}, {}, None))
    side = {f"s{n}": "few ill" if n < 30 else "half" for n in range(60)}
    figures = {line.value: line.figures["presence AUC"] for line in by_subgroup(answers, kinds, {"side": side})}
    assert (figures["few ill"].note or "").startswith("3 groups only")
    assert figures["half"].note is None


def test_a_property_with_one_value_is_none() -> None:
    assert by_subgroup([judged("a", True), judged("b", False)], CLASSES, {"site": {"a": "x", "b": "x"}}) == []


def test_properties_in_bands(tmp_path: Path) -> None:
    rows = write_pictures(tmp_path, 4)
    answers = [judged(row.study, True, row.group) for row in rows]
    rows = [moved(row, site=("A", "B")[n % 2]) for n, row in enumerate(rows)]
    volume = [moved(row, spacing=(1.0, 1.0, float(1 + n % 3))) for n, row in enumerate(rows)]
    found = properties_of(answers, volume, {row.study: 4000.0 * (1 + 9 * (n % 2)) for n, row in enumerate(rows)}, {})
    assert set(found["site"].values()) == {"A", "B"}
    assert set(found["coarsest spacing"].values()) == {"1 mm", "2 mm", "3 mm"}
    # 4,000 mm³ is a ball of 19.7 mm, 40,000 mm³ one of 42.4 mm.
    assert set(found["lesion"].values()) == {"10 to 20 mm", "40 mm and above"}
    areas = properties_of(answers, rows, {row.study: 10.0 * n for n, row in enumerate(rows)}, {})["lesion"]
    assert len(set(areas.values())) == 3


def test_sex_and_age_of_headers_are_subgroups_and_a_table_goes_before_them(tmp_path: Path) -> None:
    rows = [moved(row, sex=("male", "female")[n % 2], age=30 + 40 * (n % 2)) for n, row in enumerate(
        write_pictures(tmp_path, 4))]  # fmt: skip
    answers = [judged(row.study, True, row.group) for row in rows]
    found = properties_of(answers, rows, {}, {})
    assert set(found["sex"].values()) == {"male", "female"}
    assert set(found["age"].values()) == {"18 to 39", "65 and above"}
    told = {row.study: ("F", "M")[n % 2] for n, row in enumerate(rows)}
    assert properties_of(answers, rows, {}, {"sex": told})["sex"] == told
    assert "sex" not in properties_of(answers, [moved(row, sex="male") for row in rows], {}, {})


def test_one_site_left_out() -> None:
    """At site B the classes look the other way round: inside it can be learned, from outside it cannot."""
    rows = []
    for row in patients(80, 1, signal=80.0):
        at_b = int(row.group[1:]) % 4 > 1
        grey = np.frombuffer(row.thumbprint, np.uint8).copy()
        if at_b:
            grey = (255 - grey).astype(np.uint8)
            grey[:SIDE] = 255
        rows.append(moved(row, site="B" if at_b else "A", thumbprint=grey.tobytes()))
    lines = {line.site: line for line in leave_one_site_out(rows).lines}
    assert lines["B"].inside.value > 0.85
    assert lines["B"].outside.value < 0.7
    assert lines["B"].verdict == "loses on a site not seen"
    assert lines["B"].loss.value == pytest.approx(lines["B"].inside.value - lines["B"].outside.value)
    assert leave_one_site_out([moved(row, site="A") for row in rows]).blocked == "fewer than two sites are known"
    assert leave_one_site_out([moved(row, site=None) for row in rows]).blocked == "no site is known"


def test_a_site_that_gives_the_class_away(tmp_path: Path) -> None:
    rows = [moved(row, site="clinic" if row.normal else "ward") for row in write_pictures(tmp_path, 24)]
    found = audit_shortcuts(rows)
    site = {line.label: line for line in found.controls if line.control == "site"}
    assert site["no_tumor"].figure.value == 1
    assert site["no_tumor"].verdict == "gives it away"
    assert "by their site alone" in next(s for s in found.sentences if s.startswith("The no_tumor pictures"))
    assert found.normal_differs
    mixed = [moved(row, site="AB"[n // 2 % 2]) for n, row in enumerate(rows)]
    fair = next(line for line in audit_shortcuts(mixed).controls if line.control == "site")
    assert not fair.separates
    assert fair.verdict == "no better than chance"


def test_subgroups_stand_in_the_report(tmp_path: Path) -> None:
    rows = [moved(row, site=("A", "B")[n // 2 % 2]) for n, row in enumerate(write_pictures(tmp_path / "data", 12))]
    table = tmp_path / "people.csv"
    table.write_text("group,sex\n" + "\n".join(f"{row.group},{'FM'[n // 2 % 2]}" for n, row in enumerate(rows)))
    run = write_run(tmp_path / "R", rows)
    reader = FakeReader(spec(("glioma", "meningioma"), "no_tumor"))
    report = evaluate(run, tmp_path / "E", reader=reader, about=table)
    content = json.loads((tmp_path / "E" / "metrics.json").read_text(encoding="utf-8"))
    assert {line["property"] for line in content["subgroups"]} >= {"site", "sex", "lesion"}
    text = report.read_text(encoding="utf-8")
    assert "sex: F" in text
    assert "too few patients to say" in text
    assert "Leave one site out" in text
