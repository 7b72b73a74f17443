"""A multipart body to files in a private folder, while it arrives.

What a peer sends decides nothing but a suffix from a list and a contrast from a list: files get random names, bytes
are counted before they are written, and one file is open at a time.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from secondread.errors import TooLarge, TruncatedFile, UnsupportedFormat, UsageError, writing
from secondread.formats import contrast_of

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
VOLUME_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
DICOM_SUFFIX = ".dcm"
SUFFIXES = (*PICTURE_SUFFIXES, *VOLUME_SUFFIXES, DICOM_SUFFIX)
"""What may stand at the end of a stored file's name; the first that fits a peer's name is taken."""

MAX_FILES = 4096
"""Files in one request: a long DICOM series and some."""

_DICOM_MAGIC = b"DICM"
_DICOM_MAGIC_AT = 128  # DICOM PS3.10 section 7.1: a preamble of 128 bytes comes first


@dataclass(frozen=True)
class Upload:
    """One received file.

    Attributes:
        path: where it lies, under a random name with a suffix of SUFFIXES.
        contrast: what its sender's name says of it (``t1``, ``flair``, ...), ``image`` where it says nothing.
    """

    path: Path
    contrast: str

    @property
    def is_dicom(self) -> bool:
        return self.path.suffix == DICOM_SUFFIX


@dataclass
class _Part:
    """The part of the body that is arriving. ``file`` is open where the part is a file."""

    header: bytearray = field(default_factory=bytearray)
    value: bytearray = field(default_factory=bytearray)
    disposition: bytes = b""
    peer_name: str = ""
    head: bytearray = field(default_factory=bytearray)
    path: Path | None = None
    file: BinaryIO | None = None


class Receiver:
    """Takes a body in chunks and leaves its files in ``folder``. A context manager: closes what a failure left open.

    Args:
        content_type: the request's header, with the boundary.
        folder: an empty private folder that the caller removes.
        max_bytes: of the whole body.

    Raises:
        UsageError: not multipart, malformed, or too many files.
    """

    def __init__(self, content_type: str, folder: Path, max_bytes: int) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise UsageError("the body is not multipart/form-data with a boundary")
        self._folder = folder
        self._max_bytes = max_bytes
        self._received = 0
        self._ended = False
        self._part = _Part()
        self._uploads: list[Upload] = []
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._header_field,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_finished,
                    "on_part_data": self._data,
                    "on_part_end": self._part_end,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise UsageError("the boundary of the multipart body cannot be used") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._part.file is not None:
            self._part.file.close()

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body.

        Raises:
            TooLarge: more than ``max_bytes`` so far; nothing of this chunk is written.
            UnsupportedFormat: a file of a kind that is not read here.
            UsageError: malformed, or more than MAX_FILES files.
            ResourceError: the disk is full.
        """
        self._received += len(chunk)
        check_size(self._received, self._max_bytes)
        try:
            with writing("the upload"):
                self._parser.write(chunk)
        except FormParserError as error:
            raise UsageError("the multipart body is malformed") from error

    def finish(self) -> tuple[Upload, ...]:
        """All files, in the order sent.

        Raises:
            TruncatedFile: the body stopped before its closing boundary. UsageError: it held no file.
        """
        if not self._ended:
            raise TruncatedFile("the upload ended before its closing boundary")
        if not self._uploads:
            raise UsageError("the request holds no file")
        return tuple(self._uploads)

    def _begin(self) -> None:
        self._part = _Part()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._part.header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._part.value += data[start:end]

    def _header_end(self) -> None:
        if bytes(self._part.header).lower() == b"content-disposition":
            self._part.disposition = bytes(self._part.value)
        self._part.header.clear()
        self._part.value.clear()

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._part.disposition)
        peer_name = options.get(b"filename", b"").decode("utf-8", "replace")
        if not peer_name:  # a plain form field, or a file input that was left empty
            return
        if len(self._uploads) >= MAX_FILES:
            raise UsageError(f"more than {MAX_FILES} files in one request")
        self._part.peer_name = peer_name
        self._part.path = self._folder / secrets.token_hex(16)
        self._part.file = self._part.path.open("xb")

    def _data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        if part.file is None:
            return
        if len(part.head) < _DICOM_MAGIC_AT + len(_DICOM_MAGIC):
            part.head += data[start : min(end, start + 256)]
        part.file.write(memoryview(data)[start:end])

    def _part_end(self) -> None:
        part = self._part
        if part.file is None or part.path is None:
            return
        part.file.close()
        suffix = _suffix(part.peer_name, bytes(part.head))
        folder = self._folder / "series" if suffix == DICOM_SUFFIX else self._folder
        folder.mkdir(exist_ok=True)
        path = part.path.rename(folder / (part.path.name + suffix))
        self._uploads.append(Upload(path, contrast_of(part.peer_name)))
        self._part = _Part()

    def _end(self) -> None:
        self._ended = True


def check_size(size: int, max_bytes: int) -> None:
    """Raise TooLarge where ``size`` bytes are more than ``max_bytes``."""
    if size > max_bytes:
        raise TooLarge(f"the upload is larger than the {max_bytes / 2**20:g} MiB that this server takes")


def _suffix(peer_name: str, head: bytes) -> str:
    """DICOM files often have no suffix, or one that is a number: their content tells. All others go by the name."""
    if head[_DICOM_MAGIC_AT : _DICOM_MAGIC_AT + len(_DICOM_MAGIC)] == _DICOM_MAGIC:
        return DICOM_SUFFIX
    lower = peer_name.lower()
    for suffix in SUFFIXES:
        if lower.endswith(suffix):
            return suffix
    raise UnsupportedFormat(f"a file of a kind that is not read here; read are DICOM and {', '.join(SUFFIXES)}")
