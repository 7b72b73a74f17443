"""Every error that secondread raises on purpose, as one tree.

    SecondreadError
    ├── UsageError              exit 2   the command or plan asks for what cannot be
    ├── InputError              exit 3   the data are not what they should be
    │   ├── FormatError                  one file cannot be read
    │   │   ├── UnsupportedFormat        no reader for it
    │   │   ├── TruncatedFile            it ends before its header says
    │   │   ├── TooLarge                 its header promises more than the cap
    │   │   ├── GeometryError            affine, spacing or shape make no sense
    │   │   └── SeriesError              missing, duplicate or mixed slices
    │   ├── LabelError                   labels contradict each other or the files
    │   ├── MaskError                    a mask does not fit its scan
    │   └── DataError                    nothing, or not enough, to learn from or to judge
    │       └── DivergenceError          the loss is no longer a number
    ├── RefusedError            exit 4   it could be done, and should not be
    │   ├── LeakError                    a split divides a patient or near-duplicates
    │   ├── ConfoundedError              something that is no disease gives the label away
    │   ├── ChecksumError                bytes differ from what was written
    │   └── UnsafeFileError              a file asks to run code or to leave its folder
    └── ResourceError           exit 5   disk, memory or permission ran out

Where an error passes through a caller that knows more (which study, which file), the caller adds it as a note
with :func:`locating`; the command line prints the message and the notes.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager


class SecondreadError(Exception):
    """Base of every error raised on purpose. ``exit_code`` is what the command line ends with."""

    exit_code = 1


class UsageError(SecondreadError):
    exit_code = 2


class InputError(SecondreadError):
    exit_code = 3


class FormatError(InputError):
    pass


class UnsupportedFormat(FormatError):
    pass


class TruncatedFile(FormatError):
    pass


class TooLarge(FormatError):
    pass


class GeometryError(FormatError):
    pass


class SeriesError(FormatError):
    pass


class LabelError(InputError):
    pass


class MaskError(InputError):
    pass


class DataError(InputError):
    pass


class DivergenceError(DataError):
    pass


class RefusedError(SecondreadError):
    exit_code = 4


class LeakError(RefusedError):
    pass


class ConfoundedError(RefusedError):
    pass


class ChecksumError(RefusedError):
    pass


class UnsafeFileError(RefusedError):
    pass


class ResourceError(SecondreadError):
    exit_code = 5


_RESOURCE_ERRNOS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "permission denied",
    errno.EPERM: "operation not permitted",
    errno.EROFS: "the file system is read-only",
    errno.EMFILE: "too many open files",
    errno.ENOMEM: "out of memory",
    errno.EFBIG: "the file is larger than the limit here",
    errno.EIO: "the disk does not answer as it should",
}

_NAMING_ERRNOS = {
    errno.ENOTDIR: "a file stands where a folder is needed; name another place",
    errno.EEXIST: "a file stands where a folder is needed; name another place",
    errno.EISDIR: "it is a folder, and a file is to be written; name another place",
    errno.ENAMETOOLONG: "the name is too long; name another place",
}


@contextmanager
def locating(what: str) -> Iterator[None]:
    """Add ``what`` (``"study sub-01"``, ``"labels.csv, line 3"``) as a note to a SecondreadError passing through."""
    try:
        yield
    except SecondreadError as error:
        error.add_note(f"in {what}")
        raise


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: torch says so with a RuntimeError, on the CPU in words only."""
    if isinstance(error, MemoryError):
        return True
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


@contextmanager
def writing(what: object) -> Iterator[None]:
    """Turn an OSError while writing ``what`` into a :class:`ResourceError` where space, permission or memory ran out,
    into a :class:`UsageError` where nothing can be written under that name."""
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        if reason := _RESOURCE_ERRNOS.get(number):
            raise ResourceError(f"cannot write {what}: {reason}") from error
        if reason := _NAMING_ERRNOS.get(number):
            raise UsageError(f"cannot write {what}: {reason}") from error
        raise


__all__ = [
    "ChecksumError",
    "ConfoundedError",
    "DataError",
    "DivergenceError",
    "FormatError",
    "GeometryError",
    "InputError",
    "LabelError",
    "LeakError",
    "MaskError",
    "RefusedError",
    "ResourceError",
    "SecondreadError",
    "SeriesError",
    "TooLarge",
    "TruncatedFile",
    "UnsafeFileError",
    "UnsupportedFormat",
    "UsageError",
    "is_out_of_memory",
    "locating",
    "writing",
]
