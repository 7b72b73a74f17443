"""Training from an index to a model: it learns, it resumes to the same bits, it never leaves a broken checkpoint."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from secondread.errors import ChecksumError, DataError, ResourceError, UsageError
from secondread.index import Index, build_index
from secondread.infer import load_model
from secondread.train import OPTIMIZERS, loop, open_packed, pack_data, plan_for, train
from secondread.train.checkpoint import State, epochs_done, load_checkpoint, save_checkpoint
from secondread.train.loop import new_state, schedule, spent
from secondread.train.plan import Plan
from secondread.train.planning import make_plan

QUICK = {"size": 48, "width": 8, "batch": 8}


def weights(run: Path) -> bytes:
    return (run / "model" / "weights.safetensors").read_bytes()


def test_it_learns_to_tell_shapes_apart(pictures: Index, tmp_path: Path) -> None:
    train(pictures, tmp_path / "run", overrides={**QUICK, "epochs": 20, "samples": 64})
    history = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in history] == list(range(1, 21))
    assert history[-1]["train"]["loss"] < 0.7 * history[0]["train"]["loss"]
    assert max(line["validation"]["accuracy"] for line in history) >= 0.75
    assert sum(line["best"] for line in history) >= 1
    assert load_model(tmp_path / "run").spec.categories == ("cross", "disc")


def test_volumes_with_masks_and_normals_give_a_located_model(volumes: Index, tmp_path: Path) -> None:
    train(volumes, tmp_path / "run", overrides={"epochs": 2, "samples": 8, "width": 8})
    spec = load_model(tmp_path / "run").spec
    assert spec.task.located
    assert spec.normal == "normal"
    assert spec.recipe.channels == ("t1", "flair")
    history = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert {"loss", "accuracy", "dice"} <= history[-1]["validation"].keys()
    assert "research aid" in (tmp_path / "run" / "model" / "CARD.md").read_text()


class Killed(BaseException):
    """What no handler of ours expects."""


def cut_and_resume(data: Index, run: Path, overrides: Mapping[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Train, die right after the second checkpoint, go on."""
    calls = []

    def die_after_the_second(folder: Path, state: State) -> None:
        save_checkpoint(folder, state)
        calls.append(folder)
        if len(calls) == 2:
            raise Killed

    monkeypatch.setattr(loop, "save_checkpoint", die_after_the_second)
    with pytest.raises(Killed):
        train(data, run, overrides=overrides)
    assert not (run / "model").exists()
    monkeypatch.undo()
    said: list[str] = []
    train(None, run, resume=True, say=said.append)
    assert "goes on after epoch 2" in said


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_interrupted_run_resumes_to_the_same_bits(
    pictures: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    overrides = {**QUICK, "epochs": 3, "samples": 24, "optimizer": optimizer}
    train(pictures, tmp_path / "whole", overrides=overrides)
    cut_and_resume(pictures, tmp_path / "cut", overrides, monkeypatch)
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")


@pytest.mark.parametrize("more", [{}, {"dimensions": 2, "spacing": 6.0, "samples": 16, "implant": 0.5}])
def test_an_interrupted_run_on_volumes_resumes_to_the_same_bits(
    volumes: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, object]
) -> None:
    overrides = {"epochs": 3, "samples": 4, "width": 8, **more}
    train(volumes, tmp_path / "whole", overrides=overrides)
    cut_and_resume(volumes, tmp_path / "cut", overrides, monkeypatch)
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")


def test_from_a_store_packed_before_it_learns_the_same(pictures: Index, tmp_path: Path) -> None:
    train(pictures, tmp_path / "direct", overrides={**QUICK, "epochs": 1})
    packed = pack_data(pictures, tmp_path / "store", plan_for(pictures, {"size": QUICK["size"]}))
    train(packed, tmp_path / "run", overrides={"width": 8, "batch": 8, "epochs": 1})
    assert weights(tmp_path / "run") == weights(tmp_path / "direct")
    assert not (tmp_path / "run" / "store").exists()
    train(None, tmp_path / "run", resume=True)
    assert not (tmp_path / "run" / "store").exists()
    with pytest.raises(UsageError, match="size was settled"):
        train(open_packed(tmp_path / "store"), tmp_path / "other", overrides={"size": 64})


def test_a_run_that_never_learned_can_be_begun_anew(pictures: Index, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="MiB"):
        train(pictures, tmp_path / "run", overrides={**QUICK, "epochs": 1, "memory_mib": 1})
    train(pictures, tmp_path / "run", overrides={**QUICK, "epochs": 1})
    assert weights(tmp_path / "run")


@pytest.mark.slow
def test_kill_nine_then_resume(tmp_path: Path) -> None:
    from tests.train.conftest import draw_pictures

    data = draw_pictures(tmp_path / "shapes")
    command = [
        sys.executable,
        "-m",
        "secondread.cli",
        "train",
        str(data),
        "--size",
        "48",
        "--epochs",
        "6",
        "--batch",
        "8",
    ]
    subprocess.run([*command, "-o", str(tmp_path / "whole")], check=True, capture_output=True)
    process = subprocess.Popen([*command, "-o", str(tmp_path / "cut")], stderr=subprocess.DEVNULL)
    latest = tmp_path / "cut" / "checkpoints" / "latest.json"
    while not latest.exists():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    resume = [sys.executable, "-m", "secondread.cli", "train", "--resume", "-o", str(tmp_path / "cut")]
    subprocess.run(resume, check=True, capture_output=True)
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")


def test_a_run_is_not_overwritten(pictures: Index, tmp_path: Path) -> None:
    train(pictures, tmp_path / "run", overrides={**QUICK, "epochs": 1})
    with pytest.raises(UsageError, match="--resume"):
        train(pictures, tmp_path / "run", overrides={**QUICK, "epochs": 1})
    with pytest.raises(UsageError, match="no run"):
        train(None, tmp_path / "nothing", resume=True)


def test_a_finished_run_resumes_to_itself(pictures: Index, tmp_path: Path) -> None:
    train(pictures, tmp_path / "run", overrides={**QUICK, "epochs": 1})
    before = weights(tmp_path / "run")
    said: list[str] = []
    train(None, tmp_path / "run", resume=True, say=said.append)
    assert weights(tmp_path / "run") == before
    assert any("all of 1 epoch" in line for line in said)


def test_an_index_of_other_studies_is_no_runs_own(pictures: Index, volumes: Index, tmp_path: Path) -> None:
    train(pictures, tmp_path / "run", overrides={**QUICK, "epochs": 1})
    volumes.save(tmp_path / "run" / "index.parquet")
    with pytest.raises(ChecksumError, match="not what the store was packed from"):
        train(None, tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("transplant", 7, "a share of 0 to 1, got 7"),
        ("batch", "x", "batch: "),
        ("batch", 0, "batch must be above 0"),
        ("loss", "none", "none"),
    ],
)
def test_a_plan_file_that_cannot_be_is_refused(
    pictures: Index, tmp_path: Path, field: str, value: object, said: str
) -> None:
    content = json.loads(make_plan(pictures, QUICK).to_bytes())
    (tmp_path / "plan.json").write_text(json.dumps(content | {field: value}))
    with pytest.raises(DataError, match=r"plan\.json is damaged, or no plan of this release") as error:
        Plan.load(tmp_path / "plan.json")
    assert said in str(error.value)
    assert "http" not in str(error.value)


@pytest.mark.parametrize("value", ["[1]", '"a"', "null"])
def test_an_epoch_that_is_no_number_is_damage(pictures: Index, tmp_path: Path, value: str) -> None:
    save_checkpoint(tmp_path, new_state(make_plan(pictures, QUICK), "cpu"))
    latest = tmp_path / "latest.json"
    assert '"epoch": 0' in latest.read_text()
    latest.write_text(latest.read_text().replace('"epoch": 0', f'"epoch": {value}'))
    with pytest.raises(ChecksumError, match="is damaged; remove"):
        epochs_done(tmp_path)


def test_a_damaged_checkpoint_is_refused(pictures: Index, tmp_path: Path) -> None:
    train(pictures, tmp_path / "run", overrides={**QUICK, "epochs": 1})
    (file,) = (tmp_path / "run" / "checkpoints").glob("*.safetensors")
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(ChecksumError):
        train(None, tmp_path / "run", resume=True)


def test_a_full_disk_keeps_the_checkpoint_before(
    pictures: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(pictures, QUICK)
    state = new_state(plan, "cpu")
    state.progress.epoch = 1
    save_checkpoint(tmp_path, state)

    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    state.progress.epoch = 2
    with pytest.raises(ResourceError, match="disk is full"):
        save_checkpoint(tmp_path, state)
    monkeypatch.undo()
    again = new_state(plan, "cpu")
    assert load_checkpoint(tmp_path, again)
    assert again.progress.epoch == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["epoch-00000001.safetensors", "latest.json"]


def test_the_schedule_rises_falls_and_ends() -> None:
    rates = [schedule(t / 100) for t in range(101)]
    assert max(rates) == pytest.approx(1)
    assert rates[0] < 0.1
    assert rates[-1] < 0.02
    assert rates.index(max(rates)) <= 5


def test_whichever_budget_is_used_up_first_ends_the_run(pictures: Index) -> None:
    plan = make_plan(pictures, {**QUICK, "minutes": 2, "epochs": 10})
    assert spent(plan, 5, 0) == pytest.approx(0.5)
    assert spent(plan, 0, 60) == pytest.approx(0.5, abs=0.03)
    assert spent(plan, 0, 120) == 1
    assert spent(plan, 10, 0) == 1


def test_minutes_are_kept(pictures: Index, tmp_path: Path) -> None:
    began = time.monotonic()
    train(pictures, tmp_path / "run", overrides={**QUICK, "minutes": 0.1})
    assert (tmp_path / "run" / "model" / "manifest.json").exists()
    assert time.monotonic() - began < 40


def test_a_plan_comes_back_as_it_was_saved(pictures: Index, tmp_path: Path) -> None:
    plan = make_plan(pictures, {**QUICK, "optimizer": "rmsprop", "minutes": 3})
    plan.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json") == plan
    (tmp_path / "plan.json").write_text('{"task": 1}')
    with pytest.raises(DataError, match="no plan"):
        Plan.load(tmp_path / "plan.json")


@pytest.mark.parametrize(
    ("overrides", "match"),
    [
        ({"optimizer": "newton"}, "rmsprop"),
        ({"loss": "hinge"}, "dice-bce"),
        ({"epochs": 0}, "above 0"),
        ({"minutes": -1}, "above 0"),
        ({"size": 8}, "below 32"),
        ({"colour": "blue"}, "no colour"),
        ({"batch": "many"}, "batch"),
        ({"batch": 1.5}, "batch must be a whole number"),
        ({"start": "warm"}, "start is cold or starter"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(pictures: Index, overrides: dict[str, object], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        make_plan(pictures, overrides)


def test_the_plan_follows_the_data(pictures: Index, volumes: Index) -> None:
    flat, solid = make_plan(pictures), make_plan(volumes)
    assert flat.recipe.channels == ("red", "green", "blue")
    assert flat.task.normal is None
    assert not flat.network.decoder
    assert flat.loss == "bce"
    assert solid.recipe.spacing == (6.0, 6.0, 6.0)
    assert solid.network.decoder
    assert solid.loss == "dice-bce"
    assert all(n % 16 == 0 for n in solid.patch)


def test_a_contrast_that_one_class_lacks_is_left_out(volumes: Index) -> None:
    rows = [
        replace(row, images=row.images[:1], contrasts=row.contrasts[:1]) if row.normal else row
        for row in volumes.rows()
    ]
    plan = make_plan(Index.of(rows, []))
    assert plan.recipe.channels == ("t1",)
    assert any("flair" in reason for reason in plan.reasons)


def test_a_store_packed_anew_is_not_gone_on_with(pictures: Index, tmp_path: Path) -> None:
    packed = pack_data(pictures, tmp_path / "store", plan_for(pictures, {"size": QUICK["size"]}))
    train(packed, tmp_path / "run", overrides={"width": 8, "batch": 8, "epochs": 1})
    rows = [replace(row, split="train") if row.split == "test" else row for row in pictures.all_rows()]
    other = Index.of(rows)
    pack_data(other, tmp_path / "store", plan_for(other, {"size": QUICK["size"]}))
    with pytest.raises(ChecksumError, match="packed anew"):
        train(None, tmp_path / "run", resume=True)


def test_scans_out_of_reach_change_nothing_of_a_run_that_goes_on(tmp_path: Path) -> None:
    from tests.train.conftest import draw_pictures

    data = draw_pictures(tmp_path / "shapes")
    train(build_index([data]), tmp_path / "run", overrides={**QUICK, "epochs": 1})
    before, spec = weights(tmp_path / "run"), (tmp_path / "run" / "store" / "spec.json").read_bytes()
    data.rename(tmp_path / "elsewhere")
    train(None, tmp_path / "run", resume=True)
    assert weights(tmp_path / "run") == before
    assert (tmp_path / "run" / "store" / "spec.json").read_bytes() == spec


def test_a_class_that_packing_lost_is_named(tmp_path: Path) -> None:
    from tests.train.conftest import draw_pictures

    data = draw_pictures(tmp_path / "shapes")
    index = build_index([data])
    for row in index.rows():
        if row.label == "disc":
            row.images[0].write_bytes(b"no picture any more")
    with pytest.raises(DataError, match="no study of 'disc' could be packed"):
        train(index, tmp_path / "run", overrides={**QUICK, "epochs": 1})


def test_rprop_begins_at_the_planned_rate(pictures: Index, tmp_path: Path) -> None:
    train(pictures, tmp_path / "run", overrides={**QUICK, "epochs": 2, "optimizer": "rprop"})
    lines = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert [line["learning_rate"] for line in lines] == [OPTIMIZERS["rprop"].learning_rate] * 2


def test_a_resumed_optimizer_has_the_memory_layout_of_its_parameters(volumes: Index, tmp_path: Path) -> None:
    train(volumes, tmp_path / "run", overrides={"epochs": 1, "samples": 4, "width": 8})
    state = new_state(Plan.load(tmp_path / "run" / "plan.json"), "cpu")
    assert load_checkpoint(tmp_path / "run" / "checkpoints", state)
    pairs = [(p, state.optimizer.state[p]["exp_avg"]) for p in state.network.parameters() if p.ndim == 5]
    assert pairs
    assert all(p.stride() == average.stride() for p, average in pairs)
