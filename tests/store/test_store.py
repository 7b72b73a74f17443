from __future__ import annotations

import errno
import os
import random
import re
from collections.abc import Callable
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
from numpy.typing import NDArray

from secondread.errors import ChecksumError, DataError, ResourceError, UnsafeFileError, UnsupportedFormat, UsageError
from secondread.store import Case, Feed, Store, layout
from secondread.store.sealed import seal, unseal
from secondread.store.shard import encode, table_bytes


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def shard(store: Store, number: int, kind: layout.Kind) -> Path:
    return store.folder / layout.CASES / store.cases[number].block / layout.SHARD[kind]


def test_a_part_is_the_part_of_the_whole(volumes: Store) -> None:
    case = volumes.cases[0]
    whole, whole_mask = volumes.read(case)
    image, mask = volumes.read_patch(case, (1, 17, 3), (30, 4, 29))
    assert whole_mask is not None
    assert mask is not None
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image, whole[:, 1:31, 17:21, 3:32])
    np.testing.assert_array_equal(mask, whole_mask[1:31, 17:21, 3:32])


@pytest.mark.parametrize(("start", "size"), [((-1, 0, 0), (4, 4, 4)), ((36, 0, 0), (4, 4, 4)), ((0, 0, 0), (4, 0, 4))])
def test_a_part_outside_is_refused(volumes: Store, start: tuple[int, ...], size: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="glioma-1"):
        volumes.read_patch(volumes.cases[0], start, size)


def test_what_is_no_store(tmp_path: Path, volumes: Store) -> None:
    with pytest.raises(DataError, match="no finished store"):
        Store.open(tmp_path)
    spec = volumes.folder / layout.SPEC
    content = unseal(spec.read_bytes(), spec)
    spec.write_bytes(seal({**content, "version": 99}))
    with pytest.raises(UnsupportedFormat, match="version 99"):
        Store.open(volumes.folder)


def test_any_flip_in_the_spec_shows(volumes: Store) -> None:
    spec = volumes.folder / layout.SPEC
    good = spec.read_bytes()
    for at in [*range(80), *random.Random(1).sample(range(len(good)), 60), len(good) - 2, len(good) - 1]:
        flip(spec, at)
        with pytest.raises(ChecksumError, match=re.escape("spec.json")):
            Store.open(volumes.folder)
        spec.write_bytes(good)
    spec.write_bytes(good[: len(good) // 2])
    with pytest.raises(ChecksumError):
        Store.open(volumes.folder)


def small_feed(store: Store, number: int) -> Feed:
    return Feed(store, store.cases[number : number + 1], ("glioma",), patch=(16, 16, 16), batch=2, seed=0)


def delete(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [delete, truncate, empty])
@pytest.mark.parametrize(("number", "kind", "study"), [(0, "image", "glioma-1"), (4, "mask", "unlabelled-1")])
def test_a_shard_that_is_not_whole(
    volumes: Store, harm: Callable[[Path], None], number: int, kind: layout.Kind, study: str
) -> None:
    harm(shard(volumes, number, kind))
    for attempt in (
        lambda: Store.open(volumes.folder),
        lambda: volumes.read(volumes.cases[number]),
        lambda: list(small_feed(volumes, number).epoch(0, 3)),
        volumes.verify,
    ):
        with pytest.raises(ChecksumError, match=study):
            attempt()
    volumes.read(volumes.cases[1])


def read_or_refuse(store: Store, case: Case) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None] | str:
    try:
        return store.read(case)
    except ChecksumError as error:
        return str(error)


def test_a_flipped_byte_is_never_silent(volumes: Store) -> None:
    """Wherever it falls, reading the study raises or gives the right voxels, and verify always tells."""
    chance = random.Random(0)
    case = volumes.cases[0]
    truth = volumes.read(case)
    raised = 0
    for _ in range(60):
        path = shard(volumes, 0, chance.choice(["image", "mask"]))
        at = chance.randrange(path.stat().st_size)
        flip(path, at)
        store = Store.open(volumes.folder)
        found = read_or_refuse(store, case)
        if isinstance(found, str):
            raised += "glioma-1" in found
        else:
            np.testing.assert_array_equal(found[0], truth[0])
            assert truth[1] is not None
            assert found[1] is not None
            np.testing.assert_array_equal(found[1], truth[1])
        with pytest.raises(ChecksumError, match="glioma-1"):
            store.verify()
        flip(path, at)
    assert raised > 55
    volumes.verify()


def test_a_flip_in_a_block_of_pictures_names_the_picture(pictures: Store) -> None:
    path = shard(pictures, 0, "image")
    flip(path, 100)
    store = Store.open(pictures.folder)
    with pytest.raises(ChecksumError) as caught:
        store.verify()
    named = re.findall(r"'((?:cat|dog)-\d)'", str(caught.value))
    assert len(named) == 1
    broken = next(case for case in store.cases if case.study == named[0])
    with pytest.raises(ChecksumError, match=named[0]):
        store.read(broken)
    for case in store.cases:
        if case is not broken:
            store.read(case)


def test_a_chunk_that_was_never_written_is_missing(volumes: Store) -> None:
    """Not zeros, and not the fill value either."""
    case = volumes.cases[0]
    lost = np.full((2, *case.shape), layout.IMAGE_FILL, np.int16)
    lost[:, :1] = 0
    path = shard(volumes, 0, "image")
    path.write_bytes(encode("image", lost, grouped=False)[layout.SHARD["image"]])
    spec = volumes.folder / layout.SPEC
    content = unseal(spec.read_bytes(), spec)
    block = next(block for block in content["blocks"] if block["key"] == case.block)
    block["files"][layout.SHARD["image"]][0] = path.stat().st_size
    spec.write_bytes(seal(content))
    store = Store.open(volumes.folder)
    store.read_patch(store.cases[0], (0, 0, 0), (1, 4, 4))
    with pytest.raises(ChecksumError, match=r"'glioma-1'.*image.*missing"):
        store.read(store.cases[0])


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.EACCES, ResourceError), (errno.EMFILE, ResourceError), (errno.EIO, ChecksumError)]
)
def test_running_out_is_no_damage(
    volumes: Store, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    def refuse(*_: object) -> bytes:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pread", refuse)
    with pytest.raises(kind, match="glioma-1"):
        volumes.read(volumes.cases[0])


@pytest.mark.parametrize(
    "entry", [(2**64 - 8, 16), (2**63, 2**63), (16, 2**64 - 10), (0, 10**9)], ids=["wraps", "half", "long", "past"]
)
def test_a_table_that_points_past_the_end_is_damage(volumes: Store, entry: tuple[int, int]) -> None:
    """With a right checksum, so that nothing else tells."""
    path = shard(volumes, 0, "image")
    whole = bytearray(path.read_bytes())
    case = volumes.cases[0]
    length = table_bytes("image", (len(case.present), *case.shape), grouped=False)
    table = np.frombuffer(bytes(whole[-length:-4]), "<u8").copy()
    table[:2] = entry
    whole[-length:-4] = table.tobytes()
    whole[-4:] = google_crc32c.value(table.tobytes()).to_bytes(4, "little")
    path.write_bytes(bytes(whole))
    with pytest.raises(ChecksumError, match="glioma-1"):
        Store.open(volumes.folder).read(case)


@pytest.mark.parametrize(
    ("where", "change", "kind"),
    [
        ("cases", {"block": "0" * 32}, DataError),
        ("cases", {"row": 3}, DataError),
        ("blocks", {"shape": [2, 0, 4, 4]}, DataError),
        ("blocks", {"files": {"../../../spec.json": [1, "0"]}}, UnsafeFileError),
    ],
)
def test_a_spec_that_contradicts_itself(
    volumes: Store, where: str, change: dict[str, object], kind: type[Exception]
) -> None:
    spec = volumes.folder / layout.SPEC
    content = unseal(spec.read_bytes(), spec)
    content[where][0] |= change
    spec.write_bytes(seal(content))
    with pytest.raises(kind):
        Store.open(volumes.folder)
