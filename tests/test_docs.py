"""The documentation keeps its word: commands parse, links lead somewhere, what it runs runs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from PIL import Image

from secondread.cli import app

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DRAW = ROOT / "docs" / "draw_cats_and_dogs.py"

MAX_IMAGES_BYTES = 700_000
"""Of all images in docs: a clone stays small."""

_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_USAGE_WORD = re.compile(r"^\[.*|^\.\.\.$|.*\|.*")


def commands(text: str) -> Iterator[str]:
    """Every ``secondread VERB ...`` of a page: in code blocks, where a backslash goes on, and between backticks."""
    joined = text.replace("\\\n", " ")
    for line in joined.splitlines():
        stripped = line.strip().removeprefix("$ ")
        if stripped.startswith("secondread "):
            yield from stripped.split("#")[0].split("&&")
    for code in _INLINE.findall(_FENCE.sub("", joined)):
        if code.startswith("secondread "):
            yield code


def fault(command: str) -> str | None:
    """What is wrong with a command line: an unknown verb or option, or arguments that do not parse; None if nothing.

    The commands are held against the same tree that runs them; nothing runs, and paths need not exist.
    """
    words = [word for word in shlex.split(command)[1:] if not _USAGE_WORD.match(word)]
    tree = typer.main.get_command(app)
    verbs = getattr(tree, "commands")  # noqa: B009 (typer's own Group has it, the annotated base does not)
    if words and words[0].startswith("-"):
        return None if words[0] in ("--help", "-h", "--version") else f"no option {words[0]}"
    if not words or words[0] not in verbs:
        return f"no verb {words[:1]}"
    try:
        verbs[words[0]].make_context(words[0], list(words[1:]), resilient_parsing=False)
    except (SystemExit, typer.Exit):
        return None
    except Exception as error:
        # A verb may be named without its arguments in running text; an option that is not there is never right.
        message = str(error) or type(error).__name__
        return None if len(words) == 1 and "issing" in message + type(error).__name__ else message
    return None


FOUND = [
    pytest.param(command.strip(), id=f"{page.relative_to(ROOT)}: {command.strip()}")
    for page in PAGES
    for command in commands(page.read_text(encoding="utf-8"))
]


def test_there_are_commands_to_check() -> None:
    assert len(FOUND) > 15


@pytest.mark.parametrize("command", FOUND)
def test_command_parses(command: str) -> None:
    assert fault(command) is None


@pytest.mark.parametrize(
    "planted",
    [
        "secondread learn pictures",
        "secondread train pictures --optimiser rmsprop",
        "secondread train pictures --epochs many",
        "secondread read run scan.nii --speed 3",
        "secondread --fast",
        "secondread pack --verify",
    ],
)
def test_a_command_that_does_not_parse_is_found(planted: str) -> None:
    assert fault(planted) is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_images_exist(page: Path) -> None:
    links = [link for link in _LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link and link[0] != "#"]
    missing = [link for link in links if not (page.parent / link.split("#")[0]).exists()]
    assert missing == []


def test_images_are_small_and_used() -> None:
    images = [path for path in (ROOT / "docs" / "img").iterdir() if path.is_file()]
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [image.name for image in images if image.name not in text] == []
    assert sum(image.stat().st_size for image in images) < MAX_IMAGES_BYTES


def draw(*arguments: str | Path) -> None:
    command = [sys.executable, str(DRAW), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr


def test_drawing_gives_two_folders_of_colour_pictures(tmp_path: Path) -> None:
    draw(tmp_path / "a", "--each", "3", "--new", "2")
    folders = sorted((tmp_path / "a" / "pictures").iterdir())
    assert [folder.name for folder in folders] == ["cats", "dogs"]
    pictures = sorted((tmp_path / "a").rglob("*.jpg"))
    assert len(pictures) == 3 + 3 + 2
    for path in pictures:
        with Image.open(path) as image:
            image.load()
            assert (image.format, image.mode) == ("JPEG", "RGB")
            assert all(96 <= side <= 160 for side in image.size)
    assert len({path.read_bytes() for path in pictures}) == len(pictures)
    answers = (tmp_path / "a" / "new" / "answers.csv").read_text().splitlines()
    assert answers[0] == "picture,answer"
    assert {line.split(",")[1] for line in answers[1:]} <= {"cats", "dogs"}


def test_drawing_again_gives_the_same_and_more_leaves_the_first(tmp_path: Path) -> None:
    draw(tmp_path / "a", "--each", "2", "--held", "1", "--new", "1")
    draw(tmp_path / "b", "--each", "3", "--held", "1", "--new", "1")
    first = sorted((tmp_path / "a").rglob("*.jpg"))
    assert {path.parts[-3] for path in first} >= {"train", "val", "test"}
    for path in first:
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()
