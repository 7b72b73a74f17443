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

    volume    image (C, S)       mask (S)       chunks (C, 32, 32, 32) and (32, 32, 32)
    pictures  image (N, C, S)    mask (N, S)    one chunk per picture

Voxels are kept as ``round(z / scale)``. No voxel ever has the fill value, so a chunk that is missing shows as such;
every chunk, and the table of chunks, carries a crc32c.
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

VERSION = 2
SPEC = "spec.json"
MARKER = "block.json"
CASES = "cases"

SCALE = CLIP_Z / 1023
"""Standard deviations per stored step of a freshly packed store; a store keeps its own in its spec.

A step of 0.01 standard deviations adds noise of 0.003, a tenth of what a good scan has itself. Finer steps would store
the scanner's noise at the cost of disk and of time to decode (measured on a BraTS case of 8.9 MB as .nii.gz, four
contrasts at 1 mm, with lz4: 10/32767 11.5 MB, 10/8191 9.6 MB, 10/1023 8.1 MB, 10/511 7.2 MB).
"""

IMAGE_FILL = -32768
MASK_FILL = 255
"""Values that no stored voxel has; reading one means that bytes are missing."""

CHUNK = (32, 32, 32)
"""Voxels along each axis of a volume's chunk."""

BLOCK_CASES = 256
BLOCK_BYTES = 64 << 20
"""A block of pictures holds at most this many, and at most this many bytes of voxels."""

SHARD = {"image": "image/c.0.0.0.0", "mask": "mask/c.0.0.0"}
"""The one shard of an array, below the block's folder."""

Kind = Literal["image", "mask"]

_DTYPE = {"image": "int16", "mask": "uint8"}
_FILL = {"image": IMAGE_FILL, "mask": MASK_FILL}
_BLOSC: Any = {"cname": "lz4hc", "clevel": 5, "shuffle": "shuffle"}
# Measured on a 4-contrast BraTS case at 1 mm (8.9 MB as .nii.gz), one thread, the 64 chunks that a 96^3 patch touches:
# lz4hc 7.6 MB and 4.1 ms to decode, lz4 8.7 MB and 5.5 ms, blosclz 8.9 MB and 7.7 ms; with bit shuffle lz4 8.2 MB and
# twice the time, zstd level 1 7.0 MB and five times. Chunks of 16 x 16 x 32 voxels read less beside the patch (1.8 of
# its size instead of 2.3) and take longer all the same (26 ms of CPU a patch instead of 18): each chunk has its cost.


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
        floor: per channel, the lowest stored value (of an absent channel: 0): what padding looks like.
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
    chunk = _chunk(kind, shape, grouped=grouped)
    size = np.dtype(_DTYPE[kind]).itemsize
    # int16 has a byte order to state and uint8 has none.
    as_bytes: dict[str, Any] = {"name": "bytes", **({"configuration": {"endian": "little"}} if size > 1 else {})}
    blosc = {**_BLOSC, "typesize": size, "blocksize": 0}
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
        "data_type": _DTYPE[kind],
        "fill_value": _FILL[kind],
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(_shard(shape, chunk))}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
    }


def encode(kind: Kind, values: NDArray[Any], *, grouped: bool) -> dict[str, bytes]:
    """An array as the files of a Zarr v3 folder: path below the block's folder -> bytes."""
    import zarr
    from zarr.codecs import BloscCodec, Crc32cCodec

    chunk = _chunk(kind, values.shape, grouped=grouped)
    files: dict[str, Any] = {}
    array = zarr.create_array(
        zarr.storage.MemoryStore(files),
        shape=values.shape,
        dtype=_DTYPE[kind],
        chunks=chunk,
        shards=_shard(values.shape, chunk),
        compressors=[BloscCodec(typesize=values.dtype.itemsize, **_BLOSC), Crc32cCodec()],
        fill_value=_FILL[kind],
        chunk_key_encoding={"name": "default", "separator": "."},
        config={"write_empty_chunks": False},
    )
    array[...] = values
    return {f"{kind}/{name}": bytes(buffer.to_bytes()) for name, buffer in files.items()}


def _chunk(kind: Kind, shape: tuple[int, ...], *, grouped: bool) -> tuple[int, ...]:
    if grouped:
        return (1, *shape[1:])
    return (shape[0], *CHUNK) if kind == "image" else CHUNK


def _shard(shape: tuple[int, ...], chunk: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(-(-n // c) * c for n, c in zip(shape, chunk, strict=True))
