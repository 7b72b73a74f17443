"""What NRRD and MetaImage share: a text header, then voxels in the same file or in one beside it.

Read here and not by ITK: its MetaIO aborts the whole process on some damaged headers (``NDims = 99``), follows a data
file wherever its name leads, and takes 1 mm and an identity where a header says nothing.
"""

from __future__ import annotations

import bz2
import re
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from secondread.errors import FormatError, GeometryError, TruncatedFile, UnsafeFileError, UnsupportedFormat
from secondread.formats.header import check_not_empty
from secondread.volume import Geometry

MAX_HEADER_BYTES = 1 << 20

QUOTED = 12
"""So many words of a field are repeated in a message."""

_NUMBER = re.compile(r"[-+]?(?:(?:\d{1,5}(?:\.\d{0,17})?|\.\d{1,17})(?:[eE][-+]?\d{1,3})?|nan|inf)", re.ASCII)
"""A number that may be repeated: one of six digits and more may be a date, or a patient's."""

Encoding = Literal["raw", "gzip", "zlib", "bzip2"]
_GZIP_MAGIC = b"\x1f\x8b"
_EXPANSION: dict[Encoding, int] = {"raw": 1, "gzip": 1032, "zlib": 1032, "bzip2": 2**20}
"""The most that a byte of each encoding can become; deflate's is stated by zlib, bzip2's is far above what it does."""


@dataclass(frozen=True)
class Layout:
    """Where the voxels lie, in the patient and on disk.

    Attributes:
        data: the file with the voxels. start: their first byte in it; -1: they are its last bytes.
    """

    geometry: Geometry
    dtype: np.dtype[Any]
    data: Path
    start: int
    encoding: Encoding
    warnings: tuple[str, ...]

    @property
    def bytes(self) -> int:
        return prod(self.geometry.shape) * self.dtype.itemsize

    def check_room(self, path: Path) -> None:
        """Raises TruncatedFile where the file is too small for the voxels, before memory is taken for them."""
        size = check_not_empty(self.data)
        if self.bytes > max(0, size - max(self.start, 0)) * _EXPANSION[self.encoding]:
            raise TruncatedFile(f"{path}: its voxels have {size} bytes, its header promises {self.bytes}")

    def voxels(self, path: Path) -> NDArray[Any]:
        """The voxels (i, j, k). Raises TruncatedFile, FormatError."""
        with self.data.open("rb") as file:
            file.seek(self.start if self.start >= 0 else self.data.stat().st_size - self.bytes)
            # Compressed bytes outgrow the voxels by a thousandth at worst.
            stored = file.read(self.bytes if self.encoding == "raw" else self.bytes + self.bytes // 500 + (1 << 16))
        data = stored if self.encoding == "raw" else _inflated(stored, self.encoding, self.bytes)
        if len(data) < self.bytes:
            raise TruncatedFile(f"{path} ends after {len(data)} of {self.bytes} bytes of voxels; copy it again")
        return np.frombuffer(data, self.dtype, prod(self.geometry.shape)).reshape(self.geometry.shape, order="F")


def _inflated(stored: bytes, encoding: Encoding, size: int) -> bytes:
    """At most ``size`` + 1 bytes: a bomb stays small, and the one byte more makes the checksum be compared. Damage
    raises what the library raises; the caller reads within :func:`~secondread.formats.header.reading`."""
    if encoding == "bzip2":
        unpacker: Any = bz2.BZ2Decompressor()
    else:
        unpacker = isal_zlib.decompressobj(31 if stored[:2] == _GZIP_MAGIC else 15)
    return bytes(unpacker.decompress(stored, size + 1))


def data_beside(path: Path, named: str) -> Path:
    """The data file that a header names, which must lie in the header's folder.

    Raises:
        UnsafeFileError: it lies elsewhere. UnsupportedFormat: several files. FormatError: it is missing.
    """
    if named.split()[0].upper() == "LIST" or "%" in named:
        raise UnsupportedFormat(f"{path}: voxels spread over several files are not supported; save one file")
    folder = path.parent.resolve()
    data = (folder / named).resolve()
    if not data.is_relative_to(folder):
        raise UnsafeFileError(f"{path} asks for voxels outside its folder; put both files into one folder")
    if not data.is_file():
        raise FormatError(f"{path}: the file that its header names for its voxels is missing; put it beside the header")
    return data


def quoted(value: object) -> str:
    """What a message may repeat of a header's field: short numbers, QUOTED at most. A field where a number belongs may
    hold anything, a name too."""
    said = [word if _NUMBER.fullmatch(word) else "(something else)" for word in str(value).split()]
    return " ".join([*said[:QUOTED], *(["..."] if len(said) > QUOTED else [])]) or "nothing"


def numbers(text: str, count: int, what: str, path: Path) -> list[float]:
    """``count`` finite numbers. Raises GeometryError naming the field."""
    try:
        values = [float(word) for word in text.split()]
    except ValueError:
        values = []
    if len(values) != count or not np.isfinite(values).all():
        raise GeometryError(f"{path}: {what} should be {count} numbers, found {quoted(text)}")
    return values


def counts(text: str, count: int, what: str, path: Path) -> list[int]:
    """``count`` whole numbers. Raises FormatError naming the field."""
    words = text.split()
    if len(words) != count or not all(word.removeprefix("-").isdecimal() and len(word) < 12 for word in words):
        raise FormatError(f"{path}: {what} should be {count} whole numbers, found {quoted(text)}")
    return [int(word) for word in words]


def chosen(fields: dict[str, str], name: str, known: dict[str, Any], path: Path, default: str | None = None) -> Any:
    """What a field with a fixed vocabulary stands for. Raises FormatError, UnsupportedFormat."""
    word = fields.get(name, default)
    if word is None:
        raise FormatError(f"{path}: its header has no {name!r}")
    if word.lower() not in known:
        raise UnsupportedFormat(f"{path}: {name} should be one of {', '.join(known)}")
    return known[word.lower()]
