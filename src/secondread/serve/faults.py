"""What a peer is told when something fails: a status, a sentence and what to do; never where things lie here."""

from __future__ import annotations

import re
from collections.abc import Mapping

from secondread.errors import (
    FormatError,
    InputError,
    RefusedError,
    ResourceError,
    SecondreadError,
    TooLarge,
    UnsafeFileError,
    UsageError,
)

_SEND = "Send one picture (PNG, JPEG, TIFF), NIfTI, NRRD or MHA files, or all files of one DICOM series."

_ANSWERS: tuple[tuple[type[SecondreadError], int, str], ...] = (
    (TooLarge, 413, "Send a smaller scan, or let the operator raise the limit."),
    (UnsafeFileError, 400, _SEND),
    (FormatError, 400, _SEND),
    (UsageError, 400, _SEND),
    (InputError, 422, "The file was read, but this model cannot judge it; /v1/model says what it reads."),
    (RefusedError, 500, "The model or the server is not as it should be; tell the operator."),
    (ResourceError, 507, "The server is short of disk or memory; try later, or tell the operator."),
)

_QUOTED = re.compile(r"""(?<!\w)(['"])(?:(?!\1).)*\1(?!\w)""", re.DOTALL)
"""What a message quotes of a header: a field where a number belongs may hold anything, a name too."""

_PATH = re.compile(r"""(?<![\w.])(?:/[^\s/'":,;()]+){2,}/?""")


def answer_to(error: SecondreadError, names: Mapping[str, str]) -> tuple[int, dict[str, str]]:
    """The status and the body for an error of the tree.

    Args:
        error: what was raised.
        names: strings of the server (paths, stored names) to what a peer may see in their place.
    """
    for kind, status, hint in _ANSWERS:
        if isinstance(error, kind):
            return status, {"error": public(str(error), names), "hint": hint}
    return 500, {"error": "the scan could not be read", "hint": "Tell the operator; the log says where it failed."}


def public(text: str, names: Mapping[str, str]) -> str:
    """``text`` without the strings in ``names``, without what it quotes of a file, and without any other absolute
    path."""
    for secret in sorted(names, key=len, reverse=True):
        text = text.replace(secret, names[secret])
    return _PATH.sub("a file of the server", _QUOTED.sub("(a value in it)", text))
