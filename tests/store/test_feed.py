from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from secondread.errors import ChecksumError, UsageError
from secondread.store import Batch, Case, Feed, Store, layout, pack
from secondread.store.buffers import Buffers
from secondread.store.feed import teaches
from secondread.store.sealed import seal, unseal

from .conftest import VOLUMES
from .scans import volume_row

CATEGORIES = ("glioma",)


def feed(store: Store, cases: Sequence[Case] | None = None, **changes: Any) -> Feed:
    options = {"patch": (16, 16, 16), "batch": 3, "seed": 5, **changes}
    return Feed(store, store.cases if cases is None else cases, CATEGORIES, **options)


def same(one: Batch, two: Batch) -> bool:
    tensors = ("images", "masks", "mask_known", "category", "abnormal")
    return one.studies == two.studies and all(torch.equal(getattr(one, t), getattr(two, t)) for t in tensors)


def test_the_same_batches_whatever_the_timing(volumes: Store) -> None:
    first = list(feed(volumes).epoch(3, 6))
    again = list(feed(Store.open(volumes.folder), memory=84 << 20).epoch(3, 6))
    assert len(first) == 6
    assert all(map(same, first, again))
    assert not any(map(same, first, feed(volumes).epoch(4, 6)))
    assert not any(map(same, first, feed(volumes, seed=6).epoch(3, 6)))


def test_an_epoch_goes_on_where_it_was_left(volumes: Store) -> None:
    whole = list(feed(volumes).epoch(1, 7))
    rest = list(feed(volumes).epoch(1, 7, first=4))
    assert len(rest) == 3
    assert all(map(same, whole[4:], rest))


def test_ranks_together_draw_what_one_draws(volumes: Store) -> None:
    alone = list(feed(volumes, batch=6).epoch(0, 4))
    ranks = [list(feed(volumes, batch=3, rank=rank, world=2).epoch(0, 4)) for rank in range(2)]
    for together, left, right in zip(alone, *ranks, strict=True):
        assert together.studies == left.studies + right.studies
        assert torch.equal(together.images, torch.cat([left.images, right.images]))


def test_shapes_types_and_balance(volumes: Store) -> None:
    batches = list(feed(volumes).epoch(0, 20))
    one = batches[0]
    assert (one.images.shape, one.images.dtype) == ((3, 2, 16, 16, 16), torch.float32)
    assert (one.masks.shape, one.masks.dtype) == ((3, 16, 16, 16), torch.uint8)
    assert one.mask_known.dtype == torch.bool
    assert one.category.dtype == torch.int64
    assert one.abnormal.dtype == torch.int8
    # Three classes: glioma, normal (with the study whose mask is empty), mask without label.
    drawn = [study.split("-")[0] for batch in batches for study in batch.studies]
    assert drawn.count("glioma") == 20
    assert sum(batch.studies.count("unlabelled-1") for batch in batches) == 20


def test_patches_are_parts_of_their_case(volumes: Store) -> None:
    """Each patch is found in its case, with channels of the pattern either whole or zero."""
    by_name = {case.study: case for case in volumes.cases}
    for batch in feed(volumes, foreground=1.0).epoch(0, 8):
        for place, study in enumerate(batch.studies):
            image, mask = volumes.read(by_name[study])
            out = batch.images[place].numpy()
            kept = [c for c in range(2) if out[c].any()]
            assert kept
            corner = np.argwhere(image[kept[0], :-15, :-15, :-15] == out[kept[0], 0, 0, 0])
            parts = [tuple(slice(a, a + 16) for a in at) for at in corner]
            part = next(p for p in parts if all(np.array_equal(image[c][p], out[c]) for c in kept))
            if mask is not None:
                np.testing.assert_array_equal(mask[part], batch.masks[place])


def test_patches_near_the_mask(volumes: Store) -> None:
    masked = volumes.cases[:1]
    near = [bool(batch.masks.any()) for batch in feed(volumes, masked, batch=1, foreground=1.0).epoch(0, 30)]
    far = [bool(batch.masks.any()) for batch in feed(volumes, masked, batch=1, foreground=0.0).epoch(0, 30)]
    assert all(near)
    assert sum(far) < 25


def test_a_case_smaller_than_the_patch_lies_in_air(volumes: Store) -> None:
    case = volumes.cases[0]
    image, mask = volumes.read(case)
    assert mask is not None
    before = [(48 - n) // 2 for n in case.shape]
    inside = tuple(slice(b, b + n) for b, n in zip(before, case.shape, strict=True))
    outside = np.ones((48, 48, 48), bool)
    outside[inside] = False
    for batch in feed(volumes, [case], patch=(48, 48, 48), batch=1).epoch(0, 6):
        out = batch.images[0].numpy()
        for channel in range(2):
            if out[channel].any():
                np.testing.assert_array_equal(out[channel][inside], image[channel])
                assert (out[channel][outside] == image[channel].min()).all()
        np.testing.assert_array_equal(batch.masks[0][inside], mask)
        assert not batch.masks[0].numpy()[outside].any()
        assert (batch.abnormal.tolist(), batch.category.tolist()) == ([1], [0])


def test_one_axis_shorter_than_the_patch(volumes: Store) -> None:
    case = next(case for case in volumes.cases if case.study == "healthy-2")
    batch = next(feed(volumes, [case], patch=(32, 16, 16), batch=2).epoch(0, 1))
    assert batch.images.shape == (2, 2, 32, 16, 16)
    assert batch.mask_known.all()
    assert batch.abnormal.tolist() == [0, 0]


def test_contrasts_that_one_class_lacks_are_given_by_none(volumes: Store) -> None:
    for batch in feed(volumes).epoch(0, 10):
        assert batch.images[:, 0].flatten(1).any(dim=1).all()
        assert not batch.images[:, 1].any()


@pytest.mark.parametrize(
    ("label", "normal", "masked", "lesion", "whole", "says"),
    [
        ("glioma", False, True, True, False, (1, 0)),
        ("glioma", False, True, False, False, (0, -1)),
        ("glioma", False, False, None, True, (1, 0)),
        ("glioma", False, False, None, False, (-1, -1)),
        ("healthy", True, False, None, False, (0, -1)),
        ("healthy", True, False, None, True, (0, -1)),
        (None, None, True, True, False, (1, -1)),
        (None, None, True, False, True, (0, -1)),
        ("meningioma", None, False, None, True, (-1, 1)),
    ],
)
def test_what_a_part_teaches(
    label: str | None, normal: bool | None, masked: bool, lesion: bool | None, whole: bool, says: tuple[int, int]
) -> None:
    facts = layout.Facts((4, 4, 4), (True,), masked, 0, (0,), "")
    case = Case("0" * 32, None, "s", "g", label, normal, "train", facts)
    assert teaches(case, ("glioma", "meningioma"), lesion=lesion, whole=whole) == says
    if label is None:
        assert teaches(case, ("lesion",), lesion=lesion, whole=whole) == (says[0], 0 if lesion else -1)


def test_whole_gives_every_case_once(volumes: Store, pictures: Store) -> None:
    batches = list(feed(volumes).whole(volumes.cases))
    assert [batch.studies for batch in batches] == [[case.study] for case in volumes.cases]
    for batch, case in zip(batches, volumes.cases, strict=True):
        image, mask = volumes.read(case)
        np.testing.assert_array_equal(batch.images[0], image)
        np.testing.assert_array_equal(batch.masks[0], np.zeros(case.shape) if mask is None else mask)
    cats = Feed(pictures, pictures.cases, ("cat", "dog"), patch=(16, 16), batch=3, seed=0)
    batches = list(cats.whole(pictures.cases))
    assert [len(batch.studies) for batch in batches] == [3, 3, 2]
    assert torch.cat([batch.category for batch in batches]).tolist() == [0] * 5 + [1] * 3
    assert torch.cat([batch.mask_known for batch in batches]).tolist() == [False] * 5 + [True] * 3


def test_pictures_keep_their_colours(pictures: Store) -> None:
    cats = Feed(pictures, pictures.cases, ("cat", "dog"), patch=(16, 16), batch=4, seed=0)
    for batch in cats.epoch(0, 10):
        assert batch.images.flatten(2).any(dim=2).all()
        assert sorted(batch.category.tolist()) == [0, 0, 1, 1]


def test_a_kept_batch_is_never_written_over(volumes: Store) -> None:
    held, copies, places = [], [], set()
    for number, batch in enumerate(feed(volumes).epoch(0, 12)):
        places.add(batch.images.data_ptr())
        if number in (2, 5):
            held.append(batch.images[1:, 0, 4])
            copies.append(batch.images[1:, 0, 4].clone())
    assert all(torch.equal(one, two) for one, two in zip(held, copies, strict=True))
    assert len(places) <= 4


def test_buffers_come_back_only_when_unused() -> None:
    pool = Buffers()
    place = pool.take(100).ctypes.data
    tensor = torch.from_numpy(pool.take(80)).view(8, 10)[2]
    assert tensor.data_ptr() == place + 20
    other = pool.take(60)
    assert other.ctypes.data != place
    del tensor
    assert pool.take(100).ctypes.data == place
    assert len(pool.take(1000)) == 1000


def test_stopping_early_is_harmless(volumes: Store) -> None:
    for _ in range(5):
        assert len(list(islice(feed(volumes).epoch(0, 1000), 2))) == 2


@pytest.mark.parametrize(
    "changes", [{"patch": (16, 16)}, {"batch": 0}, {"rank": 1}, {"foreground": 1.5}, {"seed": -1}, {"memory": 1 << 20}]
)
def test_what_cannot_be_fed(volumes: Store, changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        feed(volumes, **changes)


MEASURED = """
import sys
from pathlib import Path
import psutil, torch
from secondread.store import Feed, Store
store = Store.open(Path(sys.argv[1]))
cases = store.cases[: int(sys.argv[2])]
feed = Feed(store, cases, ("lesion",), patch=(64, 64, 64), batch=2, seed=0, memory=int(sys.argv[3]))
torch.zeros(10).numpy()
import tensorstore
process = psutil.Process()
base = peak = process.memory_full_info().uss
for number, batch in enumerate(feed.epoch(0, 30)):
    peak = peak if number % 3 else max(peak, process.memory_full_info().uss)
print(peak - base)
"""


def test_memory_keeps_to_the_budget_however_many_cases(tmp_path: Path) -> None:
    """Sixty cases are one case under sixty names: what is measured is reading."""
    row = volume_row(tmp_path, "a", shape=(80, 80, 80), lesion=True)
    store = pack([row], VOLUMES, tmp_path / "store")
    spec = store.folder / layout.SPEC
    content = unseal(spec.read_bytes(), spec)
    (block,), (case,) = content["blocks"], content["cases"]
    source = store.folder / layout.CASES / block["key"]
    content["blocks"], content["cases"] = [], []
    for number in range(60):
        key = f"{number:032x}"
        (store.folder / layout.CASES / key).symlink_to(source)
        content["blocks"].append({**block, "key": key})
        content["cases"].append({**case, "block": key, "study": f"s{number}"})
    spec.write_bytes(seal(content))
    budget = 120 << 20
    used = []
    for cases in (20, 60):
        arguments = [sys.executable, "-c", MEASURED, str(store.folder), str(cases), str(budget)]
        done = subprocess.run(arguments, capture_output=True, text=True, check=True)
        used.append(int(done.stdout))
    assert max(used) <= budget, [n >> 20 for n in used]
    assert max(used) <= 1.25 * min(used) + (8 << 20), [n >> 20 for n in used]


def test_a_broken_case_is_counted_and_another_of_its_class_stands_in(volumes: Store) -> None:
    """Once a shard is damaged its study is never seen again, the batches stay whole, and the others are untouched."""
    before = list(feed(volumes, batch=4, foreground=0.0).epoch(0, 6))
    place = volumes.folder / layout.CASES / volumes.cases[0].block / layout.SHARD["image"]
    content = bytearray(place.read_bytes())
    content[len(content) // 3] ^= 255
    place.write_bytes(bytes(content))
    store = Store.open(volumes.folder)
    harmed = feed(store, batch=4, foreground=0.0)
    after = list(harmed.epoch(0, 6))
    assert set(harmed.broken) == {"glioma-1"}
    assert "glioma-1" in harmed.broken["glioma-1"]
    assert any("glioma-1" in batch.studies for batch in before)
    for old, new in zip(before, after, strict=True):
        assert len(new.studies) == 4
        for n, (was, now) in enumerate(zip(old.studies, new.studies, strict=True)):
            if was == "glioma-1":
                assert now == "glioma-2"
            else:
                assert now == was
                assert torch.equal(old.images[n], new.images[n])
    seen = [study for batch in harmed.whole(store.cases) for study in batch.studies]
    assert seen == [case.study for case in store.cases if case.study != "glioma-1"]


def test_a_class_of_broken_cases_ends_the_run(volumes: Store) -> None:
    store = Store.open(volumes.folder)
    for case in store.cases[:2]:
        place = store.folder / layout.CASES / case.block / layout.SHARD["image"]
        place.write_bytes(bytes(place.stat().st_size))
    with pytest.raises(ChecksumError, match="glioma"):
        list(feed(store).epoch(0, 6))
