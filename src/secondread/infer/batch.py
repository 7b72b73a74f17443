"""Many studies to a folder: ``findings.json``, masks and pictures. One broken scan stops none of the others."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, get_args

from secondread.discreet import HIDDEN, printable, without_places
from secondread.errors import InputError, ResourceError, SecondreadError, UsageError, writing
from secondread.files import write_whole
from secondread.formats import read_study, write_mask, write_picture_mask
from secondread.infer.picture import reading_picture, save_picture
from secondread.infer.reader import Reading
from secondread.infer.starter import WARNING
from secondread.volume import Decision, Mask, Study

LONGEST_STEM = 120
"""Bytes of a study's name that its files may carry."""

KEY_NAME = "names.csv"
"""Which file each hidden name stands for: the one file of an answer that is not to be passed on."""

MOST_TOLD, MOST_NAMED, MOST_WARNINGS = 5, 3, 10
"""So many scans are told one by one, so many that carry one warning are named, and so many warnings are told;
``findings.json`` has them all."""

FLUSH_SECONDS = 5.0
"""``findings.json`` is rewritten at least this often while studies are read: a kill loses no more than that."""


class Scan(Protocol):
    """One study to read; a row of an index is one. ``reason`` if it is known already that it cannot be read."""

    @property
    def study(self) -> str: ...
    @property
    def images(self) -> Sequence[Path]: ...
    @property
    def contrasts(self) -> Sequence[str]: ...
    @property
    def reason(self) -> str | None: ...


class ReadsStudies(Protocol):
    """A :class:`secondread.infer.Reader`, or the starter model."""

    def read(self, study: Study) -> Reading: ...


@dataclass(eq=False)
class Outcome:
    """What came of reading: findings as in ``findings.json``, and the studies that could not be read."""

    findings: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, str]] = field(default_factory=list)


def read_all(
    reader: ReadsStudies,
    scans: Sequence[Scan],
    out: Path,
    *,
    pictures: bool = True,
    progress: Callable[[str, int, int], None] | None = None,
) -> Outcome:
    """Read every scan into ``out``: ``findings.json``, ``errors.json`` if any failed, ``<study>_mask.nii.gz`` (or
    ``.png``) and ``<study>.png``; ``names.csv`` where names had to be hidden.

    Raises:
        UsageError: scans lie in ``out`` itself, where a picture or mask might be written over one of them.
        ResourceError: ``out`` cannot be written. What was read until then is in it.
    """
    _keep_apart(scans, out)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    _save_key(scans, out)
    outcome, taken, flushed = Outcome(), set[str](), time.monotonic()
    try:
        for done, scan in enumerate(scans):
            if progress:
                progress("reading", done, len(scans))
            try:
                if scan.reason is not None:
                    raise InputError(scan.reason)
                study = read_study(scan.study, scan.images, scan.contrasts)
                reading = reader.read(study)
                stem = _file_stem(scan.study, taken)
                outcome.findings.append(_write(study, reading, out, stem, pictures))
            except ResourceError:
                raise
            except (SecondreadError, OSError) as error:
                outcome.errors.append(_unread(scan, str(error)))
            except Exception as error:  # a fault in this program that one scan meets must not cost the others
                fault = f"a fault in secondread, please report it: {type(error).__name__}: {error}"
                outcome.errors.append(_unread(scan, fault))
            if time.monotonic() - flushed > FLUSH_SECONDS:
                _save(outcome, out)
                flushed = time.monotonic()
    finally:
        _save(outcome, out)
    if progress:
        progress("reading", len(scans), len(scans))
    return outcome


def _unread(scan: Scan, reason: str) -> dict[str, str]:
    return {"study": scan.study, "error": without_places(reason, scan.images, scan.study)}


def outcome_words(outcome: Outcome, out: Path) -> list[str]:
    """What to tell the person of a batch: scans that could not be read, the answers where they are few, how many are
    what, warnings; and where the key is, where names are hidden."""
    few = outcome.findings if len(outcome.findings) <= MOST_TOLD else []
    said = [*_unread_words(outcome), *map(_finding_words, few), *_answer_words(outcome)]
    if any(HIDDEN in one["study"] for one in (*outcome.findings, *outcome.errors)):
        said.append(f"{out / KEY_NAME} says which file a hidden name stands for")
    return said


def written_words(outcome: Outcome, out: Path, *, pictures: bool) -> str:
    """How many were read, and what lies in ``out``."""
    read, errors = len(outcome.findings), len(outcome.errors)
    said = f"read {read} of {read + errors} studies into {out}"
    if read:
        said += f": findings.json{', a mask and a picture' if pictures else ' and a mask'} each"
    return said + ("; errors.json says what could not be read" if errors else "")


def _finding_words(found: Mapping[str, Any]) -> str:
    presence, said = found["presence"], []
    decision = presence["decision"] if presence else None
    if presence:
        said.append(f"{decision} ({presence['probability']:.2f})")
    if found["categories"] and decision != "normal":
        first = max(found["categories"], key=lambda kind: kind["probability"])
        said.append(f"{'if so, ' * (decision == 'unsure')}{first['name']} ({first['probability']:.2f})")
    return printable(f"{found['study']}: {', '.join(said)}")


def _unread_words(outcome: Outcome) -> list[str]:
    said = []
    for error in outcome.errors:
        name, why = error["study"], error["error"]
        said.append(printable(f"not read: {why if name in why else f'{name}: {why}'}"))
    return said


def _answer_words(outcome: Outcome) -> list[str]:
    """How many scans are what, and each warning with the scans that carry it (the starter's own is told before it
    reads)."""
    decisions = Counter(found["presence"]["decision"] for found in outcome.findings if found["presence"])
    said = [", ".join(f"{decisions[name]} {name}" for name in get_args(Decision) if name in decisions)]
    carried: dict[str, list[str]] = {}
    for found in outcome.findings:
        for warning in found["warnings"]:
            if warning != WARNING:
                carried.setdefault(warning, []).append(found["study"])
    for warning, studies in list(carried.items())[:MOST_WARNINGS]:
        more = f" and {len(studies) - MOST_NAMED} more" if len(studies) > MOST_NAMED else ""
        said.append(printable(f"warning: {', '.join(studies[:MOST_NAMED])}{more}: {warning}"))
    if len(carried) > MOST_WARNINGS:
        said.append(f"and {len(carried) - MOST_WARNINGS} other warnings, which findings.json has")
    return [line for line in said if line]


def _save_key(scans: Sequence[Scan], out: Path) -> None:
    """Where names were hidden because they tell who the patient is: which file each stands for. It stays with the
    scans."""
    hidden = [scan for scan in scans if HIDDEN in scan.study]
    if not hidden:
        (out / KEY_NAME).unlink(missing_ok=True)  # of an earlier call
        return
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("study", "file"))
    table.writerows((scan.study, *map(str, scan.images)) for scan in hidden)
    write_whole(out / KEY_NAME, text.getvalue().encode(errors="surrogateescape"))


def _keep_apart(scans: Sequence[Scan], out: Path) -> None:
    place = out.resolve()
    if any(place == image.parent.resolve() for scan in scans for image in scan.images):
        raise UsageError(
            f"the scans lie in {out}, and what is written there might replace one: name another folder (-o)"
        )


def _write(study: Study, reading: Reading, out: Path, stem: str, pictures: bool) -> dict[str, Any]:
    """The study's mask and picture; returns its findings as JSON values."""
    drawn = reading_picture(study, reading) if pictures else None
    with writing(out):
        if study.picture is None:
            name = f"{stem}_mask.nii.gz"
            write_mask(Mask(study.reference.geometry, reading.mask), out / name)
        else:
            name = f"{stem}_mask.png"
            write_picture_mask(reading.mask, out / name)
        if drawn is not None:
            save_picture(drawn, out / f"{stem}.png")
    return replace(reading.findings, mask=name).to_json()


def _save(outcome: Outcome, out: Path) -> None:
    with writing(out / "findings.json"):
        write_whole(out / "findings.json", _json(outcome.findings))
        if outcome.errors:
            write_whole(out / "errors.json", _json(outcome.errors))
        else:
            (out / "errors.json").unlink(missing_ok=True)  # of an earlier call


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _file_stem(study: str, taken: set[str]) -> str:
    """A file name for a study's outputs: its last parts, harmless characters only, and never the same twice."""
    plain = re.sub(r"[^\w.-]+", "_", study).strip("._")
    # File systems count bytes, not characters.
    plain = plain.encode()[-LONGEST_STEM:].decode(errors="ignore") or "study"
    stem, count = plain, 1
    while stem.lower() in taken:
        count += 1
        stem = f"{plain}_{count}"
    taken.add(stem.lower())
    return stem
