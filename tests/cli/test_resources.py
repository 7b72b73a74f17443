"""A full disk and a place without the right to write: exit code 5, in a line, with nothing half-written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from secondread.files import PARTIAL
from secondread.infer import Reader, Reading
from secondread.volume import Study
from tests.cli.conftest import Disk, Secondread, unfinished
from tests.index.makers import picture


def verbs(shapes: Path, picture_run: Path, place: Path) -> list[list[object]]:
    """Every verb that writes, each into a folder of its own below ``place``."""
    return [
        ["index", shapes, "-o", place / "i.parquet"],
        ["pack", shapes, place / "store", "--size", 32],
        ["train", shapes, "-o", place / "run", "--size", 32, "--epochs", 1],
        ["compare", shapes, "-o", place / "compare", "--size", 32, "--epochs", 1],
        ["evaluate", picture_run, "-o", place / "report"],
        ["read", picture_run, shapes / "dark", "-o", place / "findings"],
        ["simulate", place / "sim", "--studies", 1, "--spacing", 8],
    ]


def test_a_full_disk(shapes: Path, picture_run: Path, disk: Disk, secondread: Secondread) -> None:
    disk.fill()
    for words in verbs(shapes, picture_run, disk.folder):
        done = secondread(*words, code=5)
        assert "disk is full" in done.err
        assert str(disk.folder) in done.err
        assert PARTIAL not in done.err, "the name that the user knows, not a temporary one"
    assert unfinished(disk.folder) == []
    left = [path for path in disk.folder.rglob("*") if path.is_file() and path.name != "filler"]
    assert [path for path in left if path.stat().st_size == 0] == []
    disk.free()
    for words in verbs(shapes, picture_run, disk.folder)[:2]:
        secondread(*words)


def test_a_disk_that_fills_up_in_training_and_is_freed(shapes: Path, disk: Disk, secondread: Secondread) -> None:
    disk.fill(leave=1 << 20)  # room for the packed pictures, not for a checkpoint
    run = disk.folder / "run"
    done = secondread("train", shapes, "-o", run, "--size", 32, "--epochs", 2, code=5)
    assert "checkpoints" in done.err
    assert unfinished(run) == []
    assert not (run / "model").exists()
    secondread("read", run, shapes, "-o", disk.folder / "o", code=3)
    disk.free()
    done = secondread("train", "--resume", "-o", run)
    assert "kept: epoch" in done.err


def test_a_disk_that_fills_up_in_reading_keeps_what_was_read(
    shapes: Path, picture_run: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch, secondread: Secondread
) -> None:
    original, count = Reader.read, 0

    def filling(reader: Reader, study: Study) -> Reading:
        nonlocal count
        count += 1
        if count == 3:
            disk.fill(leave=8192)
        return original(reader, study)

    monkeypatch.setattr(Reader, "read", filling)
    out = disk.folder / "out"
    assert "disk is full" in secondread("read", picture_run, shapes / "dark", "-o", out, code=5).err
    assert len(json.loads((out / "findings.json").read_text())) == 2
    assert unfinished(out) == []


def test_a_place_that_cannot_be_written(shapes: Path, picture_run: Path, disk: Disk, secondread: Secondread) -> None:
    disk.freeze()
    for words in verbs(shapes, picture_run, disk.folder):
        done = secondread(*words, code=5)
        assert "read-only" in done.err
        assert str(disk.folder) in done.err


def test_a_place_that_takes_no_file_is_named(shapes: Path, secondread: Secondread) -> None:
    done = secondread("index", shapes, "-o", "/proc/x.parquet", code=5)
    assert done.err.splitlines()[-1] == "error: index: No such file or directory (/proc/x.parquet)"


def test_escape_sequences_in_names_reach_no_terminal(tmp_path: Path, secondread: Secondread) -> None:
    for n in range(4):
        picture(tmp_path / "data" / ("cats", "dogs\x1b[31m")[n % 2] / f"{n}.png", n)
    done = secondread("index", tmp_path / "data", "-o", tmp_path / "i.parquet")
    assert "\x1b" not in done.err
    assert "dogs [31m" in done.err


@pytest.mark.skipif(os.geteuid() == 0, reason="NOT TESTED: root may write anywhere; run as another user to test it")
def test_no_permission(shapes: Path, picture_run: Path, tmp_path: Path, secondread: Secondread) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    for words in verbs(shapes, picture_run, locked):
        done = secondread(*words, code=5)
        assert "permission denied" in done.err.lower()
        assert str(locked) in done.err


def test_what_is_said_where_memory_ends(
    picture_run: Path, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secondread: Secondread
) -> None:
    def too_large(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("secondread.train.loop.apply", too_large)
    done = secondread("train", shapes, "-o", tmp_path / "run", "--size", 32, "--epochs", 1, code=5)
    assert "--batch" in done.err


def test_a_scan_that_memory_does_not_hold_stops_no_other(
    shapes: Path, picture_run: Path, tmp_path: Path, secondread: Secondread, monkeypatch: pytest.MonkeyPatch
) -> None:
    from secondread import infer

    calls, predict = [], infer.predict

    def short_of_memory(*arguments: object, **names: object) -> object:
        calls.append(arguments)
        if len(calls) == 2:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory")
        return predict(*arguments, **names)  # type: ignore[arg-type]

    monkeypatch.setattr("secondread.infer.reader.predict", short_of_memory)
    done = secondread("read", picture_run, shapes / "dark", "-o", tmp_path / "o")
    assert "read 8 of 9" in done.err
    assert "memory does not hold" in done.err
