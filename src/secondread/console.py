"""What a person sees while a command works, and how it ends. Progress goes to stderr; stdout is for answers."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from secondread.discreet import printable, veiled
from secondread.errors import ResourceError, SecondreadError, is_out_of_memory
from secondread.files import named_by_user

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells expect it."""

LINE_EVERY_SECONDS = 15.0
"""Where stderr is a file and not a terminal, progress is a line at least this far apart."""


COUNTED = ("packing", "simulate", "judging", "reading")
"""Work that goes study by study, and whose rate is worth knowing."""


class Progress:
    """Shows how far long work is and how much time is left.

    Called as ``progress(what, done, total)``. On a terminal a bar, elsewhere a line now and then.
    """

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._console = Console(stderr=True)
        self._bar = Bar(
            TextColumn("{task.description:<34}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None, visible=False)
        self._stage, self._began, self._last_line, self._first = "", 0.0, 0.0, 0

    def __call__(self, what: str, done: int, total: int) -> None:
        stage = what.split(",")[0].rstrip("0123456789 ")
        now = time.monotonic()
        if stage != self._stage:
            # What was done before the first call, by an earlier run or stage, says nothing of the pace.
            self._stage, self._began, self._last_line, self._first = stage, now, now, done
            self._bar.reset(self._task)
        if self._console.is_terminal:
            self._bar.update(self._task, description=what, completed=done, total=total, visible=True)
        elif now - self._last_line > LINE_EVERY_SECONDS or done >= total > 0:
            self._last_line = now
            seconds, since = now - self._began, done - self._first
            left = seconds * (total - done) / since if since else 0.0
            share = f": {100 * done // total} %{_rate(what, since, seconds)}{_left(left)}" if total > 0 else ""
            sys.stderr.write(f"{what}{share}\n")
            sys.stderr.flush()

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._bar.stop()


@contextmanager
def ending(verb: str, hint: str | Callable[[], str] = "") -> Iterator[None]:
    """Turn whatever stops ``verb`` into a message on stderr and its exit code.

    ``hint`` is added after Ctrl-C: what to do to go on. A function is asked then, and not before.
    """
    try:
        yield
    except SecondreadError as error:
        notes = "".join(f"\n  {note}" for note in getattr(error, "__notes__", ()))
        _fail(f"{error}{notes}", error.exit_code)
    except KeyboardInterrupt:
        _fail(f"{verb} was interrupted. {hint() if callable(hint) else hint}".rstrip(), INTERRUPTED)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        _fail(
            f"{verb} ran out of memory: a smaller batch (--batch) or a coarser grid (--spacing) needs less",
            ResourceError.exit_code,
        )
    except OSError as error:
        if error.strerror is None:
            raise
        where = "" if error.filename is None else f" ({named_by_user(str(error.filename))})"
        _fail(f"{verb}: {error.strerror}{where}", ResourceError.exit_code)


def say(text: str = "") -> None:
    """One line for the person, or several, on stderr."""
    sys.stderr.write(_shown(text) + "\n")
    sys.stderr.flush()


def answer(value: Any) -> None:
    """One JSON object on stdout, and nothing else there."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def figure_line(figure: dict[str, Any]) -> str:
    """A figure of ``metrics.json`` with its interval."""
    if figure["value"] is None:
        return "-"
    if figure["low"] is None:
        return f"{figure['value']:.3f} (one group: no interval)"
    interval = f"{figure['low']:.3f} to {figure['high']:.3f}"
    return f"{figure['value']:.3f} ({interval}; {figure['n']} in {figure['groups']} groups)"


def outcome_line(run: Path) -> str:
    """What the epoch reached whose model the run kept, from ``history.jsonl``."""
    lines = (run / "history.jsonl").read_text(encoding="utf-8").splitlines()
    history = [json.loads(line) for line in lines]
    kept = [line for line in history if line["best"]][-1]
    figures = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in kept["validation"].items())
    return f"kept: epoch {kept['epoch']} of {len(history)}, on the validation split: {figures}"


def _fail(message: str, code: int) -> None:
    sys.stderr.write(f"error: {_shown(message)}\n")
    raise SystemExit(code)


def _shown(text: str) -> str:
    return "\n".join(map(printable, veiled(text).split("\n")))


def _rate(what: str, done: int, seconds: float) -> str:
    """Studies per second or minute, where studies are what is counted."""
    if what not in COUNTED or not done or seconds < 1:
        return ""
    rate = done / seconds
    return f", {rate:.1f} a second" if rate >= 1 else f", {60 * rate:.1f} a minute"


def _left(seconds: float) -> str:
    if seconds < 1:
        return ""
    return f", {seconds:.0f} s left" if seconds < 100 else f", {seconds / 60:.0f} min left"
