from __future__ import annotations

import csv
from pathlib import Path

from secondread.index.conflicts import label_conflicts, write_conflicts
from tests.index.makers import row


def test_twins_with_two_labels_are_listed_once(tmp_path: Path) -> None:
    rows = [
        row("a", label="glioma", cluster=0, split="train"),
        row("b", label="normal", cluster=0, split="test"),
        row("c", label="glioma", cluster=0),
        row("d", label="glioma", cluster=1),
        row("e", label="glioma", cluster=1),
        row("f", cluster=2),
        row("g", label="normal", cluster=2),
        row("h", label="normal", cluster=-1, excluded=True),
        row("i", label="glioma", cluster=-1, excluded=True),
    ]
    assert {(c.study, c.other) for c in label_conflicts(rows)} == {("a", "b"), ("c", "b")}
    path = write_conflicts(rows, tmp_path / "i.parquet")
    assert path == tmp_path / "i.conflicts.csv"
    with path.open() as file:
        first = next(csv.DictReader(file))
    assert (first["study"], first["label"], first["other"], first["other_label"]) == ("a", "glioma", "b", "normal")


def test_where_there_is_none_no_list_is_left(tmp_path: Path) -> None:
    (tmp_path / "i.conflicts.csv").write_text("of an earlier index")
    assert write_conflicts([row("a", label="x", cluster=0)], tmp_path / "i.parquet") is None
    assert not (tmp_path / "i.conflicts.csv").exists()
