"""Tables that people write: a CSV of images, a CSV of labels to join on, and BIDS' participants.tsv."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from secondread.errors import LabelError
from secondread.formats.read import split_source
from secondread.index.draft import Draft
from secondread.index.names import is_picture, split_of, stem_of

IMAGE_COLUMNS = ("image", "label", "mask", "group", "site", "split", "study", "contrast")
LABEL_COLUMNS = ("study", "image", "group", "label", "mask", "site", "split")
ABOUT_PATIENTS = ("sex", "gender", "age", "race", "ethnic", "scanner", "vendor", "manufacturer", "field")
"""Columns that begin so are about patients and their scanners: figures are told by them, and nothing is learned."""
MISSING = frozenset({"", "n/a", "na", "nan", "null"})
"""Cells that say nothing. "none" is not among them: it may be a class."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # all but tabs and ends of lines


@dataclass(frozen=True)
class Line:
    """One line of a table: its number in the file (the header is 1) and its cells, None where a cell says nothing."""

    number: int
    cells: dict[str, str | None]

    def get(self, column: str) -> str | None:
        return self.cells.get(column)


@dataclass(frozen=True)
class Sheet:
    path: Path
    columns: tuple[str, ...]
    lines: tuple[Line, ...]

    def at(self, line: Line) -> str:
        return f"{self.path.name}, line {line.number}"


def read_sheet(path: Path) -> Sheet:
    """Read a table with a header line; comma, semicolon or tab apart, UTF-8 with or without a byte-order mark.

    Column names are lowered and stripped. Raises LabelError: no such file, not UTF-8, control characters in it, no
    header, a column named twice, a line with more cells than the header.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LabelError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start}): save it as UTF-8") from None
    except OSError as error:
        raise LabelError(f"cannot read {path}: {error.strerror}") from error
    if control := _CONTROL.search(text):
        raise LabelError(
            f"{path}, line {text.count(chr(10), 0, control.start()) + 1} holds the control character "
            f"{control[0]!a}: take it out"
        )
    header_line = text.split("\n", 1)[0]
    delimiter = max("\t;,", key=header_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise LabelError(f"{path}, line {reader.line_num}: {error}") from error
    if not rows:
        raise LabelError(f"{path} is empty: its first line should name the columns")
    columns = tuple(cell.strip().lower() for cell in rows[0][1])
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise LabelError(f"{path} names a column twice: {', '.join(repr(column) for column in twice)}")
    return Sheet(path, columns, tuple(_line(path, columns, number, row) for number, row in rows[1:]))


def _line(path: Path, columns: Sequence[str], number: int, row: Sequence[str]) -> Line:
    if len(row) > len(columns) and any(cell.strip() for cell in row[len(columns) :]):
        raise LabelError(
            f"{path}, line {number} has {len(row)} cells, the header {len(columns)}: quote cells that hold a comma"
        )
    cells = [cell.strip() for cell in row] + [""] * (len(columns) - len(row))
    return Line(number, {c: None if cell.lower() in MISSING else cell for c, cell in zip(columns, cells, strict=False)})


def check_columns(sheet: Sheet, known: Sequence[str], needed: Iterable[str]) -> None:
    """Raise LabelError for a column outside ``known``, or if none of ``needed`` is there."""
    unknown = [column for column in sheet.columns if column not in known]
    if unknown:
        about = [column for column in unknown if column.startswith(ABOUT_PATIENTS)]
        said = " and ".join(map(repr, about)) if len(about) < len(unknown) else "them"
        hint = f"; give {said} to `secondread evaluate --about`, in a table of its own" if about else ""
        raise LabelError(
            f"{sheet.path} has the unknown column{'s' * (len(unknown) > 1)} "
            f"{', '.join(repr(column) for column in unknown)}; known are {', '.join(known)}{hint}"
        )
    if not any(column in sheet.columns for column in needed):
        raise LabelError(f"{sheet.path} needs a column {' or '.join(needed)}; it has {', '.join(sheet.columns)}")


def read_images(path: Path) -> list[Draft]:
    """Studies of a CSV with ``IMAGE_COLUMNS``, of which only ``image`` is mandatory.

    Paths are relative to the CSV. Volumes with the same ``study`` are contrasts of one study; pictures with the same
    ``study`` are studies of one group. A line whose image or mask is missing becomes a draft with a reason.

    Raises:
        LabelError: an unknown column, no ``image`` column, an unknown split, no image of the whole table exists, one
            study with two labels, masks, groups, sites, splits, or with one contrast twice.
    """
    sheet = read_sheet(path)
    check_columns(sheet, IMAGE_COLUMNS, ("image",))
    if not sheet.lines:
        raise LabelError(f"{path} has a header and no line below it")
    above = _above_all(sheet)
    drafts = [_draft(sheet, line, above) for line in sheet.lines]
    missing = [draft for draft in drafts if draft.reason]
    if len(missing) == len(drafts):
        raise LabelError(
            f"no image of {path} can be used; the first: {missing[0].reason} ({missing[0].origin}). "
            f"Paths are relative to {path.parent}"
        )
    return _merge_contrasts(sheet, drafts)


def _above_all(sheet: Sheet) -> Path | None:
    """The deepest folder that holds every image outside the CSV's own: what lies above it tells no study from another,
    and may tell whose computer it is."""
    images = [image for line in sheet.lines if (image := line.get("image")) is not None and _outside(image)]
    return Path(os.path.commonpath([_place(sheet, image).parent for image in images])) if images else None


def _outside(image: str) -> bool:
    return Path(image).is_absolute() or Path(image).parts[:1] == (os.pardir,)


def _place(sheet: Sheet, image: str) -> Path:
    return Path(os.path.normpath((sheet.path.parent / image).absolute()))  # links stay what they are


def _name(sheet: Sheet, image: str, above: Path | None) -> str:
    """A study's name: its image's path below the CSV's folder, or below ``above`` where it lies outside."""
    below = _place(sheet, image).relative_to(above) if above and _outside(image) else Path(image)
    return stem_of(below.as_posix().removeprefix("./"))


def _draft(sheet: Sheet, line: Line, above: Path | None) -> Draft:
    image, mask, group = line.get("image"), line.get("mask"), line.get("group")
    source = None if image is None else sheet.path.parent / image
    mask_path = None if mask is None else sheet.path.parent / mask
    reason: str | None = "the line names no image"
    if source is not None:
        reason = why_missing("image", split_source(source)[0]) or why_missing("mask", mask_path)
    written = tuple(cell for cell in (line.get("study"), group) if cell is not None)
    name = f"line {line.number}" if image is None else _name(sheet, image, above)
    study = line.get("study")
    if study is not None and source is not None and is_picture(source):
        # A picture is a study by itself; what its lines share is then the patient or the visit.
        study, group = f"{study}/{stem_of(source.name)}", group or study
    contrast = line.get("contrast")
    return Draft(
        study=study or name,
        images=() if source is None else (source,),
        contrasts=() if source is None else (contrast.lower() if contrast else None,),
        label=line.get("label"),
        mask=mask_path,
        group=group,
        group_from="csv" if group else "study",
        site=line.get("site"),
        split=split_cell(sheet, line),
        reason=reason,
        origin=sheet.at(line),
        written=written,
    )


def why_missing(what: str, path: Path | None) -> str | None:
    """Why a file that a table names cannot be had; None where it is there, or none is named."""
    if path is None:
        return None
    try:
        return None if path.exists() else f"the {what} {path.name} does not exist"
    except OSError as error:  # a name too long, or a folder that may not be entered
        return f"the {what} {path.name} cannot be looked for: {error.strerror}"


def split_cell(sheet: Sheet, line: Line) -> str | None:
    """The split that a line names, in our spelling. Raises LabelError for an unknown one."""
    cell = line.get("split")
    if cell is None:
        return None
    split = split_of(cell)
    if split is None:
        raise LabelError(f"{sheet.at(line)}: unknown split {cell!r}; write train, validation or test")
    return split


def _merge_contrasts(sheet: Sheet, drafts: Sequence[Draft]) -> list[Draft]:
    """Drafts of one study as one draft; the first line's place is kept."""
    if "study" not in sheet.columns:
        return list(drafts)
    studies: dict[tuple[str, str], list[Draft]] = {}
    for draft in drafts:
        picture = draft.origin if draft.images and is_picture(draft.images[0]) else ""
        studies.setdefault((draft.study, picture), []).append(draft)
    return [_merge(sheet, name, parts) if len(parts) > 1 else parts[0] for (name, _), parts in studies.items()]


def _merge(sheet: Sheet, name: str, parts: Sequence[Draft]) -> Draft:
    def one(what: str, values: Iterable[object]) -> object:
        seen = list(dict.fromkeys(value for value in values if value is not None))
        if len(seen) > 1:
            raise LabelError(
                f"{sheet.path}: study {name!r} has two {what}s, {' and '.join(repr(str(value)) for value in seen[:2])} "
                f"({parts[0].origin} to {parts[-1].origin}): a study has one"
            )
        return seen[0] if seen else None

    files = [str(image) for part in parts for image in part.images]
    twice = sorted({Path(file).name for file in files if files.count(file) > 1})
    if twice:
        raise LabelError(f"{sheet.path}: study {name!r} lists {twice[0]} twice")
    mask = one("mask", (part.mask for part in parts))

    def text(what: str) -> str | None:
        value = one(what, (getattr(part, what) for part in parts))
        return None if value is None else str(value)

    group = text("group")
    reasons = [part.reason for part in parts if part.reason]
    return Draft(
        study=name,
        images=tuple(image for part in parts for image in part.images),
        contrasts=tuple(contrast for part in parts for contrast in part.contrasts),
        label=text("label"),
        mask=mask if isinstance(mask, Path) else None,
        group=group,
        group_from="csv" if group else "study",
        site=text("site"),
        split=text("split"),
        reason="; ".join(reasons) or None,
        origin=parts[0].origin,
        written=tuple(dict.fromkeys(name for part in parts for name in part.written)),
    )
