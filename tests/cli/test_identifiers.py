"""Identifiers planted in DICOM headers, in folders and in names of pictures: none comes out of any verb."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from secondread.discreet import HIDDEN, stand_in
from secondread.evaluate import audit, quick
from tests.formats.scans import write_series
from tests.index.makers import picture

from .conftest import Ended, Secondread

FIRST = (
    "Adelheid", "Bertrand", "Cunegond", "Dagobert", "Ermentru", "Friedlin", "Gundobad", "Hadewych", "Isengard",
    "Jolantha",
)  # fmt: skip

LAST = (
    "Quastenberg", "Wolkenried", "Zwickauer", "Pfefferkorn", "Xylander", "Vogelsang", "Uhlenhorst", "Thannhofer",
    "Sauerteig", "Rabenhaupt",
)  # fmt: skip

MAY_HOLD_NAMES = {"index.parquet", "names.csv"}
"""The keys: tables that say where a study's files lie. They stay with the scans."""


def patient(n: int) -> dict[str, str]:
    """Five identifiers of the n-th of ten patients."""
    return {
        "first": FIRST[n],
        "last": LAST[n],
        "number": f"77{n}31{n}90{n}",
        "born": f"19{50 + n}0{1 + n % 9}1{n % 9}",
        "accession": f"ACC90{n}155{n}2",
    }


PLANTED = [value for n in range(10) for value in patient(n).values()]


def spellings(identifier: str) -> Iterator[str]:
    yield identifier.casefold()
    if len(identifier) == 8 and identifier.startswith("19"):
        yield from (way.casefold() for way in dates(identifier))


def dates(born: str) -> tuple[str, ...]:
    """A date as hospitals write it, ``born`` being YYYYMMDD."""
    year, month, day = born[:4], int(born[4:6]), int(born[6:])
    named = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep")[month - 1]
    return (
        f"{year}-{born[4:6]}-{born[6:]}",
        f"{day}-{named}-{year}",
        f"{year}_{month}_{day}",
        f"{day}.{born[4:6]}.{year}",
    )


def found_in(data: bytes) -> list[str]:
    text = data.decode("utf-8", "replace").casefold()
    return [one for one in PLANTED if any(way in text for way in spellings(one))]


@pytest.fixture(scope="module")
def headers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten heads as DICOM, half of them with a lesion: identifiers in every header, in the names of most folders."""
    root = tmp_path_factory.mktemp("clinic") / "scans"
    generator = np.random.default_rng(0)
    i, j, k = np.indices((24, 24, 12))
    for n in range(10):
        who = patient(n)
        # Heads that differ, or they count as copies of one.
        blobs = np.kron(generator.integers(0, 300, (4, 4, 2)), np.ones((6, 6, 6), int))
        voxels = 300 * ((i - 12) ** 2 + (j - 12) ** 2 < 100) + blobs
        label = ("normal", "tumour")[n % 2]
        if n % 2:
            voxels = voxels + 400 * ((i - 12) ** 2 + (j - 9 - n % 4) ** 2 + (k - 6) ** 2 < 12)
        folder = (
            f"{who['last']}_{who['first']}",  # known from the header alone
            f"{who['last']}_{who['first']}_{who['born']}",
            who["number"],
            f"{who['last'].upper()}^{who['first'].upper()}",
            f"{who['accession']}_{who['born'][:4]}-{who['born'][4:6]}-{who['born'][6:]}",
        )[n % 5]
        write_series(
            root / label / folder,
            voxels.astype(np.uint16),
            spacing=(6.0, 6.0),
            step=8.0,
            PatientName=f"{who['last']}^{who['first']}",
            PatientID=who["number"],
            PatientBirthDate=who["born"],
            AccessionNumber=who["accession"],
            OtherPatientIDs=f"X{who['number']}",
            PatientComments=f"{who['first']} {who['last']}, born {who['born']}",
            ReferringPhysicianName=f"{who['last']}^Dr",
            InstitutionName=f"Praxis {who['last']}",
            SeriesDescription=f"t1 {who['last']}",
        )
    torn = root / "normal" / f"{LAST[0]}_{FIRST[0]}"
    next(iter(sorted(torn.iterdir()))).write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 40)
    return root


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures whose names are letters alone, or hold a date or a number beside the name; two of them damaged."""
    root = tmp_path_factory.mktemp("archive") / "pictures"
    for n in range(20):
        who = patient(n % 10)
        dated = (
            f"{who['last']}, {who['first']} {who['born']}",
            f"{who['last']}_{who['number']}",
            f"{who['last']}_{dates(who['born'])[1 + n % 3]}",
            f"{who['last']}{who['first']}{who['born'][:4]}",
        )[n % 4 if n > 12 else n % 2]
        stem = dated if n >= 10 else f"{who['first']}_{who['last']}"
        file = picture(root / ("dark", "bright")[(n // 2) % 2] / f"{stem}.png", n)
        if n in (0, 12):
            file.write_bytes(file.read_bytes()[:60])
    return root


@pytest.mark.parametrize("kind", ["headers", "names"])
def test_none_of_fifty_planted_identifiers_comes_out(
    kind: str,
    request: pytest.FixtureRequest,
    secondread: Secondread,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audit, "TREES", 10)
    monkeypatch.setattr(quick, "TREES", 10)
    assert len(set(PLANTED)) == 50
    data: Path = request.getfixturevalue(kind)
    grid = ("--size", 32) if kind == "names" else ("--spacing", 12)
    out, run = tmp_path / "out", tmp_path / "run"
    out.mkdir()
    said = [
        secondread("index", data, "-o", out / "index.parquet", "--json"),
        secondread("pack", data, out / "store", *grid),
        secondread("train", data, "-o", run, "--epochs", 1, "--batch", 4, *grid),
        secondread("evaluate", run, "-o", out / "judged", "--json"),
        secondread("evaluate", run, "--data", data, "-o", out / "all", "--json"),
        secondread("read", run, data, "-o", out / "read", "--json"),
        secondread("read", run, *failing(data), "-o", out / "failed", code=3),
    ]
    check(said, [out, run])
    key = pl.read_csv(out / "all" / "names.csv")
    judged = pl.read_parquet(out / "all" / "predictions.parquet")
    assert set(judged["study"]) <= set(key["study"])
    findings = json.loads((out / "read" / "findings.json").read_text())
    where = dict(
        pl.read_csv(out / "read" / "names.csv", truncate_ragged_lines=True).select("study", "file").iter_rows()
    )
    for finding in findings:
        hidden = [part for part in finding["study"].split("/") if part.startswith(HIDDEN)]
        assert hidden
        assert Path(where[finding["study"]]).exists()
    # The check can fail: the keys do hold what was planted.
    assert found_in((out / "read" / "names.csv").read_bytes())


def test_a_broken_file_can_be_found(secondread: Secondread, names: Path, tmp_path: Path) -> None:
    """By the key, wherever it lay."""
    broken = names / "dark" / f"{FIRST[0]}_{LAST[0]}.png"
    among = secondread("read", names, "-o", tmp_path / "all")
    # To be read, a folder is no class: what is no word of the trade by itself is hidden, too.
    study = f"{stand_in('dark')}/{stand_in(broken.stem)}"
    (line,) = [line for line in among.err.splitlines() if study in line]
    assert line.startswith("not read: ")
    assert f"{tmp_path / 'all' / 'names.csv'} says which file" in among.err
    assert f"{study},{broken}" in (tmp_path / "all" / "names.csv").read_text().splitlines()
    alone = secondread("read", broken, "-o", tmp_path / "one", "--json", code=3)
    assert found_in(alone.err.encode()) == []
    assert f"{broken}" in (tmp_path / "one" / "names.csv").read_text()
    assert found_in(alone.out.encode()) == []
    assert found_in((tmp_path / "one" / "errors.json").read_bytes()) == []


def failing(data: Path) -> list[Path]:
    """The damaged scan, named on the command line as a person would."""
    if data.name == "pictures":
        return [data / "dark" / f"{LAST[2]}, {FIRST[2]} {patient(2)['born']}.png"]
    return [data / "normal" / f"{LAST[0]}_{FIRST[0]}"]


def check(said: list[Ended], folders: list[Path]) -> None:
    for ended in said:
        assert found_in(ended.out.encode()) == []
        assert found_in(ended.err.encode()) == []
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    assert {"report.html", "metrics.json", "findings.json", "errors.json", "spec.json"} <= {file.name for file in files}
    for file in files:
        assert found_in(str(file.relative_to(folders[0].parent)).encode()) == [], file
        if file.name not in MAY_HOLD_NAMES:
            assert found_in(file.read_bytes()) == [], file
        if file.suffix == ".parquet":
            table = pl.read_parquet(file).drop("images", "mask", "thumbprint", strict=False)
            assert found_in(str(table.to_dicts()).encode()) == [], file
