"""What a DICOM header tells of a person that identifies nobody: sex, and age in whole years.

A date of birth or of the study is read to subtract them, and goes no further. Ages from OLDEST on are one: at that age
few are left, and a number would tell who it is (45 CFR 164.514(b)(2)(i)(C) asks for the same).
"""

from __future__ import annotations

import re
from datetime import date

from pydicom import Dataset

OLDEST = 90
IMPLAUSIBLE = 120
"""No age beyond this is believed: de-identification leaves births in 1900 behind."""

SEXES = {"M": "male", "F": "female", "O": "other"}
TAGS = ("PatientSex", "PatientAge", "PatientBirthDate", "StudyDate")

_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}


def sex_of(data: Dataset) -> str | None:
    """``male``, ``female``, ``other`` (DICOM PS3.3 C.7.1.1), or None."""
    return SEXES.get(str(data.get("PatientSex") or "").strip().upper())


def age_of(data: Dataset) -> int | None:
    """Whole years at the study, at most OLDEST: PatientAge (PS3.5, value representation AS), else the study's date
    minus the date of birth; None where neither says."""
    said = re.fullmatch(r"(\d{3})([DWMY])", str(data.get("PatientAge") or "").strip().upper())
    if said and int(said[1]):  # three zeros are what de-identification leaves
        years: int | None = int(int(said[1]) * _YEARS[said[2]])
    else:
        born, seen = (_date(data.get(tag)) for tag in ("PatientBirthDate", "StudyDate"))
        years = None
        if born is not None and seen is not None:
            years = seen.year - born.year - ((seen.month, seen.day) < (born.month, born.day))
    return None if years is None or not 0 <= years <= IMPLAUSIBLE else min(years, OLDEST)


def _date(value: object) -> date | None:
    said = re.fullmatch(r"(\d{4})(\d\d)(\d\d)", str(value or "").strip())
    try:
        return date(*(int(part) for part in said.groups())) if said else None
    except ValueError:
        return None
