"""The rules between rooms hold, and each of them can fail: one forbidden import per rule is planted and found."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
LAYERS = next(contract["layers"] for contract in CONTRACTS if contract["type"] == "layers")

BREACHES = {
    "Rooms import only from rooms above them": ("secondread.formats", "secondread.index"),
    "models is pure torch": ("secondread.models", "secondread.store"),
    "infer never imports store or index": ("secondread.infer", "secondread.store"),
    "serve never imports what trains": ("secondread.serve", "secondread.train"),
}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """import-linter over the copy in ``folder``. Not the package on the path: the working folder comes first there."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rooms")
    shutil.copy(ROOT / "pyproject.toml", folder)
    shutil.copytree(ROOT / "src" / "secondread", folder / "secondread", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_every_rule_has_a_breach() -> None:
    assert sorted(BREACHES) == sorted(contract["name"] for contract in CONTRACTS)


def test_every_room_has_its_place() -> None:
    rooms = {path.name for path in (ROOT / "src" / "secondread").iterdir() if (path / "__init__.py").exists()}
    assert {f"secondread.{room}" for room in rooms} <= set(LAYERS)


def test_the_rooms_as_they_are_keep_the_rules(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout
    for name in BREACHES:
        assert f"{name} KEPT" in done.stdout


@pytest.mark.parametrize("name", BREACHES)
def test_a_planted_breach_is_found(name: str, copy: Path) -> None:
    importer, imported = BREACHES[name]
    planted = copy / importer.replace(".", "/") / "planted.py"
    planted.write_text(f"import {imported}\n")
    try:
        done = lint(copy)
    finally:
        planted.unlink()
    assert done.returncode != 0
    assert f"{name} BROKEN" in done.stdout
    assert f"{importer}.planted" in done.stdout
