"""What a table says of people: properties to tell figures by, and none that tells who somebody is.

A report is passed on, and a table about people may hold anything. A column is left out where its name is that of an
identifier (after the list of the HIPAA Privacy Rule, 45 CFR 164.514(b)(2), and who treats or reads), where most
patients have a text of their own in it, or where what would be printed holds dates, long numbers or what may be a
person's name. Of the others only values are printed that at least two of the patients judged share.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from secondread.discreet import discreet, hidden, identifying, stand_in
from secondread.errors import LabelError
from secondread.evaluate.bands import AGES, MAX_VALUES, OTHER, Property, band, frequent, thirds

if TYPE_CHECKING:
    from secondread.index import Row
    from secondread.index.sheet import Line, Sheet

KEYS = ("study", "group", "participant_id")
"""Columns that say whom a line is about; the first that is there is taken."""

OLDEST = 120.0
"""An age above this, in years, is a slip of the pen."""

_AGE = frozenset(("age", "ages", "alter"))
_BESIDE_AGE = frozenset(
    """
    y yr yrs year years jahr jahre jahren old in at of the on bei current approx approximate exact rounded reported
    scan scanning mri mr imaging image examination exam acquisition session study visit baseline followup entry
    inclusion enrolment enrollment recruitment presentation admission onset symptom symptoms disease diagnosis dx first
    last seizure surgery operation treatment death patient patients subject subjects participant participants
    """.split()  # noqa: SIM905
)
"""Words of columns of ages in years. Any other word beside them, and the numbers are taken for no such ages: of months,
of groups, of bones."""

_PERSONAL = re.compile(
    r"name|birth|address|street|postal|postcode|zipcode|phone|email|insurance|accession|passport|initials|licen[cs]e"
    r"|serial|physician|doctor|surgeon|radiologist|neurologist|operator|technician|technologist|nurse"
    r"|investigator|reader|rater|annotat|observer|oncologist|pathologist|consultant|clinician|coordinator|manager|author"
    r"|referr(?:er|ing)|identifier"
    r"|(?<!up)date$|datetime$|datum$"
    r"|^(?:id|ids|mrn|pid|dob|yob|born|birthday|ssn|nhs|uid|uuid|guid|mail|tel|fax|zip|city|town|url|dr|doc|dates)$"
)
"""Words that say in a column's name that it tells who somebody is."""

_PERSONAL_WHOLE = re.compile(
    r"(?:patient|person|subject|participant|pat)(?:id|ids|no|nr|number|code|key)?"
    r"|(?:case|record|hospital|medical|study|scan|session|health|socialsecurity)(?:id|no|nr|number)"
)
"""The same of whole names, as letters and digits alone: ``patient`` tells, ``patient_sex`` does not."""

_KINDS = frozenset(
    """
    sex gender race ethnicity country hand handedness manufacturer vendor model treatment therapy drug agent smoking
    smoker marital education histology subtype type grade stage status mutation location lobe side
    """.split()  # noqa: SIM905
)
"""Beside labels and sites (``index.bids``), columns of these words hold kinds: a strange word there is no person's."""

_STAFF = frozenset(("by", "pi", "contact", "lead", "user", "attending", "resident", "assigned", "assignee"))
_NO_STAFF = re.compile(r"\bpi rads\b|\bcontact sports?\b")
"""Whole words of names that tell who reads or treats, and what they are no such words in: ``PI-RADS`` is a score."""

NAMED = "columns of such a name tell who somebody is"
ALONE = "most patients have a text of their own there"
TELLING = "there are dates, long numbers or what may be names of persons in it (codes could stand for them)"


@dataclass(frozen=True)
class About:
    """Attributes: ``properties`` by column; ``notes``: what is left out and why, in words."""

    properties: dict[str, Property] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_about(path: Path, rows: Sequence[Row]) -> About:
    """Properties of people from a CSV or TSV: a column of KEYS, and any others (sex, age, scanner), one line each.

    Ages come in bands, other numbers with more than MAX_VALUES values in thirds. Names in the table are those of the
    data, or what stands for them in the index.

    Raises LabelError: no key column, no other column, no line about any of ``rows``, two lines that disagree about one,
    or an age that none can be.
    """
    from secondread.index.sheet import read_sheet

    sheet = read_sheet(path)
    key = next((column for column in KEYS if column in sheet.columns), None)
    columns = [column for column in sheet.columns if column not in KEYS]
    if key is None or not columns:
        raise LabelError(
            f"{path} needs a column {' or '.join(KEYS)} and at least one that says something; it has "
            f"{', '.join(sheet.columns)}"
        )
    lines = _lines_about(sheet, key, columns, rows)
    patient = {row.study: row.group for row in rows}
    properties: dict[str, Property] = {}
    left_out: dict[str, list[str]] = {}
    for column in columns:
        told = _told(sheet, column, lines, patient)
        if isinstance(told, str):
            left_out.setdefault(told, []).append(discreet(column))
        else:
            properties[column] = told
    return About(properties, tuple(_note(names, why) for why, names in left_out.items()))


def _lines_about(sheet: Sheet, key: str, columns: Sequence[str], rows: Sequence[Row]) -> dict[str, Line]:
    """The line about each study that there is one about."""
    by_name: dict[str, list[str]] = {}
    for row in rows:
        # A participant or a patient may have several studies; a study may be given by the end of its name.
        names = (row.study, row.study.rpartition("/")[2]) if key == "study" else (row.group,)
        for name in dict.fromkeys((*names, *map(hidden, names))):
            by_name.setdefault(name, []).append(row.study)
    found: dict[str, Line] = {}
    for line in sheet.lines:
        cell = line.get(key) or ""
        meant = (cell, discreet(cell), f"sub-{cell}", stand_in(cell), hidden(cell), hidden(f"sub-{cell}"))
        for study in next((by_name[name] for name in meant if name in by_name), []):
            other = found.setdefault(study, line)
            if any(other.get(column) != line.get(column) for column in columns):
                raise LabelError(
                    f"{sheet.path}: lines {other.number} and {line.number} disagree about study {study!r}: keep one"
                )
    if not any(line.get(column) is not None for line in found.values() for column in columns):
        raise LabelError(f"no line of {sheet.path} is about any study judged: its column {key!r} names none of them")
    return found


def _told(sheet: Sheet, column: str, lines: Mapping[str, Line], patient: Mapping[str, str]) -> Property | str:
    """A column as a property; where it is left out, why."""
    words = re.findall(r"[^\W_]+", column)
    if identifying(column) or (_names_persons(words) and not _is_site(words)):
        return NAMED
    values = {study: value for study, line in lines.items() if (value := line.get(column)) is not None}
    aged = _holds_ages(words)
    try:
        # BIDS writes 89 and above as "89+".
        numbers = {study: float(value.removesuffix("+") if aged else value) for study, value in values.items()}
    except ValueError:
        return _told_texts(words, values, patient)
    numbers = {study: number for study, number in numbers.items() if math.isfinite(number)}
    if aged:
        for study, age in numbers.items():
            if not 0 <= age <= OLDEST:
                raise LabelError(f"{sheet.at(lines[study])}: {column} {age:g} is no age in years (0 to {OLDEST:g})")
        return {study: band(age, AGES) for study, age in numbers.items()}
    spelt = {study: f"{number:g}" for study, number in numbers.items()}
    shared = _shared(spelt, patient)
    many = len(set(numbers.values())) > MAX_VALUES or _mostly_alone(spelt, patient, shared)
    whole = [number for number in numbers.values() if number.is_integer()]
    # Thirds of a measure tell nobody, however long its numbers are; long whole numbers alone may be anything.
    if any(identifying(f"{number:.0f}") for number in whole) and not (many and len(whole) < len(numbers)):
        return TELLING
    return thirds(numbers) if many else _or_other(spelt, shared)


def _told_texts(words: Sequence[str], values: Mapping[str, str], patient: Mapping[str, str]) -> Property | str:
    shared = _shared(values, patient)
    if _mostly_alone(values, patient, shared):
        return ALONE
    told = frequent(_or_other(values, shared))
    printed = set(told.values()) & shared
    if any(identifying(value) for value in printed):
        return TELLING
    return TELLING if not _holds_kinds(words) and any(_may_name(value) for value in printed) else told


def _may_name(value: str) -> bool:
    from secondread.index.persons import may_name_patient

    return may_name_patient(value)


def _is_site(words: Sequence[str]) -> bool:
    """``site_id``, ``scanner_name``, ``institution``: where, not who."""
    from secondread.index.bids import SITE_COLUMNS

    return bool(words) and words[0] in SITE_COLUMNS and {*words[1:]} <= {"id", "name"}


def _holds_kinds(words: Sequence[str]) -> bool:
    """Whether the last word of a column's name, but for ``type`` and the like, is one of kinds."""
    from secondread.index.bids import LABEL_COLUMNS, SITE_COLUMNS

    told = [word for word in words if word not in ("id", "name", "type", "group", "code", "class")] or words
    return bool(told) and told[-1] in {*_KINDS, *LABEL_COLUMNS, *SITE_COLUMNS}


def _holds_ages(words: Sequence[str]) -> bool:
    return bool(_AGE & {*words}) and {*words} <= _AGE | _BESIDE_AGE


def _names_persons(words: Sequence[str]) -> bool:
    if any(map(_PERSONAL.search, words)) or _PERSONAL_WHOLE.fullmatch("".join(words)):
        return True
    return not _STAFF.isdisjoint(_NO_STAFF.sub("", " ".join(words)).split())


def _shared(values: Mapping[str, str], patient: Mapping[str, str]) -> set[str]:
    """The values that at least two patients have."""
    first: dict[str, str] = {}
    return {value for study, value in values.items() if first.setdefault(value, patient[study]) != patient[study]}


def _mostly_alone(values: Mapping[str, str], patient: Mapping[str, str], shared: Collection[str]) -> bool:
    """Whether most patients have values that no other has."""
    alone = {patient[study] for study, value in values.items() if value not in shared}
    return 2 * len(alone) > len({patient[study] for study in values})


def _or_other(values: Mapping[str, str], shared: Collection[str]) -> dict[str, str]:
    return {study: value if value in shared else OTHER for study, value in values.items()}


def _note(names: Sequence[str], why: str) -> str:
    listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return f"Left out of the table about people: {listed}; {why}."
