"""What studies are called in a report: by a number, because a name made of files and folders may tell who it is.

Numbers follow the order of the studies' hashes, so that the same data give the same numbers and no number tells
anything of the name. ``names.csv`` says which is which, and stays with the data (docs/decisions/006).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from secondread.discreet import veiled

if TYPE_CHECKING:
    from secondread.index import Row

SHORTEST = 3
"""Names shorter than this, and plain numbers of up to PLAIN_DIGITS, are left in sentences: they tell nobody."""
PLAIN_DIGITS = 4


class Aliases:
    """The number of every study of an index, excluded ones too."""

    def __init__(self, rows: Sequence[Row]) -> None:
        ordered = sorted(rows, key=lambda row: (row.sha256, row.study))
        width = len(str(len(ordered)))
        self._rows = {row.study: row for row in ordered}
        self._number = {row.study: f"study {at:0{width}d}" for at, row in enumerate(ordered, 1)}
        groups = dict.fromkeys(row.group for row in ordered)
        self._group = {group: f"patient {at}" for at, group in enumerate(groups, 1)}

    def of(self, study: str) -> str:
        return self._number[study]

    def hide(self, text: str, study: str | None = None) -> str:
        """``text`` without names of studies, patients and files. ``study``: the only one that it is about, which saves
        looking for all."""
        rows = list(self._rows.values()) if study is None else [self._rows[study]]
        said: dict[str, str] = {}
        for row in rows:
            for name in _names(row):
                said.setdefault(name, self._number[row.study])
            said.setdefault(row.group, self._group[row.group])
        for name in sorted((name for name in said if name in text and _tells(name)), key=len, reverse=True):
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", said[name], text)
        return veiled(text)

    def to_csv(self) -> bytes:
        """The key: a line per study with its number, its name in the index and its group."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(("report", "study", "group"))
        table.writerows((number, study, self._rows[study].group) for study, number in self._number.items())
        return text.getvalue().encode()


def _names(row: Row) -> list[str]:
    """What a sentence may call a study: its files with and without their folders, its name, the end of it."""
    files = [*row.images, *([row.mask] if row.mask is not None else [])]
    places = [text for file in files for text in (str(file), str(file.parent), file.name, file.name.split(".")[0])]
    return [*places, row.study, row.study.rpartition("/")[2]]


def _tells(name: str) -> bool:
    return len(name) >= SHORTEST and not (name.isdigit() and len(name) <= PLAIN_DIGITS)
