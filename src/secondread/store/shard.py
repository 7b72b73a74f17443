"""One Zarr v3 array in one shard: written, and read in parts, by the shortest way from its bytes to a batch.

Any Zarr library reads these files (the tests do). Reading is done here because it is what a training step waits for: a
library decodes chunks into arrays of its own, assembles them, and leaves int16 behind; here a decoded chunk goes
straight to its place in the batch, as float32. ``docs/decisions/004`` has the figures.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import google_crc32c
import imagecodecs
import numpy as np
from numpy.typing import NDArray

from secondread.errors import ChecksumError
from secondread.store import layout
from secondread.store.layout import Kind

_NO_CHUNK = 2**64 - 1
"""Offset and length of a chunk that was not written because it would hold the fill value alone."""

_CRC_BYTES = 4
_ENTRY_BYTES = 16

_RESIDUE = 0x48674BC7
"""The crc32c of any bytes that are followed by their own crc32c (RFC 3720, B.4, tells how it comes about)."""

_BLOSC_SIZES_AT = (4, 12)
"""Where Blosc's header says how many bytes come out, and how many went in."""

Unit = tuple[int, float]
"""Offset and scale: a voxel is (stored - offset) * scale."""

Axis = tuple[int, slice, slice]
"""Along one axis: which chunk, which part of it, and where that part goes."""


@dataclass(frozen=True)
class Piece:
    """A chunk that is to be read.

    Attributes:
        first, past: its bytes in the file.
        source, target: which part of it is wanted, and where that goes.
    """

    first: int
    past: int
    source: tuple[slice, ...]
    target: tuple[slice, ...]


class Shard:
    """A shard whose table of chunks is known.

    Args:
        kind: of the array.
        shape: of the array, (C, S) or (S); with a leading N when ``grouped``.
        table: the end of the file, ``table_bytes`` long.
        size: bytes of the file.

    Raises:
        ChecksumError: the table is damaged.
    """

    def __init__(self, kind: Kind, shape: Sequence[int], table: bytes, size: int, *, grouped: bool) -> None:
        self._chunk = layout.chunk_shape(kind, shape, grouped=grouped)
        self._dtype = layout.DTYPE[kind]
        grid = _grid(shape, self._chunk)
        if len(table) != table_bytes(kind, shape, grouped=grouped) or google_crc32c.value(table) != _RESIDUE:
            raise ChecksumError("the table of its chunks is damaged")
        self._table = np.frombuffer(table[:-_CRC_BYTES], "<u8").reshape(*grid, 2)
        first, length = self._table[self._table[..., 0] != _NO_CHUNK].T
        body = np.uint64(max(0, size - len(table)))
        # Not first + length: they may be anything, and would wrap around.
        if (first > body).any() or (length > body - first).any() or sum(length.tolist()) > body:
            raise ChecksumError("the table of its chunks points past its end")

    def pieces(self, start: Sequence[int], size: Sequence[int]) -> list[Piece]:
        """What to read for the part that begins at ``start`` and has shape ``size``.

        Raises:
            ChecksumError: a chunk of it was never written.
        """
        axes = [_along(a, n, c) for a, n, c in zip(start, size, self._chunk, strict=True)]
        return [self._piece(place) for place in product(*axes)]

    def _piece(self, place: tuple[Axis, ...]) -> Piece:
        first, length = self._table[tuple(number for number, _, _ in place)].tolist()
        if first == _NO_CHUNK:
            raise ChecksumError("bytes of it are missing")
        sources, targets = tuple(source for _, source, _ in place), tuple(target for _, _, target in place)
        return Piece(first, first + length, sources, targets)

    def decode(self, pieces: Sequence[Piece], found: Iterable[bytes], out: NDArray[Any], unit: Unit | None) -> None:
        """Bring chunks to their places.

        Args:
            found: the bytes of each piece.
            out: the part, as :meth:`pieces` was asked for it: float32 where there is a unit, else of the stored type.
            unit: what stored values are turned into voxels by, chunk by chunk, while they are at hand.

        Raises:
            ChecksumError: bytes differ from what was written.
        """
        room = np.empty(prod(self._chunk) * np.dtype(self._dtype).itemsize, np.uint8)
        chunk = room.view(self._dtype).reshape(self._chunk)
        for piece, stored in zip(pieces, found, strict=True):
            if len(stored) != piece.past - piece.first or google_crc32c.value(stored) != _RESIDUE:
                raise ChecksumError("its bytes do not match their checksum")
            _decompress(stored, room)
            if unit is None:
                out[piece.target] = chunk[piece.source]
            else:
                wanted = chunk[piece.source]
                wanted -= unit[0]
                np.multiply(wanted, np.float32(unit[1]), out=out[piece.target])


def table_bytes(kind: Kind, shape: Sequence[int], *, grouped: bool) -> int:
    """How long the table of chunks is that ends the shard of an array."""
    return prod(_grid(shape, layout.chunk_shape(kind, shape, grouped=grouped))) * _ENTRY_BYTES + _CRC_BYTES


def encode(kind: Kind, values: NDArray[Any], *, grouped: bool) -> dict[str, bytes]:
    """An array as the files of a Zarr v3 folder: path below the block's folder -> bytes.

    Args:
        values: as stored, of the type that the kind is stored in.
    """
    chunk = layout.chunk_shape(kind, values.shape, grouped=grouped)
    grid = _grid(values.shape, chunk)
    table = np.full((*grid, 2), _NO_CHUNK, "<u8")
    pieces: list[bytes] = []
    end = 0
    for place in np.ndindex(*grid):
        part = values[tuple(slice(p * c, (p + 1) * c) for p, c in zip(place, chunk, strict=True))]
        if (part == layout.FILL[kind]).all():
            continue
        whole = np.full(chunk, layout.FILL[kind], values.dtype)
        whole[tuple(slice(0, n) for n in part.shape)] = part
        # Only of an array does it take the type's size; bytes it would not shuffle.
        stored: Any = whole
        packed = bytes(imagecodecs.blosc_encode(stored, layout.LEVEL, compressor=layout.CODEC, shuffle=1, numthreads=1))
        pieces += (packed, _sum(packed))
        table[place] = (end, len(packed) + _CRC_BYTES)
        end += len(packed) + _CRC_BYTES
    body = table.tobytes()
    metadata = layout.array_metadata(kind, values.shape, grouped=grouped)
    return {
        f"{kind}/zarr.json": json.dumps(metadata, indent=2).encode(),
        layout.SHARD[kind]: b"".join((*pieces, body, _sum(body))),
    }


def _along(start: int, size: int, chunk: int) -> list[Axis]:
    out = []
    for number in range(start // chunk, (start + size - 1) // chunk + 1):
        low, high = max(start, number * chunk), min(start + size, (number + 1) * chunk)
        out.append((number, slice(low - number * chunk, high - number * chunk), slice(low - start, high - start)))
    return out


def _decompress(stored: bytes, room: NDArray[np.uint8]) -> None:
    """Undo Blosc, whose header is looked at first: the checksum vouches for the bytes, not that they fit here."""
    sizes = [int.from_bytes(stored[at : at + 4], "little") for at in _BLOSC_SIZES_AT]
    if sizes != [len(room), len(stored) - _CRC_BYTES]:
        raise ChecksumError("a chunk of it has another size than it should")
    try:
        imagecodecs.blosc_decode(stored, numthreads=1, out=room.data)
    except (RuntimeError, ValueError) as error:
        raise ChecksumError(f"a chunk of it cannot be decompressed: {error}") from error


def _sum(content: bytes) -> bytes:
    checksum: int = google_crc32c.value(content)
    return checksum.to_bytes(_CRC_BYTES, "little")


def _grid(shape: Sequence[int], chunk: Sequence[int]) -> tuple[int, ...]:
    return tuple(-(-n // c) for n, c in zip(shape, chunk, strict=True))
