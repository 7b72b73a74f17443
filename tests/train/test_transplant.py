"""Lesions exchanged among the pictures of a batch: who gives, what moves, and what stays as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from secondread.errors import UsageError
from secondread.index import Index, build_index
from secondread.store import Batch
from secondread.train import make_plan, train
from secondread.train import transplant as module
from secondread.train.transplant import Transplants, draw_transplants, transplant, transplanted

SIDE = 64
KINDS = [0, 0, 0, 1, 2, -1, -1, -1]
PLACES = [(20, 20), (40, 30), (24, 40), (44, 44), (30, 20), None, None, None]


def batch(n: int = 8) -> Batch:
    """A round head in each picture, and in those of KINDS a square lesion, as bright as its kind and number say."""
    at = torch.stack(torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")) - (SIDE - 1) / 2
    head = (at.pow(2).sum(0).sqrt() < 28).float()
    images, masks = head.repeat(n, 1, 1, 1), torch.zeros(n, SIDE, SIDE, dtype=torch.uint8)
    for b, place in enumerate(PLACES[:n]):
        if place:
            box = (slice(place[0] - 4, place[0] + 5), slice(place[1] - 4, place[1] + 5))
            masks[b][box], images[b, 0][box] = 1, 3.0 + b
    kinds = torch.tensor(KINDS[:n])
    ill = kinds >= 0
    studies = [f"s{b}" for b in range(n)]
    return Batch(images, masks, torch.ones(n, dtype=torch.bool), kinds, ill.to(torch.int8), studies)


def plain(n: int, donors: dict[int, int]) -> Transplants:
    return Transplants(
        tuple(donors.get(b, -1) for b in range(n)), torch.zeros(n), torch.ones(n), torch.zeros(n, dtype=torch.bool)
    )


def test_another_lesion_takes_the_place_of_ones_own() -> None:
    before = batch()
    after = transplant(before, plain(8, {0: 3}))
    own, new = before.masks[0] > 0, after.masks[0] > 0
    spot = [float(where.nonzero().float().mean(0)[a]) for where in (own, new) for a in range(2)]
    assert spot[:2] == pytest.approx(spot[2:], abs=0.6)
    assert new.sum() == pytest.approx(float(own.sum()), rel=0.25)
    # As bright as the donor's, and nothing of its own is left.
    assert after.images[0, 0][new].mean() == pytest.approx(6.0, abs=0.6)
    assert not ((after.images[0, 0] - 3.0).abs() < 0.05)[own].any()
    assert int(after.category[0]) == 1
    assert int(after.abnormal[0]) == 1
    far = torch.ones(SIDE, SIDE, dtype=torch.bool)
    far[6:34, 6:34] = False
    assert (after.images[0, 0][far] == before.images[0, 0][far]).all()


def test_a_normal_picture_gets_a_lesion_where_it_lay_in_its_own_head() -> None:
    before = batch()
    after = transplant(before, plain(8, {6: 1}))
    middle = (after.masks[6] > 0).nonzero().float().mean(0).tolist()
    assert middle == pytest.approx(PLACES[1], abs=1.0)
    assert int(after.category[6]) == 0
    assert int(after.abnormal[6]) == 1
    assert int(before.abnormal[6]) == 0


def test_what_gets_no_lesion_stays_as_it_is_and_donors_keep_theirs() -> None:
    before = batch()
    after = transplant(before, plain(8, {0: 3, 6: 1}))
    for b in (1, 2, 3, 4, 5, 7):
        assert (after.images[b] == before.images[b]).all()
        assert (after.masks[b] == before.masks[b]).all()
    assert transplant(before, plain(8, {})) is before


def test_a_lesion_is_turned_as_it_lies_in_its_head() -> None:
    made = batch(2)
    images = made.images.clone()
    # The half of the donor's lesion that is further from the middle of the head is the brighter one.
    images[1, 0, 40:45, 26:35] = 9.0
    after = transplant(replace(made, images=images), plain(2, {0: 1}))
    where = (after.masks[0] > 0).nonzero()
    away = (where.float() - (SIDE - 1) / 2).norm(dim=1)
    bright = after.images[0, 0][after.masks[0] > 0] > 7
    assert away[bright].mean() > away[~bright].mean() + 2


def test_draws_follow_from_the_seed_and_keep_to_who_may_give_and_take() -> None:
    made = batch()
    assert draw_transplants(made, 0.5, 3).donor == draw_transplants(made, 0.5, 3).donor
    drawn = [draw_transplants(made, 1.0, seed).donor for seed in range(300)]
    assert len(set(drawn)) > 250
    for donors in drawn:
        assert all(donor in range(5) and donor != b for b, donor in enumerate(donors) if donor >= 0)
        assert all(donor >= 0 for donor in donors[:5])
    # Kinds give alike, though three pictures show the first one; a normal picture is given a lesion half as often.
    given = torch.tensor([KINDS[donors[3]] for donors in drawn])
    assert (given == 0).float().mean() == pytest.approx(0.5, abs=0.1)
    assert torch.tensor([[d >= 0 for d in donors[5:]] for donors in drawn]).float().mean() == pytest.approx(
        0.5, abs=0.07
    )


def test_slices_of_one_study_give_each_other_nothing() -> None:
    made = replace(batch(3), studies=["a", "a", "a"])
    assert draw_transplants(made, 1.0, 0).donor == (-1, -1, -1)


def test_unknown_masks_neither_give_nor_take() -> None:
    made = replace(batch(), mask_known=torch.tensor([True] + [False] * 7))
    assert draw_transplants(made, 1.0, 0).donor == (-1,) * 8


def test_a_share_of_nothing_changes_nothing() -> None:
    made = batch()
    assert next(iter(transplanted([made], 0.0, lambda position: position))) is made
    assert next(iter(transplanted([made], 1.0, lambda position: position))) is not made


def outlined_pictures(folder: Path, n: int = 10) -> Path:
    """Pictures of two kinds of lesion, each with its mask, and normal ones; n of each."""
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
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(f"{name}.png")
            if kind != "normal":
                Image.fromarray(mask).save(f"{name}_mask.png")
    return folder


def test_outlined_pictures_are_learned_from_so_and_others_as_they_are(
    pictures: Index, volumes: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outlined = build_index([outlined_pictures(tmp_path / "pictures")])
    assert make_plan(outlined).transplant == 0.5
    assert make_plan(outlined, {"transplant": 0.2}).transplant == 0.2
    assert make_plan(pictures).transplant == 0
    assert make_plan(volumes).transplant == 0
    seen = []

    def noted(batch: Batch, p: Transplants) -> Batch:
        seen.append(sum(donor >= 0 for donor in p.donor))
        return transplant(batch, p)

    monkeypatch.setattr(module, "transplant", noted)
    overrides = {"size": 32, "width": 8, "batch": 8, "epochs": 2, "start": "cold"}
    train(outlined, tmp_path / "run", overrides=overrides)
    assert sum(seen) > len(seen)


def test_volumes_learned_whole_are_refused(volumes: Index) -> None:
    with pytest.raises(UsageError, match="transplant is for pictures"):
        make_plan(volumes, {"transplant": 0.5, "dimensions": 3})
