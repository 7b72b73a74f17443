"""A short run of :mod:`tests.store.harm`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.store.harm import damage_stores, fill_disks


def test_damage_is_never_silent(tmp_path: Path) -> None:
    counts = damage_stores(tmp_path, 60)
    assert counts["silent"] == 0
    assert counts["refused"] > 0
    assert counts["named"] > 0


def test_a_full_disk_leaves_nothing_half_done(tmp_path: Path) -> None:
    assert fill_disks(tmp_path, [1, 2, 3, 5, 9]) == {"clean": 5}


def test_killed_packers_leave_nothing_broken() -> None:
    command = [sys.executable, "-m", "tests.store.harm", "--kills", "6", "--damages", "0", "--full", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert '"broken"' not in done.stdout
    assert '"completed"' in done.stdout


@pytest.mark.slow
def test_much_harm() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.store.harm"], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[2], timeout=3000,
    )  # fmt: skip
    assert not any(word in done.stdout for word in ("silent", "broken", "unclean", "past"))
