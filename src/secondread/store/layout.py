"""What lies in a store.

    STORE/spec.json                      sealed JSON: version, recipe, scale, cases, and blocks with each file's SHA-256
    STORE/cases/<key>/image/zarr.json    Zarr v3 array, int16
    STORE/cases/<key>/image/c.0.0.0.0    its only shard
    STORE/cases/<key>/mask/...           Zarr v3 array, uint8; absent where no case of the block has a mask
    STORE/cases/<key>/block.json         sealed JSON: what packing found out

A *block* is a folder below ``cases``: one volume, or up to a few hundred pictures (which all have the recipe's size),
so that ten thousand pictures are no ten thousand folders. ``key`` is a hash of what was packed. The folder gets this
name when it is complete; until then it is called ``.<key>.partial``.

Shapes: C channels; S a prepared grid (3 axes for a volume, 2 for a picture); N pictures in a block.

    volume    image (C, S)       mask (S)       chunks (C, 24, 24, 192 at most) and (64, 64, 192)
    pictures  image (N, C, S)    mask (N, S)    one chunk per picture

Voxels are kept as ``round(z / scale) + offset``. No voxel ever has the fill value, so a chunk that is missing shows as
such; every chunk, and the table of chunks, carries a crc32c.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from secondread.volume import Recipe
from secondread.volume.prepare import CLIP_Z

Kind = Literal["image", "mask"]

VERSION = 3
SPEC = "spec.json"
MARKER = "block.json"
CASES = "cases"

SCALE = CLIP_Z / 1023
"""Standard deviations per stored step of a freshly packed store; a store keeps its own in its spec.

A step of 0.01 standard deviations adds noise of 0.003, a tenth of what a good scan has itself. Finer steps would store
the scanner's noise at the cost of disk and of time to decode (docs/decisions/004).
"""

OFFSET = 128
"""Added to every step. Voxels crowd around 0, where the high byte would change with every sign."""

MOST_OFFSET = 2**15 - 1024
"""Steps reach 1023 to either side of the offset, within int16."""

IMAGE_FILL = -32768
MASK_FILL = 255
"""Values that no stored voxel has; reading one means that bytes are missing."""

CHUNK: dict[Kind, tuple[int, int, int]] = {"image": (24, 24, 192), "mask": (64, 64, 192)}
"""Voxels along each axis of a volume's chunks, at most; along the last axis all chunks are about equally long.

Columns, because rows of voxels are copied one by one, and every chunk has a price of its own (docs/decisions/004).
"""

BLOCK_CASES = 256
BLOCK_BYTES = 64 << 20
"""A block of pictures holds at most this many, and at most this many bytes of voxels."""

SHARD = {"image": "image/c.0.0.0.0", "mask": "mask/c.0.0.0"}
"""The one shard of an array, below the block's folder."""

DTYPE: dict[Kind, Any] = {"image": np.int16, "mask": np.uint8}
FILL: dict[Kind, int] = {"image": IMAGE_FILL, "mask": MASK_FILL}

CODEC, LEVEL = "lz4hc", 1
"""Blosc's, with byte shuffle. Level 5 takes 8 % less disk for a BraTS case, and six times as long to write
(docs/decisions/004)."""


class Row(Protocol):
    """What packing needs to know of a study; a row of the index fits."""

    @property
    def study(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def label(self) -> str | None: ...
    @property
    def normal(self) -> bool | None: ...
    @property
    def split(self) -> str | None: ...
    @property
    def mask(self) -> Any: ...
    @property
    def images(self) -> Sequence[Any]: ...
    @property
    def contrasts(self) -> Sequence[str]: ...
    @property
    def sha256(self) -> str: ...


@dataclass(frozen=True)
class Facts:
    """What the voxels of one packed study say, whatever its label.

    Attributes:
        shape: S.
        present: per channel, whether the study has it; a channel that it lacks is 0 throughout.
        has_mask: whether a mask is stored. ``mask_voxels`` of it are not 0.
        floor: per channel, the lowest voxel in steps, without the offset (0 of an absent one): what padding looks like.
        points: up to a few hundred voxels of the mask, base64 of little-endian uint32 offsets into S in C order.
        box: per axis of the scan, the first voxel of its foreground and the one after the last.
        spacing: of the scan, mm per axis; empty for a picture.
        quantiles: per channel, the 1st, 50th and 99th percentile in standard deviations; zeros for an absent one.
    """

    shape: tuple[int, ...]
    present: tuple[bool, ...]
    has_mask: bool
    mask_voxels: int
    floor: tuple[int, ...]
    points: str
    box: tuple[tuple[int, int], ...] = ()
    spacing: tuple[float, ...] = ()
    quantiles: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Facts:
        return cls(
            shape=tuple(fields["shape"]),
            present=tuple(fields["present"]),
            has_mask=fields["has_mask"],
            mask_voxels=fields["mask_voxels"],
            floor=tuple(fields["floor"]),
            points=fields["points"],
            box=tuple((first, past) for first, past in fields["box"]),
            spacing=tuple(fields["spacing"]),
            quantiles=tuple(tuple(channel) for channel in fields["quantiles"]),
        )


@dataclass(frozen=True)
class Case:
    """One packed study. ``row`` is its place in a block of pictures, None for a volume."""

    block: str
    row: int | None
    study: str
    group: str
    label: str | None
    normal: bool | None
    split: str | None
    facts: Facts

    @property
    def key(self) -> str:
        """A name unique in the store, fit for a file."""
        return self.block if self.row is None else f"{self.block}-{self.row:04d}"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.facts.shape

    @property
    def present(self) -> tuple[bool, ...]:
        return self.facts.present

    @property
    def has_mask(self) -> bool:
        return self.facts.has_mask

    @property
    def mask_voxels(self) -> int:
        return self.facts.mask_voxels

    def mask_points(self) -> NDArray[np.intp]:
        """Some voxels of the mask: (n, axes of S), n = 0 where there is none."""
        offsets = np.frombuffer(base64.b64decode(self.facts.points), "<u4").astype(np.intp)
        return np.stack(np.unravel_index(offsets, self.shape), axis=1)


@dataclass(frozen=True)
class Block:
    """One folder of arrays.

    Attributes:
        key: the folder's name below ``cases``.
        shape: of the image array, (C, S) or (N, C, S).
        files: path below the folder -> (bytes, SHA-256).
    """

    key: str
    shape: tuple[int, ...]
    files: dict[str, tuple[int, str]]

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Block:
        files = {name: (int(size), str(digest)) for name, (size, digest) in fields["files"].items()}
        return cls(fields["key"], tuple(fields["shape"]), files)


def pack_points(offsets: NDArray[np.intp]) -> str:
    """The inverse of :meth:`Case.mask_points`, from offsets into S."""
    return base64.b64encode(offsets.astype("<u4").tobytes()).decode()


def block_length(recipe: Recipe) -> int:
    """Studies per block."""
    if recipe.size is None:
        return 1
    return max(1, min(BLOCK_CASES, BLOCK_BYTES // (2 * len(recipe.channels) * prod(recipe.size))))


def array_metadata(kind: Kind, shape: tuple[int, ...], *, grouped: bool) -> dict[str, Any]:
    """The Zarr v3 metadata of an array, a function of its shape, so that reading trusts no ``zarr.json``.

    Args:
        shape: of this array; with its leading N when ``grouped`` (a block of pictures).
    """
    chunk = chunk_shape(kind, shape, grouped=grouped)
    size = np.dtype(DTYPE[kind]).itemsize
    # int16 has a byte order to state and uint8 has none.
    as_bytes: dict[str, Any] = {"name": "bytes", **({"configuration": {"endian": "little"}} if size > 1 else {})}
    blosc = {"cname": CODEC, "clevel": LEVEL, "shuffle": "shuffle", "typesize": size, "blocksize": 0}
    little: dict[str, Any] = {"name": "bytes", "configuration": {"endian": "little"}}
    sharding = {
        "chunk_shape": list(chunk),
        "codecs": [as_bytes, {"name": "blosc", "configuration": blosc}, {"name": "crc32c"}],
        "index_codecs": [little, {"name": "crc32c"}],
        "index_location": "end",
    }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": np.dtype(DTYPE[kind]).name,
        "fill_value": FILL[kind],
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(_shard(shape, chunk))}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
    }


def chunk_shape(kind: Kind, shape: Sequence[int], *, grouped: bool) -> tuple[int, ...]:
    """Of an array of this kind and shape."""
    if grouped:
        return (1, *shape[1:])
    wide, deep, most = CHUNK[kind]
    column = (wide, deep, -(-shape[-1] // -(-shape[-1] // most)))
    return (shape[0], *column) if kind == "image" else column


def _shard(shape: tuple[int, ...], chunk: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(-(-n // c) * c for n, c in zip(shape, chunk, strict=True))
