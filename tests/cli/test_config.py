"""Flags, then the plan's YAML, then ``SECONDREAD_*``, then the user's own file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from secondread.config import settings, whole_number
from secondread.errors import UsageError
from tests.cli.conftest import Secondread

FLAGS = {"optimizer": None, "loss": None, "epochs": None, "batch": None, "seed": None}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own plan, all four settings."""
    folder = tmp_path / "config"
    (folder / "secondread").mkdir(parents=True)
    (folder / "secondread" / "plan.yaml").write_text("optimizer: sgd\nloss: focal\nepochs: 4\nbatch: 4\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    return folder


def test_each_place_yields_to_the_one_before(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("optimizer: rmsprop\nloss: bce\n")
    for name, value in (("OPTIMIZER", "rprop"), ("LOSS", "dice-bce"), ("EPOCHS", "3")):
        monkeypatch.setenv(f"SECONDREAD_{name}", value)
    found = settings({**FLAGS, "optimizer": "adam"}, plan)
    assert found == {"optimizer": "adam", "loss": "bce", "epochs": "3", "batch": 4}


def test_nothing_given_is_nothing_set() -> None:
    assert settings(FLAGS) == {}


def test_an_empty_variable_and_a_foreign_one_are_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECONDREAD_EPOCHS", "")
    monkeypatch.setenv("SECONDREAD_COLOUR", "red")
    assert settings(FLAGS) == {}


def test_an_empty_file_is_no_setting(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text("# nothing yet\n")
    assert settings(FLAGS, tmp_path / "plan.yaml") == {}


@pytest.mark.parametrize(
    ("content", "said"), [(b"- a\n- b\n", "must map"), (b"a: [", "no YAML"), (b"\xff\xfe\x00", "no YAML")]
)
def test_a_file_that_is_no_mapping(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_bytes(content)
    with pytest.raises(UsageError, match=said) as raised:
        settings(FLAGS, tmp_path / "plan.yaml")
    assert "plan.yaml" in str(raised.value)


def test_yaml_runs_no_code(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text("loss: !!python/object/apply:os.system ['touch ran']\n")
    with pytest.raises(UsageError, match="no YAML"):
        settings(FLAGS, tmp_path / "plan.yaml")


@pytest.mark.parametrize("value", ["abc", "-1", None, "1.5"])
def test_what_is_no_whole_number(value: object) -> None:
    with pytest.raises(UsageError, match="seed"):
        whole_number("seed", value)


def test_the_four_places_reach_the_plan(
    home: Path, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secondread: Secondread
) -> None:
    (tmp_path / "plan.yaml").write_text("size: 32\nloss: focal\nseed: 5\n")
    monkeypatch.setenv("SECONDREAD_EPOCHS", "1")
    monkeypatch.setenv("SECONDREAD_LOSS", "bce")
    run = tmp_path / "run"
    secondread("train", shapes, "-o", run, "--plan", tmp_path / "plan.yaml", "--optimizer", "adam")
    plan = json.loads((run / "plan.json").read_text())
    assert plan["recipe"]["size"] == [32, 32]
    assert (plan["optimizer"], plan["loss"], plan["epochs"], plan["batch"]) == ("adam", "focal", 1, 4)
    secondread("index", shapes, "-o", tmp_path / "five.parquet", "--seed", 5)
    from secondread.index import Index

    split, expected = (
        Index.load(path).table["split"].to_list() for path in (run / "index.parquet", tmp_path / "five.parquet")
    )
    assert split == expected, "the seed of a file decides the split too"
