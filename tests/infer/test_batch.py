"""Many studies to a folder: one that cannot be read costs no other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from secondread.discreet import HIDDEN
from secondread.index import studies_in
from secondread.infer import Outcome, Reader, Reading, outcome_words, read_all
from secondread.infer.batch import KEY_NAME
from secondread.infer.starter import WARNING
from secondread.volume import Study
from tests.index.makers import picture
from tests.infer.test_predict import network_of, picture_spec


class Faulty(Reader):
    """Fails in a way that nobody foresaw on a picture wider than high."""

    def read(self, study: Study) -> Reading:
        if study.picture is not None and study.picture.pixels.shape[1] > study.picture.pixels.shape[0]:
            raise ValueError("nobody foresaw this")
        return super().read(study)


def test_a_fault_and_a_strange_name_cost_no_other_study(tmp_path: Path) -> None:
    spec = picture_spec()
    for name, size in (("1", (40, 40)), ("2", (40, 60)), ("3\n4", (40, 40)), ("5", (60, 40))):
        picture(tmp_path / "in" / f"{name}.png", len(name), size, colour=True)
    reader = Faulty(spec, network_of(spec), "0" * 64)
    outcome = read_all(reader, studies_in([tmp_path / "in"]), tmp_path / "out")
    assert len(outcome.findings) == 3
    (error,) = outcome.errors
    assert error["study"] == "2"
    assert "a fault in secondread" in error["error"]
    assert "ValueError: nobody foresaw this" in error["error"]
    assert json.loads((tmp_path / "out" / "errors.json").read_text()) == outcome.errors
    assert len(list((tmp_path / "out").glob("*_mask.png"))) == 3, "and nothing of the one that failed"
    line, *more = outcome_words(outcome, tmp_path / "out")
    assert line.startswith("not read: 2: ")
    assert not any("not read" in other or "hidden" in other for other in more)
    assert len(more) == 3, "those that were read, one by one; of no decision there is nothing to count"
    assert np.isfinite([c["probability"] for f in outcome.findings for c in f["categories"]]).all()


def test_decisions_are_counted_and_warnings_told_once_with_the_scans_that_carry_them(tmp_path: Path) -> None:
    def found(study: str, decision: str | None, *warnings: str) -> dict[str, object]:
        presence = None if decision is None else {"probability": 0.5, "decision": decision}
        kinds = [{"name": "glioma", "probability": 0.25}, {"name": "ms", "probability": 0.75}]
        return {"study": study, "presence": presence, "warnings": warnings, "categories": kinds}

    names = [f"scan-{n}" for n in range(5)]
    outcome = Outcome([found(name, "unsure", WARNING, "looks like a knee") for name in names])
    outcome.findings += [found("a", "abnormal", WARNING), found("b", "normal", "no t2")]
    assert outcome_words(outcome, tmp_path) == [
        "1 abnormal, 1 normal, 5 unsure",
        "warning: scan-0, scan-1, scan-2 and 2 more: looks like a knee",
        "warning: b: no t2",
    ]
    assert outcome_words(Outcome([found("cat", None)]), tmp_path) == ["cat: ms (0.75)"]
    assert outcome_words(Outcome([found("a", "abnormal"), found("c", "unsure"), found("b", "normal")]), tmp_path) == [
        "a: abnormal (0.50), ms (0.75)",
        "c: unsure (0.50), if so, ms (0.75)",
        "b: normal (0.50)",
        "1 abnormal, 1 normal, 1 unsure",
    ]
    hidden = outcome_words(Outcome([found(f"{HIDDEN}1", "normal", "no t2")]), tmp_path)
    assert hidden[-1] == f"{tmp_path / KEY_NAME} says which file a hidden name stands for"
    many = Outcome([found(f"s{n}", "normal", f"{n} voxels were mended") for n in range(500)])
    told = outcome_words(many, tmp_path)
    assert len(told) == 12
    assert told[-1] == "and 490 other warnings, which findings.json has"
