"""What the package shows to others, what it costs to ask it for help, and what lint keeps out of it."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "secondread"
ROOMS = sorted(path.parent.name for path in SOURCE.glob("*/__init__.py"))

HEAVY = ("torch", "monai", "polars", "matplotlib", "SimpleITK", "highdicom", "nilearn", "sklearn", "faiss", "fastapi")

BANNED = {
    "loading weights that unpickle": "import torch\n\nweights = torch.load('x')\n",
    "saving weights that pickle": "import torch\n\ntorch.save({}, 'x')\n",
    "pickle": "import pickle\n\nx = pickle.loads(b'')\n",
    "a name out of pickle": "from pickle import loads\n\nx = loads(b'')\n",
    "printing": "print('x')\n",
    "assert for input": "def f(x: int) -> int:\n    assert x > 0\n    return x\n",
}


def room(name: str) -> ModuleType:
    return importlib.import_module(f"secondread.{name}")


@pytest.mark.parametrize("name", [*ROOMS, "errors"])
def test_public_names_exist_and_are_sorted(name: str) -> None:
    module = room(name)
    names = getattr(module, "__all__", None)
    assert names, f"secondread.{name} names nothing in __all__"
    assert [n for n in names if not hasattr(module, n)] == []
    # As ruff sorts them: constants, then classes, then functions.
    assert names == sorted(names, key=lambda n: (0 if n.isupper() else 1 if n[0].isupper() else 2, n))
    assert module.__doc__


def test_help_is_light() -> None:
    code = (
        "import sys\n"
        "from secondread.cli import main\n"
        "sys.argv = ['secondread', '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "sys.exit(f'--help imports {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "train" in done.stdout


def ruff(content: str) -> subprocess.CompletedProcess[str]:
    """ruff with the project's rules over ``content`` as if it were a file of the package."""
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--stdin-filename", str(SOURCE / "planted.py"), "-"]
    return subprocess.run(command, input=content, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)


def test_lint_lets_good_code_pass() -> None:
    done = ruff('"""Nothing to see."""\n')
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("case", BANNED)
def test_lint_finds_what_is_banned(case: str) -> None:
    done = ruff(BANNED[case])
    assert done.returncode == 1, done.stdout
    assert re.search(r"\b(TID251|S301|T201|S101)\b", done.stdout)


def test_nothing_is_left_for_later() -> None:
    unfinished = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "raise NotImplemented" + "Error")))
    left = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted(
            [*SOURCE.rglob("*.py"), *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
        )
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if unfinished.search(line)
    ]
    assert left == []
