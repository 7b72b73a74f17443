"""Batches for training: shapes, truth, replay, and that nothing but the lesion tells the label."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from secondread.errors import UsageError
from secondread.simulate import CATEGORIES, CONTRASTS, NORMAL, BatchSettings, draw_batch, render_batch
from secondread.simulate.batch import normalise
from secondread.volume import Geometry, Recipe, Study, Volume, prepare

SMALL = BatchSettings(shape=(48, 56), spacing=4.0)
VOLUME = BatchSettings(shape=(28, 32, 24), spacing=6.0)


@pytest.mark.parametrize("settings", [SMALL, VOLUME, replace(SMALL, fill=True)])
def test_samples_have_the_asked_shape_and_a_foreground_of_unit_spread(settings: BatchSettings) -> None:
    samples = render_batch(draw_batch(replace(settings, contrasts=CONTRASTS), 5, 1))
    assert samples.images.shape == (5, len(CONTRASTS), *settings.shape)
    assert samples.masks.shape == (5, *settings.shape)
    assert samples.images.dtype == torch.float32
    assert samples.masks.dtype == torch.uint8
    assert samples.images.isfinite().all()
    assert (samples.images.flatten(2).amax(2) - samples.images.flatten(2).amin(2) > 1).all()


@pytest.mark.parametrize("settings", [SMALL, VOLUME])
def test_the_same_seed_gives_the_same_batch_and_another_does_not(settings: BatchSettings) -> None:
    p = draw_batch(settings, 4, 3)
    assert p == draw_batch(settings, 4, 3)
    one, two, other = render_batch(p), render_batch(p), render_batch(draw_batch(settings, 4, 4))
    assert torch.equal(one.images, two.images)
    assert torch.equal(one.masks, two.masks)
    assert not torch.equal(one.images, other.images)


def test_the_label_is_what_the_mask_shows() -> None:
    settings = replace(SMALL, normal=0.3)
    p = draw_batch(settings, 60, 5)
    samples = render_batch(p)
    shown = (samples.masks > 0).flatten(1).any(1)
    for scene, label, lesion in zip(p.scenes, samples.labels.tolist(), shown.tolist(), strict=True):
        assert (label >= 0) == lesion
        assert label == -1 or CATEGORIES[label] == scene.label
    assert 0.3 < shown.float().mean() < 0.75
    assert set(samples.masks.unique().tolist()) <= {0, 1, 2, 4}


@pytest.mark.parametrize("category", CATEGORIES)
def test_each_kind_shows_in_pictures_and_volumes(category: str) -> None:
    for settings in (replace(SMALL, spacing=3.0), VOLUME):
        chosen = replace(settings, categories=(category,), normal=0.0, difficulty=0.0)
        samples = render_batch(draw_batch(chosen, 12, 2))
        assert (samples.masks > 0).flatten(1).any(1).sum() >= 6


def test_normal_samples_look_where_abnormal_ones_do() -> None:
    settings = replace(SMALL, categories=("pituitary",))
    ill, well = (draw_batch(settings, 30, 8, [label] * 30).scenes for label in ("pituitary", NORMAL))
    for one, two in zip(ill, well, strict=True):
        assert one.lesions
        assert replace(one, label=NORMAL, lesions=(), grid=two.grid) == two
    heights = [np.array([s.grid.centre[2] for s in scenes]) for scenes in (ill, well)]
    assert abs(heights[0].mean() - heights[1].mean()) < 12


def test_an_easy_batch_has_larger_and_plainer_lesions() -> None:
    def lesions(difficulty: float) -> list[tuple[float, float]]:
        p = draw_batch(replace(SMALL, spacing=1.0, normal=0.0, difficulty=difficulty), 80, 1)
        return [(x.diameter_mm, x.opacity) for s in p.scenes for x in s.lesions]

    easy, hard = np.array(lesions(0.0)), np.array(lesions(1.0))
    assert np.median(easy[:, 0]) > 1.3 * np.median(hard[:, 0])
    assert easy[:, 1].min() == 1
    assert hard[:, 1].min() < 0.5
    assert hard[:, 0].min() < 4


def test_images_are_normalised_as_scans_that_are_read() -> None:
    rng = np.random.default_rng(0)
    i, j, k = np.ogrid[-10:10, -11:11, -9:9]
    # A ball that touches no side: air is left in the corners of the box that it is cropped to.
    voxels = np.where(i**2 + j**2 + k**2 < 70, rng.random((20, 22, 18)) * 100 + 400, 0).astype(np.int16)
    ours = normalise(torch.from_numpy(voxels.astype(np.float32))[None, None])[0, 0].numpy()
    study = Study("s", {"t1": Volume(Geometry((20, 22, 18), np.eye(4)), voxels)})
    theirs = prepare(study, Recipe(("t1",), spacing=(1.0, 1.0, 1.0)))
    start = [round(s) for s in theirs.frame.start]
    box = tuple(slice(s, s + n) for s, n in zip(start, theirs.frame.size, strict=True))
    np.testing.assert_allclose(ours[box], theirs.array[0], atol=1e-3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shape", (160,)),
        ("shape", (4, 160)),
        ("shape", (160, 10_000)),
        ("planes", ()),
        ("planes", ("oblique",)),
        ("difficulty", math.nan),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=name):
        BatchSettings(**{name: value})


def test_volumes_are_not_filled() -> None:
    with pytest.raises(UsageError, match="fill is for pictures"):
        BatchSettings(shape=(32, 32, 32), fill=True)


@pytest.mark.parametrize(("n", "seed", "labels"), [(0, 1, None), (2, -1, None), (2, 1, [NORMAL]), (1, 1, ["stroke"])])
def test_a_batch_that_cannot_be_drawn_is_refused(n: int, seed: int, labels: list[str] | None) -> None:
    with pytest.raises(UsageError):
        draw_batch(SMALL, n, seed, labels)
