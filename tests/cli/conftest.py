"""The command line as a new user has it, and the smallest data on which every verb does its work."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from secondread.cli import app
from tests.index.makers import picture

Secondread = Callable[..., "Ended"]


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code and what it said on stdout and stderr."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    for name in [name for name in os.environ if name.startswith("SECONDREAD_")]:
        monkeypatch.delenv(name)


def command(*arguments: object, code: int = 0) -> Ended:
    """Run ``secondread arguments`` in this process; it must end with ``code`` and never with a traceback."""
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise AssertionError(f"{arguments} ended with a traceback:\n{done.stderr}") from done.exception
    assert done.exit_code == code, f"{arguments} ended with {done.exit_code}:\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return Ended(done.exit_code, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def secondread() -> Secondread:
    return command


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per class, grey: bright pictures and dark ones, 9 of each."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    for n in range(18):
        picture(folder / ("dark", "bright")[n % 2] / f"p{n:02d}.png", n)
    return folder


@pytest.fixture(scope="session")
def picture_run(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "pictures"
    command("train", shapes, "-o", run, "--epochs", 1, "--size", 32)
    return run


@pytest.fixture(scope="session")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulated T1 heads of 8 mm with masks, half of them normal."""
    folder = tmp_path_factory.mktemp("data") / "heads"
    command("simulate", folder, "--studies", 12, "--spacing", 8, "--contrast", "t1", "--seed", 3)
    return folder


@pytest.fixture(scope="session")
def volume_run(heads: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "volumes"
    command("train", heads / "labels.csv", "-o", run, "--epochs", 1, "--spacing", 8, "--batch", 4)
    return run


@dataclass(frozen=True)
class Disk:
    """A mounted disk of its own."""

    folder: Path

    def fill(self, leave: int = 0) -> None:
        """Fill it but for about ``leave`` bytes."""
        free = shutil.disk_usage(self.folder).free - leave
        with (self.folder / "filler").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free)

    def free(self) -> None:
        (self.folder / "filler").unlink()

    def freeze(self) -> None:
        """From now on nothing can be written to it."""
        subprocess.run(["mount", "-o", "remount,ro", str(self.folder)], check=True)


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Disk]:
    folder.mkdir()
    command_line = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command_line, capture_output=True, check=False).returncode:
        pytest.skip("NOT TESTED: no right to mount a small disk here; run the tests as root to have it tested")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk of 192 MiB: three checkpoints of a small run fit."""
    with mounted(tmp_path / "disk", "192m") as made:
        yield made


def unfinished(folder: Path) -> list[str]:
    """Files and folders below ``folder`` that a half-done write left."""
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix in (".part", ".partial", ".tmp")]
