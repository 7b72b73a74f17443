"""Names that may tell who a patient is, and what stands for them.

A study is named after its file or folder, and hospitals name those after patients. A part of a name is taken to tell
when it holds a date, a long number, one in groups (``123-45-6789``) or behind ``MRN`` and its like, a name as DICOM
writes one (``DOE^JANE``) or ``Doe, Jane``; a DICOM header can prove more (``formats.dicom`` compares it with the path),
and of names of letters, alone or with a year, ``index.persons`` judges.

What stands for a part is a hash of it, so that the same part is the same everywhere. Whoever can guess a name can find
it again: a hidden name hides from the reader of a log, not from a search (docs/decisions/006).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

HIDDEN = "hidden-"

MIN_DIGITS, MIN_SIGNIFICANT = 6, 5
"""A number of at least so many digits, and so many without its leading zeros, may be a patient's or an accession's."""

_YEAR, _MONTH, _DAY = r"(?:19|20)\d\d", r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_DATE = re.compile(
    rf"(?<!\d)(?:{_YEAR}([-_. ]?){_MONTH}\1{_DAY}|{_DAY}([-_. ]){_MONTH}\2{_YEAR}|{_DAY}{_MONTH}{_YEAR})(?!\d)"
)

_SHORT = {"D": r"(?:0?[1-9]|[12]\d|3[01])", "M": r"(?:0?[1-9]|1[0-2])", "Y": _YEAR}
_PADDED = {"D": _DAY, "M": _MONTH}
_NAMED = (
    r"(?:jan(?:uary|uar)?|feb(?:ruary|ruar)?|mar(?:ch)?|m(?:ae|ä)rz|mrz|apr(?:il)?|may|mai|june?|juni|july?|juli"
    r"|aug(?:ust)?|sept?(?:ember)?|o[ck]t(?:ober)?|nov(?:ember)?|de[cz](?:ember)?)"
)


def _dates(orders: str, signs: str, **parts: str) -> str:
    """A pattern for dates in any of these orders of Y, M and D, joined by one of these signs."""
    return "|".join(re.escape(sign).join(parts[part] for part in order) for order in orders.split() for sign in signs)


_APART, _LOOSE = r"(?<!\d)(?<!\d[-_.])", r"(?<![^\W_])"  # no group of a number goes before; no letter is glued to it
_GAP = r"[-_. ,]{0,2}"
_SPELT_DATE = re.compile(
    # 1961-5-4, 4.5.1961, 5.4.1961. Underscores join counters, too: BraTS20_1_1 is no date.
    rf"{_APART}(?:{_dates('YMD DMY MDY', '-. ', **_SHORT)})(?!\d)"
    rf"|{_APART}{_LOOSE}(?:{_dates('YMD DMY MDY', '_', **_SHORT)})(?!\d)"
    # 04.05.61; 04_05_61 where the year is none that a counter soon reaches
    rf"|{_APART}{_LOOSE}(?:{_dates('DMY MDY', '-.', Y='[0-9]{2}', **_PADDED)})(?![-_.]?\d)"
    rf"|{_APART}{_LOOSE}(?:{_dates('DMY MDY', '_', Y='[3-9][0-9]', **_PADDED)})(?![-_.]?\d)"
    # 04-May-1961, 4May1961, 1961-May-04, May 4, 1961; 04May61
    rf"|(?<!\d){_SHORT['D']}{_GAP}{_NAMED}{_GAP}{_YEAR}(?!\d)|(?<!\d){_YEAR}{_GAP}{_NAMED}{_GAP}{_SHORT['D']}(?!\d)"
    rf"|(?<![^\W\d_]){_NAMED}{_GAP}{_SHORT['D']}[-_. ,]{{1,2}}{_YEAR}(?!\d)"
    rf"|{_LOOSE}{_SHORT['D']}{_GAP}{_NAMED}{_GAP}\d\d(?![^\W_])",
    re.IGNORECASE,
)

_GROUPS = re.compile(r"(?<![^\W_])(?<!\d[-_.])\d{2,4}([-._])\d{2,4}(?:\1\d{2,4})+(?!\d)")
MIN_GROUPED = 8
"""A number in groups that one sign joins (``123-45-6789``) may be a person's from so many digits on, the leading zeros
of each group left out: ``IM-0001-0012-0001`` counts images."""
_NUMBERED_PERSON = re.compile(
    r"(?<![^\W\d_])(?:mrn|pid|ssn|nhs|ahv|dob|accession)[-_ .#]{0,2}0*[1-9](?:[-_.]?\d){3,}", re.IGNORECASE
)
_NUMBER = re.compile(rf"(?<!\d)(?=\d{{{MIN_DIGITS}}})0*[1-9]\d{{{MIN_SIGNIFICANT - 1},}}(?!\d)")
_PERSON = re.compile(r"[^\W\d_]{2,}\^|\^[^\W\d_]{2,}|^[^\W\d_]{2,}, ?[^\W\d_]{2,}")
_UID = re.compile(r"\d+(?:\.\d+){4,}")
_HASH = re.compile(rf"(?:patient-|{HIDDEN})[0-9a-f]{{10,16}}|(?<!\w)(?=\w*[a-f])[0-9a-f]{{10,}}(?!\w)")

_GOES_ON = r"(?: (?:has|have|is|are|was|were|does|holds|ends|cannot|could|needs|names|says|lies|lists|differs|should) )"
"""How sentences of this program go on behind a path; hardly a file is called so."""
_SEGMENT = re.compile(rf"(?<=/)[^/:\n'\"]+?(?=/|\.[A-Za-z]\w{{1,4}}(?!\w)|{_GOES_ON}|[:\n'\"]|$)")
_TOKEN = re.compile(r"[^\s/:'\"()]+")


def identifying(part: str) -> bool:
    """Whether one part of a path or name may tell who the patient is. UIDs and hashes do not count."""
    rest = _HASH.sub("", _UID.sub("", part))
    return any(pattern.search(rest) for pattern in (_DATE, _NUMBER, _PERSON, _NUMBERED_PERSON)) or _in_groups(part)


def _in_groups(text: str) -> bool:
    """Whether a text holds a date or a long number whose parts are told apart: no count and no seed is written so."""
    rest = _UID.sub("", text)
    return bool(_SPELT_DATE.search(rest)) or any(map(_is_long, _GROUPS.finditer(rest)))


def _is_long(number: re.Match[str]) -> bool:
    groups = number[0].split(number[1])
    address = number[1] == "." and len(groups) == 4 and all(int(group) <= 255 for group in groups)
    grid = number[1] == "_" and len(set(groups)) < len(groups)  # 240_240_155
    return not (address or grid) and sum(len(group.lstrip("0")) for group in groups) >= MIN_GROUPED


def printable(text: str) -> str:
    """A text in which what moves the cursor or cannot be seen is a space: names of files and labels may hold any."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def stand_in(part: str) -> str:
    """What stands for a part of a name."""
    return HIDDEN + hashlib.sha256(b"secondread name\0" + part.encode(errors="surrogateescape")).hexdigest()[:10]


def discreet(name: str, *, known: bool = False) -> str:
    """A study's or a group's name with stand-ins for the parts between slashes that may tell who the patient is.
    ``known``: it is known that the name tells; all of it is replaced."""
    if known:
        return stand_in(name)
    return "/".join(stand_in(part) if identifying(part) else part for part in name.split("/"))


def hidden(name: str) -> str:
    """A name with stand-ins for all parts between slashes that are none yet: equal for one name, however much of it is
    hidden."""
    return "/".join(part if part.startswith(HIDDEN) else stand_in(part) for part in name.split("/"))


def veiled(text: str) -> str:
    """A message with stand-ins for parts of paths, and for words beside a date or number, that may tell."""
    text = _SEGMENT.sub(lambda found: _veil(found[0]), text)
    return _TOKEN.sub(lambda found: _veil(found[0], count=not re.search(r"[^\W\d]", found[0])), text)


def _veil(part: str, count: bool = False) -> str:
    """``count``: it holds no letter, and a long number in it may count something."""
    return stand_in(part) if (_in_groups(part) if count else identifying(part)) else part


def without_places(text: str, places: Iterable[object], study: str) -> str:
    """A message about ``study`` in which that name stands for its files and folders, where its own name tells who the
    patient is (so :func:`discreet` replaced it); and with other telling names replaced. ``places``: paths."""
    if HIDDEN in study:
        for place in sorted(map(str, places), key=len, reverse=True):
            folder, _, name = place.rpartition("/")
            text = text.replace(place, study).replace(folder or place, study)
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", study, text) if name else text
    return veiled(text)
