"""The room on real scans, where they are at hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from secondread.index import Index, build_index, require_learnable
from secondread.index.sheet import read_images
from secondread.index.split import find_leaks
from tests.index.makers import SHARED

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the real scans are not here (../shared/data)")


def _some_slices(folder: Path) -> Path:
    """Every ninth slice of slices.csv: enough for all classes, quick enough for a test."""
    lines = (SHARED / "slices.csv").read_text().splitlines()
    root = SHARED.resolve()
    kept = []
    for line in lines[1::9]:
        image, label, mask, group = line.split(",")
        kept.append(f"{root / image},{label},{root / mask if mask else ''},{group}")
    path = folder / "some.csv"
    path.write_text("\n".join([lines[0], *kept]))
    return path


def test_slices(tmp_path: Path) -> None:
    index = build_index([_some_slices(tmp_path)])
    rows = index.rows()
    assert len(rows) == 283
    assert {row.label: row.normal for row in rows}["no_tumor"] is True
    assert find_leaks(rows) == []
    assert all({row.split for row in rows if row.label == label} == {"train", "validation", "test"} for label in
               ("glioma", "meningioma", "pituitary", "no_tumor"))  # fmt: skip
    assert max(Counter(row.cluster for row in rows).values()) <= 10
    require_learnable(index)


def test_the_whole_table_is_read() -> None:
    assert len(read_images((SHARED / "slices.csv").resolve())) == 2545


@pytest.fixture(scope="module")
def tumours(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Four of the ten patients, linked, for speed."""
    folder = tmp_path_factory.mktemp("tumour")
    for patient in sorted((SHARED / "volumes" / "tumour").resolve().iterdir())[:4]:
        (folder / patient.name).symlink_to(patient)
    return build_index([folder])


def test_patients_with_four_contrasts(tumours: Index) -> None:
    for row in tumours.rows():
        assert row.contrasts == ("t1", "t1c", "t2", "flair")
        assert row.mask is not None
        assert (row.label, row.normal, row.group_from) == (None, None, "brats")
    require_learnable(tumours)


def test_a_folder_of_dicom() -> None:
    folder = SHARED / "dicom" / "philips_mprage"
    (row,) = build_index([folder]).rows()
    assert (row.study, row.kind, row.contrasts, row.group_from) == ("philips_mprage", "dicom", ("t1",), "dicom")
    assert len(row.shape) == 3
