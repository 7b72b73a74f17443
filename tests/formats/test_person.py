from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from secondread.formats import probe
from secondread.formats.person import age_of, sex_of

from .scans import write_series


def header(**values: str) -> Dataset:
    data = Dataset()
    for name, value in values.items():
        setattr(data, name, value)
    return data


@pytest.mark.parametrize(
    ("values", "age"),
    [
        ({"PatientAge": "045Y"}, 45),
        ({"PatientAge": "018M"}, 1),
        ({"PatientAge": "030W"}, 0),
        ({"PatientAge": "093Y"}, 90),
        ({"PatientAge": "000Y"}, None),
        ({"PatientAge": "forty"}, None),
        ({"PatientBirthDate": "19700615", "StudyDate": "20100614"}, 39),
        ({"PatientBirthDate": "19700615", "StudyDate": "20100615"}, 40),
        ({"PatientAge": "041Y", "PatientBirthDate": "19700615", "StudyDate": "20100615"}, 41),
        ({"PatientAge": "000Y", "PatientBirthDate": "19700615", "StudyDate": "20100615"}, 40),
        ({"PatientBirthDate": "19000101", "StudyDate": "20240101"}, None),
        ({"PatientBirthDate": "20200101", "StudyDate": "20100101"}, None),
        ({"PatientBirthDate": "19701399", "StudyDate": "20100101"}, None),
        ({"PatientBirthDate": "19700615"}, None),
        ({}, None),
    ],
)
def test_age_in_whole_years(values: dict[str, str], age: int | None) -> None:
    assert age_of(header(**values)) == age


def test_sex() -> None:
    assert [sex_of(header(PatientSex=said)) for said in ("M", "F", "O", "", "X")] == [
        "male",
        "female",
        "other",
        None,
        None,
    ]
    assert sex_of(header()) is None


def test_a_series_tells_them_and_no_date(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(0, 900, (8, 8, 4)).astype(np.uint16)
    write_series(tmp_path / "s", voxels, PatientSex="F", PatientBirthDate="19610203", StudyDate="20190101")
    found = probe(tmp_path / "s")
    assert (found.sex, found.age) == ("female", 57)
    assert "1961" not in repr(found)
