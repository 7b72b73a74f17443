"""``read`` where no model is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from secondread.infer.starter import WARNING
from secondread.simulate import Settings, write_studies

from .conftest import Secondread


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = Settings(spacing=6.0, contrasts=("t1", "flair"))
    return write_studies(tmp_path_factory.mktemp("heads") / "sim", 1, 3, settings).parent


def test_a_picture_and_a_volume_are_read_by_the_starter_which_says_so(
    secondread: Secondread, shapes: Path, heads: Path, tmp_path: Path
) -> None:
    scan = next(heads.glob("*/*_t1.nii.gz"))
    done = secondread("read", shapes / "dark" / "p00.png", scan, "-o", tmp_path / "out", "--json")
    found = json.loads(done.out)["findings"]
    assert len(found) == 2
    assert all(one["model"]["name"] == "starter" and one["warnings"][0] == WARNING for one in found)
    assert "starter model" in done.err
    assert all((tmp_path / "out" / one["mask"]).exists() for one in found)


def test_a_model_without_scans_is_a_usage_error(secondread: Secondread, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "plan.json").write_text("{}")
    done = secondread("read", tmp_path / "run", code=2)
    assert "name the scans" in done.err
    missing = secondread("read", tmp_path / "nothing", "-o", tmp_path / "out", code=3)
    assert "nothing" in missing.err
