"""Where a store lies: a folder, or a prefix in an S3 bucket. Both hold whole objects under the same names.

S3 is reached through TensorStore, with credentials from where AWS's own tools look for them (``AWS_ACCESS_KEY_ID``,
``~/.aws/credentials``, the machine's role). ``AWS_ENDPOINT_URL`` names another server that speaks S3, ``AWS_REGION``
the region.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from secondread.errors import ChecksumError, ResourceError, UsageError, writing
from secondread.files import PARTIAL, flush_folder, write_flushed, write_whole
from secondread.store.layout import CASES

RETRIES = {"max_retries": 6, "initial_delay": "200ms", "max_delay": "5s"}
"""Requests that S3 refuses for a moment are sent again this often, and then given up: ten seconds in all."""

_RAN_OUT = (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_RAN_OUT_WORDS = (
    "PERMISSION_DENIED", "UNAUTHENTICATED", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED",
)  # fmt: skip
"""What is no damage to an object: other objects would fail in the same way."""

_S3 = re.compile(r"^s3:/+(?P<bucket>[^/]+)/?(?P<prefix>.*)$")


class Place(Protocol):
    """Objects by name (``spec.json``, ``cases/<key>/image/c.0.0.0.0``). What goes wrong is a ResourceError."""

    @property
    def lists_sizes(self) -> bool:
        """Whether the size of an object costs next to nothing."""
        ...

    @property
    def readers(self) -> int:
        """How many parts are best read at a time."""
        ...

    def read(self, name: str) -> bytes | None:
        """The bytes of an object; None where there is none."""
        ...

    def read_parts(self, name: str, parts: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes from the first number of each part up to the second; fewer where the object is shorter.

        Raises:
            ChecksumError: the object is not there or cannot be read; others may.
            ResourceError: no other object could be read either: permission, memory, the network.
        """
        ...

    def size(self, name: str) -> int | None:
        """Bytes of an object; None where there is none."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Write an object whole: a reader sees the old or the new one."""
        ...

    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
        ...

    def begin(self) -> None:
        """Make the place, and remove what a killed call left half written."""
        ...

    def write_block(self, key: str, files: Mapping[str, bytes], marker: tuple[str, bytes]) -> None:
        """Write ``cases/<key>/...``, the marker last: where it is, all is."""
        ...


def place_of(where: str | Path | Place) -> Place:
    """A folder, or ``s3://bucket/prefix``. Raises UsageError for another scheme."""
    if not isinstance(where, str | Path):
        return where
    text = str(where)
    if found := _S3.match(text):
        return Bucket(found["bucket"], found["prefix"].strip("/"))
    if scheme := re.match(r"^([a-z][a-z0-9+]+):/", text):
        raise UsageError(f"a store lies in a folder or under s3://, not {scheme[1]}://")
    return Folder(Path(where))


class Folder:
    """A folder on this machine's disks."""

    lists_sizes = True

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def readers(self) -> int:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def __str__(self) -> str:
        return str(self.path)

    def read(self, name: str) -> bytes | None:
        try:
            return (self.path / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise ResourceError(f"cannot read {self.path / name}: {error.strerror}") from error

    def read_parts(self, name: str, parts: Sequence[tuple[int, int]]) -> list[bytes]:
        try:
            file = os.open(self.path / name, os.O_RDONLY)
            try:
                return [os.pread(file, past - first, first) for first, past in parts]
            finally:
                os.close(file)
        except OSError as error:
            kind = ResourceError if error.errno in _RAN_OUT else ChecksumError
            raise kind(f"{name} cannot be read: {error.strerror}") from error

    def size(self, name: str) -> int | None:
        try:
            return (self.path / name).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise ResourceError(f"cannot read {self.path / name}: {error.strerror}") from error

    def write(self, name: str, content: bytes) -> None:
        write_whole(self.path / name, content)

    def remove(self, name: str) -> None:
        with writing(self.path / name):
            (self.path / name).unlink(missing_ok=True)

    def begin(self) -> None:
        with writing(self.path):
            (self.path / CASES).mkdir(parents=True, exist_ok=True)
            for leftover in (self.path / CASES).glob(f".*{PARTIAL}"):
                shutil.rmtree(leftover)

    def write_block(self, key: str, files: Mapping[str, bytes], marker: tuple[str, bytes]) -> None:
        final = self.path / CASES / key
        partial = final.with_name(f".{key}{PARTIAL}")
        try:
            with writing(self.path):  # the store: the user knows no name below it
                for name, content in (*files.items(), marker):
                    (partial / name).parent.mkdir(parents=True, exist_ok=True)
                    write_flushed(partial / name, content)
                # Only a damaged block can be in the way: a whole one would have been kept.
                shutil.rmtree(final, ignore_errors=True)
                partial.replace(final)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        flush_folder(final.parent)


class Bucket:
    """Objects under a prefix of an S3 bucket. A put is whole or not at all, so nothing is renamed."""

    lists_sizes = False
    readers = 16  # most of them wait for an answer

    def __init__(self, bucket: str, prefix: str) -> None:
        self.bucket, self.prefix = bucket, prefix
        self._open = lru_cache(1)(self._connect)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def read(self, name: str) -> bytes | None:
        found = self._ask(lambda store: store.read(name))
        return bytes(found.value) if found.state == "value" else None

    def read_parts(self, name: str, parts: Sequence[tuple[int, int]]) -> list[bytes]:
        try:
            store = self._open()
            coming = [store.read(name, byte_range=slice(first, past)) for first, past in parts]
            found = [future.result() for future in coming]
        except (ValueError, OSError) as error:
            kind = ResourceError if any(word in str(error) for word in _RAN_OUT_WORDS) else ChecksumError
            raise kind(f"{name} cannot be read: {_plain(error)}") from error
        if any(part.state != "value" for part in found):
            raise ChecksumError(f"{name} is missing")
        return [bytes(part.value) for part in found]

    def size(self, name: str) -> int | None:
        content = self.read(name)
        return None if content is None else len(content)

    def write(self, name: str, content: bytes) -> None:
        self._ask(lambda store: store.write(name, content))

    def remove(self, name: str) -> None:
        self._ask(lambda store: store.write(name, None))

    def begin(self) -> None:
        """Nothing to make and nothing half written: objects appear whole."""

    def write_block(self, key: str, files: Mapping[str, bytes], marker: tuple[str, bytes]) -> None:
        for name, content in (*files.items(), marker):
            self.write(f"{CASES}/{key}/{name}", content)

    def _connect(self) -> Any:
        import tensorstore as ts

        spec: dict[str, Any] = {"driver": "s3", "bucket": self.bucket, "path": f"{self.prefix}/" if self.prefix else ""}
        spec["context"] = {"s3_request_retries": RETRIES}
        if os.environ.get("AWS_ACCESS_KEY_ID"):
            # Named, because looking for files that are not there is written to stderr at length.
            spec["aws_credentials"] = {"type": "environment"}
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        if endpoint:
            # Another server than Amazon's does not tell its region; any serves to sign requests with.
            spec |= {"endpoint": endpoint, "aws_region": region or "us-east-1"}
        elif region:
            spec["aws_region"] = region
        return ts.KvStore.open(spec).result()

    def _ask(self, question: Any) -> Any:
        try:
            return question(self._open()).result()
        except (ValueError, OSError) as error:
            raise ResourceError(f"{self} does not answer: {_plain(error)}") from error


def _plain(error: Exception) -> str:
    """TensorStore's message without where in its sources it arose."""
    return str(error).split(" [source locations", 1)[0].split(" [", 1)[0]
