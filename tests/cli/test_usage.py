"""Commands that ask for what cannot be: exit code 2, in a line that says what to ask for instead."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Secondread


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--optimizer", "adamm"], "adamm"),
        (["--loss", "mse"], "mse"),
        (["--network", "vgg"], "vgg"),
        (["--epochs", "0"], "epochs"),
        (["--minutes", "-3"], "minutes"),
        (["--batch", "0"], "batch"),
        (["--learning-rate", "0"], "learning_rate"),
        (["--memory-mib", "0"], "memory_mib"),
        (["--error-rate", "0.5"], "error_rate"),
        (["--implant", "2"], "implant"),
        (["--size", "8"], "32"),
        (["--spacing", "2"], "spacing is for volumes"),
        (["--seed", "-1"], "seed"),
        (["--device", "tpu"], "auto, cpu and cuda"),
        (["--plan", "absent.yaml"], "absent.yaml"),
    ],
)
def test_a_setting_that_cannot_be(
    words: list[str], said: str, shapes: Path, tmp_path: Path, secondread: Secondread
) -> None:
    done = secondread("train", shapes, "-o", tmp_path / "run", *words, code=2)
    assert said in done.err
    assert not (tmp_path / "run" / "plan.json").exists(), "the next try may use the same folder"


def test_size_is_not_for_volumes(heads: Path, tmp_path: Path, secondread: Secondread) -> None:
    done = secondread("train", heads / "labels.csv", "-o", tmp_path / "run", "--size", 64, code=2)
    assert "size is for pictures" in done.err


@pytest.mark.parametrize("verb", ["index", "read", "train", "compare"])
def test_an_empty_name_is_not_the_current_folder(verb: str, secondread: Secondread) -> None:
    assert "an empty name" in secondread(verb, "", code=2).err


def test_no_verb_wants_nothing(secondread: Secondread, tmp_path: Path) -> None:
    assert "name the data" in secondread("train", code=2).err
    assert "name the data" in secondread("pack", tmp_path / "store", code=2).err
    for verb in ("index", "compare", "read", "evaluate", "export", "serve", "simulate"):
        assert "Missing argument" in secondread(verb, code=2).err


def test_a_run_that_exists_is_not_trained_over(shapes: Path, picture_run: Path, secondread: Secondread) -> None:
    before = (picture_run / "plan.json").read_bytes()
    done = secondread("train", shapes, "-o", picture_run, code=2)
    assert "--resume" in done.err
    assert "reading scans" not in done.err, "said before the data are read"
    assert (picture_run / "plan.json").read_bytes() == before


def test_there_must_be_a_run_to_resume(tmp_path: Path, secondread: Secondread) -> None:
    done = secondread("train", "--resume", "-o", tmp_path / "none", code=2)
    assert "train without --resume" in done.err
    assert not (tmp_path / "none").exists()


def test_a_budget_for_no_epoch_makes_no_model(shapes: Path, tmp_path: Path, secondread: Secondread) -> None:
    done = secondread("train", shapes, "-o", tmp_path / "run", "--size", 32, "--minutes", 1e-5, code=2)
    assert "--minutes" in done.err
    assert not (tmp_path / "run" / "model").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--optimizer", "adam"], "at least two"),
        (["--optimizer", "adam,zzz"], "zzz"),
        (["--optimizer", ""], "at least two"),
        (["--loss", "bce,mse"], "mse"),
        (["--network", "unet,vgg"], "vgg"),
        (["--learning-rate", "0.1,fast"], "fast"),
        (["--learning-rate", "0.001..0.1"], "--search"),
        (["--seeds", "30"], "120 runs: 4 optimizers x 30 seeds are more than 100"),
        (["--epochs", "0"], "epochs"),
    ],
)
def test_what_cannot_be_compared(
    words: list[str], said: str, shapes: Path, tmp_path: Path, secondread: Secondread
) -> None:
    done = secondread("compare", shapes, "-o", tmp_path / "c", *words, code=2)
    assert said in done.err
    assert "reading scans" not in done.err, "said before the data are read"
    assert not (tmp_path / "c").exists()


def test_a_network_that_cannot_learn_is_refused_before_the_first_run(
    shapes: Path, tmp_path: Path, secondread: Secondread
) -> None:
    words = ("compare", shapes, "-o", tmp_path / "c", "--size", 32, "--network", "segresnet,unet")
    assert "32 x 32 to one cell" in secondread(*words, code=2).err
    assert not (tmp_path / "c").exists()


def test_a_search_without_optuna(
    shapes: Path, tmp_path: Path, secondread: Secondread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    done = secondread("compare", shapes, "-o", tmp_path / "c", "--search", 5, code=2)
    assert "pip install 'secondread[search]'" in done.err
    assert "reading scans" not in done.err
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--studies", "0"], "0 studies"),
        (["--spacing", "99"], "99"),
        (["--normal", "7"], "between 0 and 1"),
        (["--contrast", "ct"], "t1"),
        (["--seed", "-1"], "seed"),
    ],
)
def test_what_cannot_be_simulated(words: list[str], said: str, tmp_path: Path, secondread: Secondread) -> None:
    assert said in secondread("simulate", tmp_path / "s", *words, code=2).err


def test_simulate_writes_over_nothing(tmp_path: Path, secondread: Secondread) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    assert "thesis.tex" in secondread("simulate", tmp_path, "--studies", 1, code=2).err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_where_a_folder_is_needed(
    shapes: Path, picture_run: Path, tmp_path: Path, secondread: Secondread
) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("x")
    scan = shapes / "dark" / "p00.png"
    for place in (file, file / "below"):
        for words in (
            ["simulate", place, "--studies", 1, "--spacing", 8],
            ["pack", shapes, place, "--size", 32],
            ["train", shapes, "-o", place],
            ["compare", shapes, "-o", place],
            ["read", picture_run, scan, "-o", place],
            ["evaluate", picture_run, "-o", place],
            ["export", picture_run, "-o", place],
        ):
            assert "notes.txt" in secondread(*words, code=2).err
    assert "notes.txt" in secondread("index", shapes, "-o", file / "i.parquet", code=2).err
    assert "it is a folder" in secondread("index", shapes, "-o", tmp_path, code=2).err
    assert file.read_text() == "x"


def test_a_reading_never_lands_among_the_scans(shapes: Path, picture_run: Path, secondread: Secondread) -> None:
    before = {path: path.read_bytes() for path in shapes.rglob("*.png")}
    done = secondread("read", picture_run, shapes / "dark", "-o", shapes / "dark", code=2)
    assert "name another folder" in done.err
    assert {path: path.read_bytes() for path in shapes.rglob("*.png")} == before


def test_a_training_that_has_not_ended_says_how_to_end_it(shapes: Path, tmp_path: Path, secondread: Secondread) -> None:
    run = tmp_path / "run"
    secondread("train", shapes, "-o", run, "--size", 32, "--minutes", 1e-5, code=2)
    assert "--resume" in secondread("read", run, shapes, "-o", tmp_path / "o", code=3).err
    assert "--resume" in secondread("train", "--resume", "-o", run, "--normal", "dark", code=2).err


@pytest.mark.parametrize(("name", "value"), [("width", 0), ("width", -8), ("seed", 2**63), ("memory_mib", 1)])
def test_what_torch_could_not_bear(name: str, value: int, shapes: Path, tmp_path: Path, secondread: Secondread) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(f"{name}: {value}\nsize: 32\n")
    done = secondread("train", shapes, "-o", tmp_path / "run", "--plan", plan, code=2)
    assert name.partition("_")[0] in done.err
