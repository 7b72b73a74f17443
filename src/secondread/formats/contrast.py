"""Which contrast a series has: from its name, its description, or its timing.

Names follow BraTS (t1, t1n, t1ce, t1c, t2, t2w, t2f, flair), BIDS (T1w, ce-gadolinium_T1w, FLAIR, PDw), IXI (-T1) and
what scanners write into SeriesDescription ("t1_mprage_sag", "AX T1 POST GAD", "T2 TSE", "T1 +C").
"""

from __future__ import annotations

import re
from pathlib import PurePath

from secondread.formats.header import KIND_OF_SUFFIX

UNKNOWN = "image"

_ENTITY = re.compile(
    r"(?:^|(?<=_))(?:sub|ses|space|from|to|run|dir|desc|res|label|task|rec|hemi|part|mod|inv|echo)-[^_]+(?:_|$)"
)
"""BIDS entities that say nothing of the contrast, though their value may look like one (space-T1w)."""

_NO_AGENT = re.compile(
    r"\b(?:pre|precontrast|precon|nativ|native|unenhanced|noncontrast|nongad)\b"
    r"|\bwithout\b(?! ?(?:fs|fat))|\b(?:no|non) ?(?:contrast|gad\w*|gd|km|cm|enhanced)\b"
)
_AGENT = re.compile(
    r"\b(?:ce|gd|gad|gado\w*|post(?!erior|op)\w*|contrast|km|cm|enhanced|dotarem|magnevist|multihance)\b"
    r"|\+ ?(?:c|gd|gad|km)\b|\bc ?\+"
)
_T1 = re.compile(
    r"\b(?:t1|t1w|t1n|t1wi|t1 ?weighted|mprage|mp2rage|memprage|spgr|fspgr|bravo|vibe|t1tfe|t1tse|t1se|t1fl2d)\b"
)
_T1_AGENT = re.compile(r"\bt1w?(?:ce|c|gd|gad|post|km|cm)\b|\bt1w?[+]|\b(?:ce|gd|c|post)t1w?\b")
_FLAIR = re.compile(r"flair|\bt2f\b|dark ?fluid|\btirm\b")
_T1_FLAIR = re.compile(r"\bt1w? ?flair")
_T2 = re.compile(r"\b(?:t2|t2w|t2wi|t2 ?weighted|t2tse|t2fse|t2frfse|haste|ciss|fiesta)\b")
_PD = re.compile(r"\b(?:pd|pdw|pdwi|proton ?density|proton)\b")
_DWI = re.compile(r"\b(?:dwi|diff|diffusion|tracew?|dti|ep2d ?diff)\b")
_B_VALUE = re.compile(r"\bb ?[1-9]\d{2,3}\b")
_ADC = re.compile(r"\b(?:adc|e?adc ?map|apparent diffusion)\b")
_SWI = re.compile(r"\b(?:swi|swan|venobold|mip swi)\b")
_OTHER = re.compile(
    r"t2 ?(?:star|\*)|\b(?:perf\w*|asl|pcasl|dsc|dce|bold|seg|mask|t1 ?map|t2 ?map|localizer|scout|phase)\b"
)


def contrast_of(text: str) -> str:
    """The contrast that a file name, path or SeriesDescription names.

    Returns:
        ``t1 t1c t2 flair pd dwi adc swi``; ``image`` where the text names none, or several (``t2_to_t1``).
    """
    words = _words(text)
    for pattern, contrast in ((_ADC, "adc"), (_DWI, "dwi"), (_SWI, "swi"), (_OTHER, UNKNOWN)):
        if pattern.search(words):
            return contrast
    t1 = bool(_T1.search(words) or _T1_AGENT.search(words))
    if _FLAIR.search(words) and not _T1_FLAIR.search(words):
        return "flair"
    named = [name for name, hit in (("t1", t1), ("t2", _T2.search(words)), ("pd", _PD.search(words))) if hit]
    if not named and _B_VALUE.search(words):
        return "dwi"
    if len(named) != 1:
        return UNKNOWN
    return "t1c" if t1 and with_agent(text) else named[0]


def with_agent(text: str) -> bool | None:
    """Whether the text says that a contrast agent was given: True, False ("pre", "w/o contrast"), None for silence."""
    words = _words(text)
    if _T1_AGENT.search(words):
        return True
    if _NO_AGENT.search(words) or re.search(r"\bt1n\b", words):
        return False
    return True if _AGENT.search(words) else None


def contrast_of_timing(
    echo_ms: float | None, repetition_ms: float | None, inversion_ms: float | None, sequence: str
) -> str:
    """A guess from TE, TR and TI in ms, for a series whose description is silent.

    Ranges are those of textbook head protocols at 1.5 to 3 T (McRobbie et al., MRI from Picture to Proton, 3rd ed.,
    ch. 3); whatever lies between them stays ``image``.

    Args:
        sequence: DICOM ScanningSequence codes joined by spaces: SE spin echo, GR gradient echo, IR, EP echo planar.
    """
    if echo_ms is None or repetition_ms is None or "EP" in sequence.split():
        return UNKNOWN
    inverted = inversion_ms is not None and inversion_ms > 0
    if inversion_ms is not None and inversion_ms >= 1500 and echo_ms >= 60:
        return "flair"
    if inverted:
        return "t1" if 400 <= (inversion_ms or 0) < 1500 and echo_ms < 20 else UNKNOWN
    if "GR" in sequence.split():
        return "t1" if echo_ms < 10 and repetition_ms < 50 else UNKNOWN
    if echo_ms < 30 and repetition_ms < 1000:
        return "t1"
    if repetition_ms >= 2000:
        return "t2" if echo_ms >= 70 else "pd" if echo_ms < 40 else UNKNOWN
    return UNKNOWN


def _words(text: str) -> str:
    """Lower case, separators to single spaces, BIDS entities and the folder of a file path removed."""
    lower = text.lower()
    # Only a path to an image is cut at the slash: a description may hold one ("T1 W/O CONTRAST").
    suffix = next((s for s in sorted(KIND_OF_SUFFIX, key=len, reverse=True) if lower.endswith(s)), None)
    if suffix is not None:
        lower = PurePath(lower).name.removesuffix(suffix)
        lower = _ENTITY.sub("", lower)
    lower = lower.replace("w/o", " without ")
    return " ".join(re.sub(r"[^a-z0-9+*]+", " ", lower).split())
