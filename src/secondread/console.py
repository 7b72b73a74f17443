"""What a person sees while a command works, and how it ends. Progress goes to stderr; stdout is for answers."""

from __future__ import annotations

import errno
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from secondread.errors import ResourceError, SecondreadError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells expect it."""

LINE_EVERY_SECONDS = 15.0
"""Where stderr is a file and not a terminal, progress is a line at least this far apart."""


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
        self._stage, self._began, self._last_line = "", 0.0, 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        stage = what.split(",")[0].rstrip("0123456789 ")
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._began, self._last_line = stage, now, 0.0
            self._bar.reset(self._task)
        if self._console.is_terminal:
            self._bar.update(self._task, description=what, completed=done, total=total, visible=True)
        elif now - self._last_line > LINE_EVERY_SECONDS or done >= total > 0:
            self._last_line = now
            left = (now - self._began) * (total - done) / done if done else 0.0
            sys.stderr.write(f"{what}: {100 * done // max(1, total)} %{_left(left)}\n")
            sys.stderr.flush()

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


@contextmanager
def ending(verb: str, hint: str = "") -> Iterator[None]:
    """Turn whatever stops ``verb`` into a message on stderr and its exit code.

    ``hint`` is added after Ctrl-C: what to do to go on.
    """
    try:
        yield
    except SecondreadError as error:
        notes = "".join(f"\n  {note}" for note in getattr(error, "__notes__", ()))
        _fail(f"{error}{notes}", error.exit_code)
    except KeyboardInterrupt:
        _fail(f"{verb} was interrupted. {hint}".rstrip(), INTERRUPTED)
    except MemoryError:
        _fail(f"{verb} ran out of memory: a smaller batch (--batch) or a coarser grid (--spacing) needs less", 5)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        where = f" ({error.filename})" if error.filename else ""
        _fail(f"{verb}: {error.strerror}{where}", ResourceError.exit_code)


def say(text: str = "") -> None:
    """One line for the person, on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def answer(value: Any) -> None:
    """One JSON object on stdout, and nothing else there."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _fail(message: str, code: int) -> None:
    sys.stderr.write(f"error: {message}\n")
    raise SystemExit(code)


def _left(seconds: float) -> str:
    if seconds < 1:
        return ""
    return f", {seconds:.0f} s left" if seconds < 100 else f", {seconds / 60:.0f} min left"
