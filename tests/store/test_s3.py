"""The same store in a bucket: same bytes, and every harm on the way has a name."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator

import numpy as np
import pytest

from secondread.errors import ChecksumError, DataError, ResourceError, UsageError
from secondread.store import Batch, Store, pack, place_of

from .conftest import VOLUMES
from .s3 import BUCKET, Weather, serving
from .scans import FakeRow
from .test_feed import feed
from .test_feed import same as same_batch

SECRET = "a-key-that-nobody-may-see"


@pytest.fixture
def weather(monkeypatch: pytest.MonkeyPatch) -> Iterator[Weather]:
    with serving() as (url, weather):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        monkeypatch.setenv("AWS_REGION", "eu-central-1")
        yield weather


def batches(store: Store) -> list[Batch]:
    return list(feed(store).epoch(0, 5))


def same(one: list[Batch], two: list[Batch]) -> bool:
    return all(same_batch(a, b) for a, b in zip(one, two, strict=True))


def test_a_bucket_gives_what_a_folder_gives(weather: Weather, volumes: Store, volume_rows: list[FakeRow]) -> None:
    there = pack(volume_rows, VOLUMES, f"s3://{BUCKET}/some/store")
    assert [case.study for case in there.cases] == [case.study for case in volumes.cases]
    for near, far in zip(volumes.cases, there.cases, strict=True):
        np.testing.assert_array_equal(volumes.read(near)[0], there.read(far)[0])
    assert same(batches(volumes), batches(Store.open(f"s3://{BUCKET}/some/store")))
    there.verify()
    put = weather.seen["PUT"]
    pack(volume_rows, VOLUMES, f"s3://{BUCKET}/some/store")
    assert weather.seen["PUT"] == put + 1, "finished blocks are kept: only the spec is written again"


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_threads_change_nothing(volumes: Store, threads: int) -> None:
    assert same(batches(volumes), batches(Store.open(volumes.folder, threads=threads)))


def test_a_bad_moment_is_waited_out(weather: Weather, volumes: Store, volume_rows: list[FakeRow]) -> None:
    there = pack(volume_rows, VOLUMES, f"s3://{BUCKET}/store")
    weather.delay, weather.refuse = 0.02, 4
    assert same(batches(volumes), batches(there))
    assert weather.refuse == 0


@pytest.mark.parametrize("harm", ["refuse", "cut"])
def test_what_does_not_end_is_an_error_that_names_the_case(
    weather: Weather, volume_rows: list[FakeRow], harm: str
) -> None:
    there = pack(volume_rows, VOLUMES, f"s3://{BUCKET}/store")
    setattr(weather, harm, 10**6)
    weather.only = there.cases[2].block
    began = time.monotonic()
    with pytest.raises((ResourceError, ChecksumError), match="healthy-1") as caught:
        there.read(there.cases[2])
    assert time.monotonic() - began < 60
    assert SECRET not in str(caught.value)
    there.read(there.cases[0])


def test_a_lost_object_names_its_case(weather: Weather, volume_rows: list[FakeRow]) -> None:
    there = pack(volume_rows, VOLUMES, f"s3://{BUCKET}/store")
    place_of(f"s3://{BUCKET}/store").remove(f"cases/{there.cases[0].block}/image/c.0.0.0.0")
    with pytest.raises(ChecksumError, match="glioma-1"):
        there.read(there.cases[0])
    with pytest.raises(ChecksumError, match="glioma-1"):
        there.verify()
    assert weather.seen["DELETE"] == 1


def test_nothing_there_and_nobody_there(
    weather: Weather, volume_rows: list[FakeRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="no finished store"):
        Store.open(f"s3://{BUCKET}/nothing")
    with pytest.raises(ResourceError, match="s3://no-such-bucket"):
        pack(volume_rows[:1], VOLUMES, "s3://no-such-bucket/store")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(ResourceError, match="does not answer") as caught:
        Store.open(f"s3://{BUCKET}/store")
    assert SECRET not in str(caught.value)
    with pytest.raises(UsageError, match="gs://"):
        place_of("gs://bucket/store")


def test_the_server_is_there(weather: Weather) -> None:
    """The tests above prove nothing where no request is made."""
    import os

    urllib.request.urlopen(f"{os.environ['AWS_ENDPOINT_URL']}/{BUCKET}").read()
    assert weather.seen["GET"] == 1
