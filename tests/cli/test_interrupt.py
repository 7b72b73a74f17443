"""Ctrl-C in the middle of every verb: exit code 130, how to go on, nothing half-written, and going on works.

The signal is a real SIGINT, raised by the process itself at a known point of its work.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Ended, Secondread, unfinished

Interrupt = Callable[..., Ended]


@pytest.fixture(autouse=True)
def _listening() -> Iterator[None]:
    """A shell that starts the tests in the background has them, and all that they start, ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch, secondread: Secondread) -> Interrupt:
    """``interrupted("room.module.name", 2, words...)``: the command, with Ctrl-C at the second call of that name."""

    def run(target: str, call: int, *words: object) -> Ended:
        module, _, name = target.rpartition(".")
        owner: Any = __import__("importlib").import_module(module)
        original, calls = getattr(owner, name), 0

        def struck(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == call:
                # Not before the main thread, if this is another, has gone to wait: one that is interrupted while it
                # starts threads forgets the newest, and in a test no process ends and takes that with it.
                time.sleep(0.05)
                signal.raise_signal(signal.SIGINT)
            return original(*arguments, **named)

        with monkeypatch.context() as patch:
            patch.setattr(owner, name, struck)
            done = secondread(*words, code=130)
        assert f"{words[0]} was interrupted" in done.err
        return done

    return run


def test_simulate(interrupted: Interrupt, tmp_path: Path, secondread: Secondread) -> None:
    words = ("simulate", tmp_path / "sim", "--studies", 3, "--spacing", 8, "--contrast", "t1")
    assert "Run it again" in interrupted("secondread.simulate.write.write_mask", 2, *words).err
    assert unfinished(tmp_path) == []
    assert not (tmp_path / "sim" / "labels.csv").exists(), "written last"
    secondread(*words)


@pytest.mark.parametrize("where", ["build.cluster", "build.inspect", "table.write_whole"])
def test_index(where: str, interrupted: Interrupt, shapes: Path, tmp_path: Path, secondread: Secondread) -> None:
    words = ("index", shapes, "-o", tmp_path / "i.parquet")
    assert "run it again" in interrupted(f"secondread.index.{where}", 1, *words).err
    assert list(tmp_path.iterdir()) == []
    secondread(*words)


def test_pack(interrupted: Interrupt, heads: Path, tmp_path: Path, secondread: Secondread) -> None:
    words = ("pack", heads / "labels.csv", tmp_path / "store", "--spacing", 8)
    assert "finished studies are kept" in interrupted("secondread.store.packing._prepare_row", 4, *words).err
    assert unfinished(tmp_path) == []
    assert "no finished store" in secondread("pack", "--verify", tmp_path / "store", code=3).err
    secondread(*words)
    secondread("pack", "--verify", tmp_path / "store")


def test_train_goes_on_where_it_was(
    interrupted: Interrupt, shapes: Path, tmp_path: Path, secondread: Secondread
) -> None:
    run = tmp_path / "a run"
    words = ("train", shapes, "-o", run, "--size", 32, "--epochs", 3)
    done = interrupted("secondread.train.loop.save_checkpoint", 2, *words)
    assert f"secondread train -o '{run}' --resume" in done.err, "quoted, to be copied into a shell"
    assert unfinished(run) == []
    assert not (run / "model").exists()
    assert len((run / "history.jsonl").read_text().splitlines()) == 1
    assert "kept: epoch" in secondread("train", "-o", run, "--resume").err
    secondread("train", shapes, "-o", tmp_path / "whole", "--size", 32, "--epochs", 3)
    one, two = ((folder / "model" / "weights.safetensors").read_bytes() for folder in (run, tmp_path / "whole"))
    assert one == two, "an interrupted run ends with the same weights"


@pytest.mark.parametrize(("where", "resumes"), [("index.build.cluster", False), ("store.packing._prepare_row", True)])
def test_train_before_its_first_epoch(
    where: str, resumes: bool, interrupted: Interrupt, shapes: Path, tmp_path: Path, secondread: Secondread
) -> None:
    words = ("train", shapes, "-o", tmp_path / "run", "--size", 32, "--epochs", 1)
    done = interrupted(f"secondread.{where}", 1, *words)
    assert ("--resume" in done.err) == resumes
    assert ("run it again" in done.err) != resumes
    secondread(*(("train", "-o", tmp_path / "run", "--resume") if resumes else words))


def test_evaluate(interrupted: Interrupt, picture_run: Path, tmp_path: Path, secondread: Secondread) -> None:
    words = ("evaluate", picture_run, "-o", tmp_path / "report")
    assert "Run it again" in interrupted("secondread.infer.reader.predict", 2, *words).err
    assert list((tmp_path / "report").iterdir()) == []
    secondread(*words)


def test_compare(interrupted: Interrupt, shapes: Path, tmp_path: Path, secondread: Secondread) -> None:
    words = ("compare", shapes, "-o", tmp_path / "c", "--optimizer", "adam,sgd", "--epochs", 1, "--size", 32)
    done = interrupted("secondread.train.loop.save_checkpoint", 2, *words)
    assert "finished runs are kept" in done.err
    assert unfinished(tmp_path) == []
    again = secondread(*words)
    assert "training with adam" not in again.err
    assert "training with sgd" in again.err


def test_read_keeps_what_was_read(
    interrupted: Interrupt, picture_run: Path, shapes: Path, tmp_path: Path, secondread: Secondread
) -> None:
    words = ("read", picture_run, shapes / "dark", "-o", tmp_path / "out")
    done = interrupted("secondread.infer.reader.predict", 3, *words)
    assert f"is in {tmp_path / 'out'}" in done.err
    findings = json.loads((tmp_path / "out" / "findings.json").read_text())
    assert len(findings) == 2
    assert all((tmp_path / "out" / finding["mask"]).is_file() for finding in findings)
    assert unfinished(tmp_path) == []
    secondread(*words)


def test_export(interrupted: Interrupt, picture_run: Path, tmp_path: Path) -> None:
    words = ("export", picture_run, "-o", tmp_path / "bundle")
    assert "Run it again" in interrupted("secondread.infer.export._onnx", 1, *words).err
    assert list((tmp_path / "bundle").iterdir()) == []


def test_demo(interrupted: Interrupt, tmp_path: Path) -> None:
    done = interrupted("secondread.demo.write_studies", 1, "demo", "-o", tmp_path / "demo", "--studies", 4)
    assert "Run it again" in done.err


def test_doctor(interrupted: Interrupt) -> None:
    interrupted("secondread.doctor.examine", 1, "doctor")


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)


def test_serve_ends_in_peace(picture_run: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "secondread.cli", "serve", str(picture_run), "--port", str(port)]

    def answers() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    with (tmp_path / "said").open("w+") as said, subprocess.Popen(words, stdout=said, stderr=said) as server:
        try:
            wait_for(answers)
            server.send_signal(signal.SIGINT)
            assert server.wait(30) in (0, 130)
        finally:
            server.kill()
    assert "Traceback" not in (tmp_path / "said").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["index", "train", "read"])
def test_at_any_moment(verb: str, shapes: Path, picture_run: Path, tmp_path: Path) -> None:
    """As from a keyboard, at whatever moment: while modules are loaded, in a thread, between two files."""
    words: dict[str, list[object]] = {
        "index": ["index", shapes, "-o"],
        "train": ["train", shapes, "--size", 32, "--epochs", 500, "-o"],
        "read": ["read", picture_run, shapes, "-o"],
    }
    for step in range(8):
        out = tmp_path / f"{step}"
        line = [sys.executable, "-c", "from secondread.cli import main; print('on', flush=True); main()"]
        line += [str(word) for word in [*words[verb], out]]
        with subprocess.Popen(
            line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.05 + 0.6 * step)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
        assert process.returncode in (0, 130), (step, said)
        assert "Traceback" not in said, (step, said)
        assert unfinished(tmp_path) == []
