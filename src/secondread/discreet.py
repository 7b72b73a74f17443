"""Names that may tell who a patient is, and what stands for them.

A study is named after its file or folder, and hospitals name those after patients. A part of a name is taken to tell
when it holds a date, a long number, a name as DICOM writes one (``DOE^JANE``) or ``Doe, Jane``; a DICOM header can
prove more (``formats.dicom`` compares it with the path), and of names of letters alone ``index.persons`` judges.

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
_NUMBER = re.compile(rf"(?<!\d)(?=\d{{{MIN_DIGITS}}})0*[1-9]\d{{{MIN_SIGNIFICANT - 1},}}(?!\d)")
_PERSON = re.compile(r"[^\W\d_]{2,}\^|\^[^\W\d_]{2,}|^[^\W\d_]{2,}, ?[^\W\d_]{2,}")
_UID = re.compile(r"\d+(?:\.\d+){4,}")
_HASH = re.compile(rf"(?:patient-|{HIDDEN})[0-9a-f]{{10,16}}|(?<!\w)(?=\w*[a-f])[0-9a-f]{{10,}}(?!\w)")

_SEGMENT = re.compile(r"(?<=/)[^/:\n'\"]+?(?=/|\.[A-Za-z]\w{1,4}(?!\w)|[:\n'\"]|$)")
_TOKEN = re.compile(r"[^\s/:'\"()]+")


def identifying(part: str) -> bool:
    """Whether one part of a path or name may tell who the patient is. UIDs and hashes do not count."""
    rest = _HASH.sub("", _UID.sub("", part))
    return any(pattern.search(rest) for pattern in (_DATE, _NUMBER, _PERSON))


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
    return _TOKEN.sub(lambda found: _veil(found[0]) if re.search(r"[^\W\d]", found[0]) else found[0], text)


def _veil(part: str) -> str:
    return stand_in(part) if identifying(part) else part


def without_places(text: str, places: Iterable[object], study: str) -> str:
    """A message about ``study`` in which that name stands for its files and folders, where its own name tells who the
    patient is (so :func:`discreet` replaced it); and with other telling names replaced. ``places``: paths."""
    if HIDDEN in study:
        for place in sorted(map(str, places), key=len, reverse=True):
            folder, _, name = place.rpartition("/")
            text = text.replace(place, study).replace(folder or place, study)
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", study, text) if name else text
    return veiled(text)
