from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from secondread.errors import ChecksumError, DataError, ResourceError, UnsupportedFormat
from secondread.index import Index, table
from secondread.index.table import SCHEMA, VERSION_KEY
from tests.index.makers import row


def _index() -> Index:
    rows = [
        row(
            "a",
            label="glioma",
            normal=False,
            split="train",
            mask=Path("/data/m.png"),
            thumbprint=b"\x01\x02",
            cluster=0,
        ),
        row("b é", kind="nifti", shape=(3, 4, 5), spacing=(1.0, 1.0, 2.5), split="test", cluster=1),
        row("c", excluded=True, reason="torn"),
    ]
    return Index.of(rows, ("One note.", "Zwei Sätze."))


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    index = _index()
    index.save(tmp_path / "i.parquet")
    again = Index.load(tmp_path / "i.parquet")
    assert again.table.equals(index.table)
    assert again.notes == index.notes
    assert again.all_rows() == index.all_rows()
    assert [file.name for file in tmp_path.iterdir()] == ["i.parquet"]


def test_rows_are_those_of_a_split_without_excluded_ones() -> None:
    index = _index()
    assert [r.study for r in index.rows()] == ["a", "b é"]
    assert [r.study for r in index.rows("test")] == ["b é"]
    assert index.included.height == 2
    with pytest.raises(DataError, match="no split 'val'"):
        index.rows("val")


def test_an_unknown_version_is_refused(tmp_path: Path) -> None:
    _index().table.write_parquet(tmp_path / "i.parquet", metadata={VERSION_KEY: "99"})
    with pytest.raises(UnsupportedFormat, match="of version 99"):
        Index.load(tmp_path / "i.parquet")


def test_an_index_of_version_2_is_read_without_sex_and_age() -> None:
    """The file was written by the program that made version 2, from the rows of ``_index``."""
    old = Index.load(Path(__file__).parent / "old" / "version-2.parquet")
    assert old.all_rows() == _index().all_rows()
    assert old.notes == _index().notes
    assert old.table.schema == SCHEMA
    assert {row.sex for row in old.all_rows()} == {None}


def test_another_parquet_is_no_index(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "i.parquet")
    with pytest.raises(UnsupportedFormat, match="no index"):
        Index.load(tmp_path / "i.parquet")


def test_other_columns_are_refused(tmp_path: Path) -> None:
    _index().table.drop("site").write_parquet(tmp_path / "i.parquet", metadata={VERSION_KEY: str(table.VERSION)})
    with pytest.raises(UnsupportedFormat, match="columns"):
        Index.load(tmp_path / "i.parquet")


def test_what_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "i.parquet").write_bytes(b"no parquet at all")
    with pytest.raises(UnsupportedFormat, match="no Parquet"):
        Index.load(tmp_path / "i.parquet")


def test_damaged_bytes_are_an_error(tmp_path: Path) -> None:
    _index().save(tmp_path / "i.parquet")
    data = bytearray((tmp_path / "i.parquet").read_bytes())
    data[4:200] = bytes(196)
    (tmp_path / "i.parquet").write_bytes(data)
    with pytest.raises((ChecksumError, UnsupportedFormat)):
        Index.load(tmp_path / "i.parquet")


def test_no_index_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no index"):
        Index.load(tmp_path / "i.parquet")
    with pytest.raises(DataError, match="does not exist"):
        _index().save(tmp_path / "nowhere" / "i.parquet")


def test_a_full_disk_leaves_the_old_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "i.parquet"
    _index().save(path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("secondread.files.os.fsync", full)
    with pytest.raises(ResourceError, match="disk is full"):
        Index.of([row("other")]).save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["i.parquet"]


def test_columns_are_the_fields_of_a_row() -> None:
    assert set(SCHEMA) == set(vars(row("a")))
