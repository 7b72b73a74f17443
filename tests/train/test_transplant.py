"""Lesions exchanged among the pictures of a batch: who gives, what moves, and what stays as it was."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from secondread.errors import UsageError
from secondread.index import Index, build_index
from secondread.store import Batch
from secondread.train import make_plan, pack_data, train
from secondread.train import transplant as module
from secondread.train.plan import learned_beside
from secondread.train.transplant import Transplants, draw_transplants, transplant, transplanted
from tests.train.test_train import cut_and_resume, weights

SIDE = 64
KINDS = [0, 0, 0, 1, 2, -1, -1, -1]
FIELDS = ("images", "masks", "mask_known", "category", "abnormal")
PLACES = [(20, 20), (40, 30), (24, 40), (44, 44), (30, 20), None, None, None]


def batch(n: int = 8, half: int = 4) -> Batch:
    """A round head in each picture, and in those of KINDS a square lesion, as bright as its number says."""
    head = disc((SIDE - 1) / 2, (SIDE - 1) / 2, 28).float()
    images, masks = head.repeat(n, 1, 1, 1), torch.zeros(n, SIDE, SIDE, dtype=torch.uint8)
    for b, place in enumerate(PLACES[:n]):
        if place:
            box = tuple(slice(at - half, at + half + 1) for at in place)
            masks[b][box], images[b, 0][box] = 1, 3.0 + b
    kinds = torch.tensor(KINDS[:n])
    ill = kinds >= 0
    studies = [f"s{b}" for b in range(n)]
    return Batch(images, masks, torch.ones(n, dtype=torch.bool), kinds, ill.to(torch.int8), studies)


def disc(row: float, column: float, radius: float) -> Tensor:
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    return (rows - row) ** 2 + (columns - column) ** 2 < radius**2


def marked(made: Batch, b: int, box: tuple[slice, slice], value: float | None = None) -> Batch:
    """The batch with more lesion in picture ``b``."""
    masks, images = made.masks.clone(), made.images.clone()
    masks[b][box], images[b, 0][box] = 1, 3.0 + b if value is None else value
    return replace(made, masks=masks, images=images)


def plain(n: int, donors: dict[int, int]) -> Transplants:
    return Transplants(
        tuple(donors.get(b, -1) for b in range(n)), torch.zeros(n), torch.ones(n), torch.zeros(n, dtype=torch.bool)
    )


def seen(after: Batch, b: int, value: float) -> Tensor:
    """(SIDE, SIDE) bool: where the picture is as bright as the lesion of ``value`` is."""
    return (after.images[b, 0] - value).abs() < 1


def middle(where: Tensor) -> list[float]:
    return [float(v) for v in where.nonzero().float().mean(0)]


def test_another_lesion_takes_the_place_of_ones_own_and_teaches_what_it_is_alone() -> None:
    before = batch()
    after = transplant(before, plain(8, {0: 3}))
    assert middle(seen(after, 0, 6.0)) == pytest.approx(PLACES[0], abs=0.7)
    assert seen(after, 0, 6.0).sum() == pytest.approx(81, rel=0.25)
    assert not seen(after, 0, 3.0)[before.masks[0] > 0].any()
    assert int(after.category[0]) == 1
    assert int(after.abnormal[0]) == -1
    assert not after.mask_known[0]
    assert not after.masks[0].any()
    assert (after.images[0, 0, 40:] == before.images[0, 0, 40:]).all()


def test_who_gets_none_stays_and_donors_keep_theirs() -> None:
    before = batch()
    after = transplant(before, plain(8, {0: 3}))
    for name in FIELDS:
        assert torch.equal(getattr(after, name)[1:], getattr(before, name)[1:]), name
    assert transplant(before, plain(8, {})) is before


@pytest.mark.parametrize(("own", "expected"), [(2, 0.6), (4, 5 / 5), (6, 13 / 9), (11, 1.7)])
def test_a_lesion_comes_nearer_to_the_size_of_what_it_replaces(own: int, expected: float) -> None:
    made = batch(2)
    masks, images = made.masks.clone(), made.images.clone()
    masks[0], images[0, 0] = 0, made.images[1, 0].clamp(max=1)
    wide = replace(made, masks=masks, images=images)
    at = slice(28 - own, 28 + own + 1)
    wide = marked(wide, 0, (at, at), 9.0)
    after = transplant(wide, plain(2, {0: 1}))
    assert float(seen(after, 0, 4.0).sum()) ** 0.5 / 9 == pytest.approx(expected, rel=0.12)
    # However large the own one was, nothing of it is left.
    assert not seen(after, 0, 9.0).any()
    grown = transplant(wide, replace(plain(2, {0: 1}), zoom=torch.tensor([1.3, 1.0])))
    assert seen(grown, 0, 4.0).sum() > 1.3 * seen(after, 0, 4.0).sum()


def outward_and_aside(made: Batch, p: Transplants) -> tuple[float, float]:
    """Where in picture 0 the brighter part of picture 1's lesion comes to lie: away from the middle of the head, and to
    the left of that way; pixels from the middle of the lesion."""
    after = transplant(made, p)
    lesion, bright = (torch.tensor(middle(part)) for part in (after.images[0, 0] > 3.2, after.images[0, 0] > 7))
    way = lesion - (SIDE - 1) / 2
    way = way / way.norm()
    shift = bright - lesion
    return float(shift @ way), float(way[0] * shift[1] - way[1] * shift[0])


def test_a_lesion_lies_in_its_new_head_as_in_its_own_but_for_turn_and_mirror() -> None:
    # Picture 1's lesion is bright on the side away from the middle of its head, and more so on one side of that.
    made = batch(2)
    images = made.images.clone()
    images[1, 0][made.masks[1] > 0] = 4.0
    images[1, 0, 41:45, 26:29] = 9.0
    made = replace(made, images=images)
    straight = plain(2, {0: 1})
    along, aside = outward_and_aside(made, straight)
    assert along > 2
    assert abs(aside) > 0.5
    mirrored = outward_and_aside(made, replace(straight, mirrored=torch.tensor([True, False])))
    assert mirrored == pytest.approx((along, -aside), abs=0.5)
    angle = math.radians(80)
    turned = outward_and_aside(made, replace(straight, turn=torch.tensor([angle, 0.0])))
    expected = (along * math.cos(angle) - aside * math.sin(angle), along * math.sin(angle) + aside * math.cos(angle))
    assert turned == pytest.approx(expected, abs=0.6)


def test_nothing_is_taken_from_beyond_a_donors_border() -> None:
    made = batch(2, half=1)
    images, masks = made.images.clone(), made.masks.clone()
    images[1], masks[1], images[1, 0, :, :8] = 1.0, 0, 0.0
    cut = marked(replace(made, images=images, masks=masks), 1, (slice(20, 30), slice(SIDE - 6, SIDE)))
    after = transplant(cut, plain(2, {0: 1}))
    assert 0 < seen(after, 0, 4.0).sum() <= (cut.masks[1] > 0).sum()
    assert after.images[0, 0][disc(20, 20, 9)].min() > 0.99


def test_what_does_not_fit_is_left_as_it_is() -> None:
    made = batch(2)
    rim = replace(made, images=made.images.clamp(max=1), masks=made.masks * 0)
    rim = marked(rim, 1, (slice(5, 11), slice(28, 36)))
    # What would cover the second of two lesions far apart is air in the donor.
    apart = marked(marked(rim, 0, (slice(8, 14), slice(28, 36)), 9.0), 0, (slice(50, 56), slice(28, 36)), 9.0)
    # A large lesion in the middle would be covered with the donor's rim and the air beyond it.
    deep = marked(rim, 0, (slice(17, 47), slice(17, 47)), 9.0)
    for taker in (apart, deep):
        after = transplant(taker, plain(2, {0: 1}))
        assert all(torch.equal(getattr(after, name), getattr(taker, name)) for name in FIELDS)
    fits = marked(rim, 0, (slice(6, 12), slice(28, 36)), 9.0)
    assert not torch.equal(transplant(fits, plain(2, {0: 1})).images, fits.images)


def test_of_several_who_are_to_get_one_each_is_judged_by_itself() -> None:
    made = batch()
    images, masks = made.images.clone(), made.masks.clone()
    images[0], masks[0] = images[0].clamp(max=1), 0
    # At the rim of a head: what picture 0 would get is half air.
    first = marked(replace(made, images=images, masks=masks), 0, (slice(3, 9), slice(30, 34)), 9.0)
    both, second = (transplant(first, plain(8, donors)) for donors in ({0: 3, 2: 4}, {2: 4}))
    for name in FIELDS:
        assert torch.equal(getattr(both, name), getattr(second, name)), name
    assert int(both.category[2]) == KINDS[4]
    assert int(both.category[0]) == KINDS[0]
    assert bool(both.mask_known[0])


def test_a_contrast_that_is_missing_stays_missing() -> None:
    made = batch()
    two = replace(made, images=torch.cat([made.images, made.images * 2], dim=1))
    lacking = replace(two, images=two.images * torch.tensor([1.0, 0.0])[None, :, None, None])
    mixed = replace(two, images=torch.cat([lacking.images[:2], two.images[2:]]))
    after = transplant(mixed, plain(8, {0: 3}))
    assert not after.images[0, 1].any()
    assert middle(seen(after, 0, 6.0)) == pytest.approx(PLACES[0], abs=0.7)
    drawn = {(b, d) for seed in range(100) for b, d in enumerate(draw_transplants(mixed, 1.0, seed).donor) if d >= 0}
    assert (0, 3) in drawn
    assert not any(d in (0, 1) for b, d in drawn if b not in (0, 1))
    # The middle of a head is found in the contrast that is there.
    first = replace(two, images=two.images * torch.tensor([0.0, 1.0])[None, :, None, None])
    moved = transplant(first, plain(8, {0: 1})).images[0, 1] / 2
    torch.testing.assert_close(moved, transplant(made, plain(8, {0: 1})).images[0, 0])


def test_draws_follow_from_the_seed_and_keep_to_who_may_give_and_take() -> None:
    made = batch()
    assert draw_transplants(made, 0.5, 3).donor == draw_transplants(made, 0.5, 3).donor
    drawn = [draw_transplants(made, 1.0, seed).donor for seed in range(300)]
    assert len(set(drawn)) > 200
    for donors in drawn:
        assert all(donor in range(5) and donor != b for b, donor in enumerate(donors) if donor >= 0)
        assert all(donor >= 0 for donor in donors[:5])
        assert donors[5:] == (-1, -1, -1)
    # Kinds give alike, though three pictures show the first one.
    given = torch.tensor([KINDS[donors[3]] for donors in drawn])
    assert (given == 0).float().mean() == pytest.approx(0.5, abs=0.1)
    half = [donor >= 0 for seed in range(300) for donor in draw_transplants(made, 0.5, seed).donor[:5]]
    assert sum(half) / len(half) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    "change",
    [
        {"studies": ["a"] * 8},  # slices of one study
        {"mask_known": torch.tensor([True] + [False] * 7)},
        {"category": torch.full((8,), -1)},
    ],
)
def test_who_has_nothing_to_teach_neither_gives_nor_takes(change: dict[str, Any]) -> None:
    assert draw_transplants(replace(batch(), **change), 1.0, 0).donor == (-1,) * 8


def test_a_share_of_nothing_changes_nothing() -> None:
    made = batch()
    assert next(iter(transplanted([made], 0.0, lambda position: position))) is made
    assert next(iter(transplanted([made], 1.0, lambda position: position))) is not made


def outlined_pictures(
    folder: Path, n: int = 10, *, outlined: tuple[str, ...] = ("glioma", "meningioma"), mode: str = "L"
) -> Path:
    """Pictures of two kinds of lesion, those of ``outlined`` with masks, and normal ones; n of each."""
    rng = np.random.default_rng(0)
    for kind in ("glioma", "meningioma", "normal"):
        (folder / kind).mkdir(parents=True)
        for one in range(n):
            pixels = rng.normal(90, 12, (40, 40))
            mask = np.zeros((40, 40), np.uint8)
            row, column = rng.integers(6, 26, 2)
            mask[row : row + 8, column : column + 8] = 255 * (kind != "normal")
            pixels[mask > 0] += 60 if kind == "glioma" else 120
            name = folder / kind / f"{kind}{one}"
            shown = Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert(mode)
            if mode == "RGB":
                shown.putpixel((0, 0), (255, 0, 0))
            shown.save(f"{name}.png")
            if kind in outlined:
                Image.fromarray(mask).save(f"{name}_mask.png")
    return folder


def test_outlined_pictures_are_learned_from_so_and_others_as_they_are(
    pictures: Index, volumes: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outlined = build_index([outlined_pictures(tmp_path / "pictures")])
    assert make_plan(outlined).transplant == 0.5
    assert make_plan(outlined, {"transplant": 0.2}).transplant == 0.2
    assert make_plan(pictures).transplant == 0
    said = learned_beside(asdict(make_plan(outlined)))
    assert any("in 50% of the pictures" in sentence for sentence in said)
    assert not learned_beside(asdict(make_plan(outlined, {"transplant": 0})))
    # One kind alone is outlined; and photographs have no heads.
    half = build_index([outlined_pictures(tmp_path / "half", outlined=("glioma",))])
    assert make_plan(half).transplant == 0
    with pytest.raises(UsageError, match="transplant is for"):
        make_plan(half, {"transplant": 0.5})
    packed = pack_data(half, tmp_path / "store", make_plan(half, {"size": 32}))
    with pytest.raises(UsageError, match="transplant is for"):
        train(packed, tmp_path / "refused", overrides={"transplant": 0.5})
    colour = build_index([outlined_pictures(tmp_path / "colour", mode="RGB")])
    assert make_plan(colour).transplant == 0
    assert make_plan(colour, {"transplant": 0.5}).transplant == 0.5
    assert make_plan(volumes).transplant == 0
    taken = []

    def noted(batch: Batch, p: Transplants) -> Batch:
        taken.append(sum(donor >= 0 for donor in p.donor))
        return transplant(batch, p)

    monkeypatch.setattr(module, "transplant", noted)
    overrides = {"size": 32, "width": 8, "batch": 8, "epochs": 3, "start": "cold"}
    train(outlined, tmp_path / "run", overrides=overrides)
    assert sum(taken) > len(taken)
    cut_and_resume(outlined, tmp_path / "cut", overrides, monkeypatch)
    assert weights(tmp_path / "cut") == weights(tmp_path / "run")


def test_it_is_refused_where_it_can_teach_nothing(pictures: Index, volumes: Index) -> None:
    for data, more in ((volumes, {"dimensions": 3}), (pictures, {})):
        with pytest.raises(UsageError, match="transplant is for"):
            make_plan(data, {"transplant": 0.5, **more})
