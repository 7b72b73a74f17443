"""The doctor looks at everything, and no patient kills it."""

from __future__ import annotations

import builtins
import dataclasses
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from secondread import doctor
from secondread.doctor import Check
from secondread.testcard import FRAMES


@pytest.fixture(scope="module")
def checks() -> list[Check]:
    return doctor.examine()


def test_every_part_is_looked_at(checks: list[Check]) -> None:
    names = [check.name for check in checks]
    for name in ("Python", "packages", "threads", "CPU", "memory", "temporary folder", "cache folder", "extra serve"):
        assert name in names
    assert any(name.startswith("GPU") for name in names)
    assert sum(name.startswith("DICOM") for name in names) == len(FRAMES)


def test_what_is_installed_here_works(checks: list[Check]) -> None:
    hurt = [check for check in checks if check.status in ("missing", "broken") and not check.name.startswith("extra")]
    assert hurt == []


def test_who_is_not_well_is_told_what_to_do(checks: list[Check]) -> None:
    assert [check for check in checks if check.status != "ok" and not check.advice] == []


def test_render_is_plain_and_counts() -> None:
    text = doctor.render([Check("a", "ok", "fine"), Check("longer", "slow", "hm", "Do this.")])
    assert text.splitlines() == [
        "ok       a       fine",
        "slow     longer  hm",
        "                 -> Do this.",
        "",
        "1 of 2 checks ask for something.",
    ]
    assert "in order" in doctor.render([Check("a", "ok", "fine")])


def test_a_check_that_fails_is_one_broken_line() -> None:
    def raises() -> Iterable[Check]:
        raise OSError("libgomp.so: cannot open\nsecond line")

    (check,) = doctor.guarded("torch", raises)
    assert check.status == "broken"
    assert "libgomp.so" in check.detail
    assert "second" not in check.detail


def test_without_torch_and_without_decoders_the_rest_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name.split(".")[0] in ("torch", "pydicom"):
            raise ImportError(f"no {name} here")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    status = {check.name: check.status for check in doctor.examine()}
    assert status["GPU"] == status["threads"] == "broken"
    assert status[f"DICOM {FRAMES[0].name}"] in ("missing", "broken")
    assert status["Python"] == "ok"


def test_a_decoder_that_errs_is_broken_and_one_that_fails_is_missing() -> None:
    frame = next(frame for frame in FRAMES if frame.name == "RLE")
    assert [check.status for check in doctor.decodes(frame)] == ["ok"]
    assert [check.status for check in doctor.decodes(dataclasses.replace(frame, step=50))] == ["broken"]
    unknown = dataclasses.replace(frame, syntax="1.2.840.10008.1.2.4.102")
    (check,) = doctor.decodes(unknown)
    assert check.status == "missing"
    assert tempfile.gettempdir() not in check.detail


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    assert doctor.writable("x", tmp_path, "broken", "").status == "ok"
    check = doctor.writable("x", tmp_path / "absent", "slow", "Make it.")
    assert (check.status, check.advice) == ("slow", "Make it.")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("content", "most"), [("max 100000", None), ("150000 100000", 1), ("nonsense", None)])
def test_a_quota_counts(content: str, most: int | None, tmp_path: Path) -> None:
    quota = tmp_path / "cpu.max"
    cores = doctor.usable_cores(quota)
    quota.write_text(content)
    assert doctor.usable_cores(quota) == (most or cores)


def test_packages_that_are_absent_or_old(monkeypatch: pytest.MonkeyPatch) -> None:
    from packaging.requirements import Requirement

    def wanted() -> Iterator[tuple[Requirement, str | None]]:
        yield Requirement("numpy>=999"), None
        yield Requirement("surely-not-installed"), None
        yield Requirement("pytest"), "dev"
        yield Requirement("numpy"), "serve"

    monkeypatch.setattr(doctor, "_requirements", wanted)
    found = {check.status: check.detail for check in doctor.guarded("packages", doctor._packages)}
    assert "surely-not-installed" in found["missing"]
    assert "numpy" in found["broken"]
    assert [check.status for check in doctor._extras()] == ["ok"]
