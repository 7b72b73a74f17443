"""What names of folders, files and labels give away: normal classes, splits, masks, patients."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from secondread.formats.header import KIND_OF_SUFFIX, UNSUPPORTED_SUFFIXES, suffix_of

Role = Literal["scan", "mask", "aside"]

NORMAL_NAMES = frozenset({
    "normal", "normals", "healthy", "healthycontrol", "healthycontrols", "healthysubject", "healthysubjects",
    "control", "controls", "normalcontrol", "normalcontrols", "hc", "cn", "notumor", "notumors", "notumour",
    "notumours", "no", "negative", "negatives", "neg", "nofinding", "nofindings", "nolesion", "nolesions",
    "noabnormality", "nodisease",
})  # fmt: skip
"""Labels that mean "nothing abnormal", as :func:`squeeze` leaves them."""

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "tst": "test",
    "holdout": "test",
}
"""Usual spellings of the three splits, as :func:`squeeze` leaves them; ``_set`` and ``_data`` may follow."""

_MASK_WORD = re.compile(r"^(seg|mask|label)|(seg|mask|label|labels)$")
_TREATED_WORD = re.compile(r"(masked|labell?ed|segmented)$")  # a scan that something was done to
_ASIDE_WORD = re.compile(r"^(brain|head|skull|bet)s?(mask|seg)?$")
_CONTRAST_WORD = re.compile(
    r"^(t1|t1w|t1c|t1ce|t1gd|t1post|t1n|t2|t2w|t2f|t2flair|flair|pd|pdw|dwi|adc|swi)$", re.IGNORECASE
)


@dataclass(frozen=True)
class Patient:
    """Who a name says the patient is, and the site if the name tells it too."""

    group: str
    site: str | None = None


@dataclass(frozen=True)
class _Pattern:
    """A naming scheme: ``group`` is the patient part of the name, ``site`` (if there) the place."""

    scheme: str
    regex: re.Pattern[str]


_PATIENT_PATTERNS = (
    _Pattern("BIDS", re.compile(r"(?:^|[/_])(?P<group>sub-[A-Za-z0-9]+)")),
    _Pattern("BraTS", re.compile(r"(?P<group>BraTS-[A-Z]+-\d{4,5})(?:-\d{3})?")),
    _Pattern("BraTS", re.compile(r"(?P<group>BraTS(?:19|2[0-9]|20[0-9]{2})_(?:Training_|Validation_)?\d{3,5})", re.I)),
    _Pattern("BraTS", re.compile(r"(?P<group>Brats1\d_(?P<site>[A-Z]+\d*|2013)_[A-Z0-9]+)(?:_\d+)?", re.I)),
    _Pattern("IXI", re.compile(r"(?P<group>IXI\d{3})(?:-(?P<site>[A-Za-z]+)-\d+)?")),
    _Pattern("TCGA", re.compile(r"(?P<group>TCGA[-_](?P<site>[A-Z0-9]{2})[-_][A-Z0-9]{4})")),
    _Pattern("OASIS", re.compile(r"(?P<group>OAS3\d{4}|OAS\d_\d{4,5})")),
    _Pattern("UPENN-GBM", re.compile(r"(?P<group>UPENN-GBM-\d{5})(?:_\d+)?")),
    _Pattern("ADNI", re.compile(r"(?P<group>(?P<site>\d{3})_S_\d{4,5})")),
)


def squeeze(text: str) -> str:
    """Lower case, letters and digits only: ``"No Tumour"`` -> ``"notumour"``."""
    return re.sub(r"[\W_]+", "", text.casefold())


def is_normal(label: str, named: Iterable[str] = ()) -> bool:
    """Whether a label means "nothing abnormal": by its name, or because the user ``named`` it."""
    return squeeze(label) in NORMAL_NAMES or squeeze(label) in {squeeze(name) for name in named}


def split_of(text: str) -> str | None:
    """``train``, ``validation`` or ``test`` for any usual spelling, else None."""
    return SPLIT_NAMES.get(re.sub(r"(set|data)$", "", squeeze(text))) or SPLIT_NAMES.get(squeeze(text))


def words(stem: str) -> list[str]:
    """The parts of a file name between dashes, dots, underscores and spaces."""
    return [word for word in re.split(r"[-_.\s()]+", stem) if word]


def role_of(stem: str) -> Role:
    """What a file is by its name: ``mask`` (``*seg*``, ``*mask*``, ``*label*`` as a word's start or end), ``aside``
    (a brain or skull mask, which marks no lesion), else ``scan``."""
    lowered = [word.lower().rstrip("0123456789") for word in words(stem)]
    if not any(is_mask_word(word) for word in lowered):
        return "scan"
    return "aside" if any(_ASIDE_WORD.match(word) for word in lowered) else "mask"


def base_of(stem: str) -> str:
    """The name without the words that tell contrast or mask: what the files of one study share."""
    kept = [word for word in words(stem) if not is_contrast_word(word) and not is_mask_word(word.lower())]
    return "_".join(kept)


def is_contrast_word(word: str) -> bool:
    """``T1``, ``flair``: a word that names a contrast."""
    return bool(_CONTRAST_WORD.match(word))


def is_mask_word(word: str) -> bool:
    """A word, in lower case, that begins or ends as names of masks do."""
    return bool(_MASK_WORD.search(word)) and not _TREATED_WORD.search(word)


def patient_of(path: str) -> tuple[str, Patient] | None:
    """``(scheme, patient)`` if a path holds a name of a known scheme (BIDS, BraTS, IXI, TCGA, OASIS, ADNI).

    The deepest part that matches decides; ``Brats18_TCIA01_201_1`` is patient ``Brats18_TCIA01_201`` of ``TCIA01``.
    """
    for part in reversed([part for part in re.split(r"[/\\]", path) if part]):
        for pattern in _PATIENT_PATTERNS:
            if match := pattern.regex.search(part):
                found = match.groupdict()
                return pattern.scheme, Patient(found["group"], found.get("site"))
    return None


def stem_of(name: str) -> str:
    """A file name without its imaging suffix (``.nii.gz`` counts as one); a folder's name unchanged."""
    suffix = suffix_of(Path(name))
    known = suffix in KIND_OF_SUFFIX or suffix in UNSUPPORTED_SUFFIXES
    return name[: -len(suffix)] if known and len(suffix) < len(name) else name


def is_picture(source: Path) -> bool:
    """Whether a source is a picture, by its suffix."""
    return KIND_OF_SUFFIX.get(suffix_of(source)) == "picture"
