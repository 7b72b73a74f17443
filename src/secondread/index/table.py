"""The index: one table, a row per study, on disk as Parquet.

Columns (``SCHEMA``): ``study`` unique name; ``group`` the patient, and ``group_from`` how it was found; ``site``;
``sex`` and ``age`` in whole years, where a DICOM header tells (``formats.person``); ``label``; ``normal`` true, false,
or null where nobody can tell (no normal class, or no label); ``mask`` a file; ``images`` and ``contrasts`` in one
order, the first being the reference; ``shape`` and ``spacing`` (mm) of the reference, (i, j, k) for a volume, (row,
column) and null for a picture; ``channels`` 1 or 3; ``kind`` of file; ``bytes`` of all images together; ``sha256`` and
``thumbprint`` (see ``duplicates``); ``cluster`` of near-duplicates, -1 for excluded rows; ``split``, null for excluded
rows; ``excluded`` and ``reason``.

Paths are absolute: an index may lie anywhere, and is rebuilt, not moved, when its data move.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import polars as pl

from secondread.errors import ChecksumError, DataError, UnsupportedFormat, writing
from secondread.files import write_whole
from secondread.index.words import counted

VERSION = 3
"""Of the columns and their meaning. A reader refuses versions that it does not know."""

ADDED = {"2": ("sex", "age")}
"""Older versions that are read as well, and the columns that they lack: null there."""

VERSION_KEY = "secondread.index.version"
NOTES_KEY = "secondread.index.notes"
GIVEN_KEY = "secondread.index.given_split"
LEAK_KEY = "secondread.index.accepted_leak"

SPLITS = ("train", "validation", "test")

Thumbprint = bytes
"""Beside the name, because the column ``bytes`` hides the type of that name inside ``Row``."""

SCHEMA = pl.Schema(
    {
        "study": pl.String(),
        "group": pl.String(),
        "group_from": pl.String(),
        "site": pl.String(),
        "sex": pl.String(),
        "age": pl.Int64(),
        "label": pl.String(),
        "normal": pl.Boolean(),
        "mask": pl.String(),
        "images": pl.List(pl.String()),
        "contrasts": pl.List(pl.String()),
        "shape": pl.List(pl.Int64()),
        "spacing": pl.List(pl.Float64()),
        "channels": pl.Int64(),
        "kind": pl.String(),
        "bytes": pl.Int64(),
        "sha256": pl.String(),
        "thumbprint": pl.Binary(),
        "cluster": pl.Int64(),
        "split": pl.String(),
        "excluded": pl.Boolean(),
        "reason": pl.String(),
    }
)


@dataclass(frozen=True)
class Row:
    """One study of the index; the fields are the columns of ``SCHEMA``. ``images`` may be ``folder#series=UID``."""

    study: str
    group: str
    group_from: str
    images: tuple[Path, ...]
    contrasts: tuple[str, ...]
    site: str | None = None
    sex: str | None = None
    age: int | None = None
    label: str | None = None
    normal: bool | None = None
    mask: Path | None = None
    shape: tuple[int, ...] = ()
    spacing: tuple[float, ...] | None = None
    channels: int = 1
    kind: str | None = None
    bytes: int = 0
    sha256: str = ""
    thumbprint: Thumbprint = b""
    cluster: int = -1
    split: str | None = None
    excluded: bool = False
    reason: str | None = None

    @property
    def is_picture(self) -> bool:
        return self.kind == "picture"


@dataclass(frozen=True)
class AcceptedLeak:
    """That the split leaks and was taken all the same (``train --accept-leak``).

    Attributes:
        patients: how many are on two sides or more.
        clusters: how many clusters of near-duplicates are.
        studies: by side but train, how many share a patient or a picture with a study that is learned from.
    """

    patients: int
    clusters: int
    studies: dict[str, int]

    def __str__(self) -> str:
        shares = " and ".join(f"{count:,} {side}" for side, count in self.studies.items())
        patients, clusters = counted(self.patients, "patient"), counted(self.clusters, "cluster")
        return (
            f"LEAKY SPLIT, accepted with --accept-leak: {patients} and {clusters} of near-duplicates (some are both) "
            f"are on two sides; {shares} studies share a patient or a picture with the training studies. Every figure "
            f"on them is too good."
        )


@dataclass(frozen=True, eq=False)
class Index:
    """A table of studies and what there is to say about it.

    Attributes:
        table: columns as in ``SCHEMA``.
        notes: sentences for a person: how labels and groups were found, what is odd.
        given_split: the side of each study in the split that the data came with, where that was replaced because it
            leaked; else empty. The report shows what it would have claimed.
        accepted_leak: where the given split leaks and was accepted, how much; else None.
    """

    table: pl.DataFrame
    notes: tuple[str, ...] = ()
    given_split: Mapping[str, str] = field(default_factory=dict)
    accepted_leak: AcceptedLeak | None = None

    @classmethod
    def of(
        cls,
        rows: Iterable[Row],
        notes: Sequence[str] = (),
        given_split: Mapping[str, str] | None = None,
        accepted_leak: AcceptedLeak | None = None,
    ) -> Index:
        table = pl.DataFrame([_to_record(row) for row in rows], schema=SCHEMA)
        # Notes name folders, and not every folder's name is UTF-8.
        said = tuple(note.encode("utf-8", "backslashreplace").decode() for note in notes)
        return cls(table, said, dict(given_split or {}), accepted_leak)

    @property
    def included(self) -> pl.DataFrame:
        """The table without excluded rows."""
        return self.table.filter(~pl.col("excluded"))

    def rows(self, split: str | None = None) -> list[Row]:
        """Included studies, of one split or of all. Raises DataError for a split that is none of ``SPLITS``."""
        if split is not None and split not in SPLITS:
            raise DataError(f"there is no split {split!r}; there are {', '.join(SPLITS)}")
        table = self.included if split is None else self.included.filter(pl.col("split") == split)
        return [_from_record(record) for record in table.iter_rows(named=True)]

    def all_rows(self) -> list[Row]:
        """Every row, excluded ones too."""
        return [_from_record(record) for record in self.table.iter_rows(named=True)]

    def fingerprint(self) -> str:
        """SHA-256 over what decides a figure: each study's name, bytes, group, label and split.

        Paths stay out of it, so that the same data elsewhere have the same fingerprint.
        """
        digest = hashlib.sha256()
        for row in sorted(self.all_rows(), key=lambda row: row.study):
            digest.update(json.dumps([row.study, row.sha256, row.group, row.label, row.split, row.excluded]).encode())
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write Parquet: to a temporary name in the same folder, flushed, then renamed.

        Raises:
            ResourceError: no space or no permission.
            DataError: the folder is not there.
        """
        if not path.parent.is_dir():
            raise DataError(f"cannot write {path}: the folder {path.parent} does not exist")
        with writing(path):
            write_whole(path, self.to_bytes())

    def to_bytes(self) -> bytes:
        """The bytes of the Parquet file."""
        buffer = io.BytesIO()
        metadata = {VERSION_KEY: str(VERSION), NOTES_KEY: json.dumps(self.notes, ensure_ascii=False)}
        if self.given_split:
            metadata[GIVEN_KEY] = json.dumps(dict(self.given_split), ensure_ascii=False)
        if self.accepted_leak:
            metadata[LEAK_KEY] = json.dumps(asdict(self.accepted_leak))
        self.table.write_parquet(buffer, metadata=metadata)
        return buffer.getvalue()

    @classmethod
    def load(cls, path: Path) -> Index:
        """Read an index.

        Raises:
            DataError: there is no such file.
            UnsupportedFormat: no Parquet, no index, or an index of a version that this program does not know.
            ChecksumError: it is an index, and its bytes are damaged.
        """
        if not path.is_file():
            raise DataError(f"there is no index at {path}; write one with: secondread index DATA -o {path.name}")
        return cls.from_bytes(path.read_bytes(), path)

    @classmethod
    def from_bytes(cls, content: bytes, path: object) -> Index:
        """What :meth:`to_bytes` gave; ``path`` names it in errors, which are those of :meth:`load`."""
        try:
            metadata = pl.read_parquet_metadata(io.BytesIO(content))
        except (pl.exceptions.PolarsError, OSError) as error:
            raise UnsupportedFormat(f"{path} is no Parquet file, so no index: {error}") from error
        version = metadata.get(VERSION_KEY)
        if version != str(VERSION) and version not in ADDED:
            what = "is a Parquet file, but no index of secondread" if version is None else f"is of version {version}"
            raise UnsupportedFormat(f"{path} {what}; this program reads version {VERSION}: index the data again")
        try:
            table = pl.read_parquet(io.BytesIO(content))
        except (pl.exceptions.PolarsError, OSError) as error:
            raise ChecksumError(f"{path} is damaged: {error}") from error
        if (lacking := ADDED.get(version)) and not set(lacking) & set(table.columns):
            table = table.with_columns(pl.lit(None, SCHEMA[name]).alias(name) for name in lacking)
            table = table.select(name for name in SCHEMA if name in table.columns)
        if table.schema != SCHEMA:
            raise UnsupportedFormat(
                f"{path} has the columns {', '.join(table.columns)}; an index has {', '.join(SCHEMA)}, in this order"
            )
        notes = tuple(json.loads(metadata.get(NOTES_KEY, "[]")))
        leak = json.loads(metadata.get(LEAK_KEY, "null"))
        return cls(table, notes, json.loads(metadata.get(GIVEN_KEY, "{}")), leak and AcceptedLeak(**leak))


def _to_record(row: Row) -> dict[str, Any]:
    record = asdict(row)
    record["images"] = [str(image) for image in row.images]
    record["mask"] = None if row.mask is None else str(row.mask)
    for key in ("contrasts", "shape"):
        record[key] = list(record[key])
    record["spacing"] = None if row.spacing is None else list(row.spacing)
    return record


def _from_record(record: dict[str, Any]) -> Row:
    values = {column.name: record[column.name] for column in fields(Row)}
    values["images"] = tuple(Path(image) for image in record["images"])
    values["mask"] = None if record["mask"] is None else Path(record["mask"])
    values["contrasts"], values["shape"] = tuple(record["contrasts"]), tuple(record["shape"])
    values["spacing"] = None if record["spacing"] is None else tuple(record["spacing"])
    return Row(**values)
