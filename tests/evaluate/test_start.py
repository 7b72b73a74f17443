"""What the report says of a run that began with the starter model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from secondread.evaluate import evaluate

from .fakes import FakeReader, spec, write_pictures, write_run
from .test_evaluate import ABNORMAL


def begin(run: Path, start: str, **changes: object) -> None:
    plan = json.loads((run / "plan.json").read_text(encoding="utf-8")) | {"start": start} | changes
    (run / "plan.json").write_text(json.dumps(plan), encoding="utf-8")


def said(run: Path, skill: float) -> str:
    page = evaluate(run, run / "evaluation", reader=FakeReader(spec(ABNORMAL, "no_tumor"), skill))
    return page.read_text(encoding="utf-8")


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    rows = write_pictures(tmp_path / "data", 24)
    return write_run(tmp_path / "warm", rows), write_run(tmp_path / "frost", rows)


def test_the_gain_over_the_same_training_begun_cold_is_told_with_its_interval(pair: tuple[Path, Path]) -> None:
    warm, frost = pair
    begin(warm, "starter")
    begin(frost, "cold", reasons=["another"])
    alone = said(warm, 1.0)
    assert "What that gained is not known" in alone
    assert "warm-cold" in alone
    assert "starter model" not in said(frost, 0.0)
    page = said(warm, 1.0)
    assert "Against the same training begun cold (frost)" in page
    assert "Accuracy +" in page


def test_a_run_of_another_plan_is_no_twin(pair: tuple[Path, Path]) -> None:
    warm, frost = pair
    begin(warm, "starter")
    begin(frost, "cold", optimizer="sgd-of-another-plan")
    said(frost, 0.0)
    assert "What that gained is not known" in said(warm, 1.0)
    (frost / "plan.json").write_text("[1]")
    assert "What that gained is not known" in said(warm, 1.0)


def test_a_folder_that_may_not_be_entered_is_no_twin(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    warm, frost = pair
    begin(warm, "starter")
    own = Path.is_file

    def refuse(path: Path) -> bool:
        if frost in path.parents:
            raise PermissionError(13, "Permission denied", str(path))
        return own(path)

    monkeypatch.setattr(Path, "is_file", refuse)
    assert "What that gained is not known" in said(warm, 1.0)
