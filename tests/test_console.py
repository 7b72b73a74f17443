"""What progress says where stderr is a file."""

from __future__ import annotations

import pytest

from secondread.console import Progress


def test_the_time_left_follows_from_what_was_done_since_it_was_watched(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([100.0, 160.0])
    with Progress() as progress:
        monkeypatch.setattr("time.monotonic", lambda: next(clock))
        progress("packing", 400, 1000)  # by an earlier run
        progress("packing", 520, 1000)
        monkeypatch.undo()
    # 120 in a minute: 480 take four.
    assert "packing: 52 %, 2.0 a second, 4 min left" in capsys.readouterr().err
