"""From a study to an array and back: however the scan is turned, the network sees the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from secondread.errors import DataError
from secondread.volume import Geometry, Mask, Picture, Recipe, Study, Volume, prepare, prepare_mask
from secondread.volume.foreground import percentile_99
from secondread.volume.prepare import axis_matrix

SHAPE = (14, 12, 10)
SPACING = (1.0, 1.5, 2.0)


def head() -> NDArray[np.float32]:
    """A bright, lopsided ellipsoid with air on all sides, so that no axis can be mistaken for another."""
    grid = np.indices(SHAPE).astype(np.float32)
    centre = np.array(SHAPE, np.float32)[:, None, None, None] / 2 - 0.5
    inside = (((grid - centre) / (centre - 1)) ** 2).sum(axis=0) < 1
    return np.where(inside, 100 + 9 * grid[0] + 4 * grid[1] + 2 * grid[2], 0).astype(np.float32)


def lesion() -> NDArray[np.uint8]:
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:8, 3:6, 4:7], labels[8:10, 6:9, 3:5] = 1, 2
    return labels


def canonical() -> Geometry:
    return Geometry(SHAPE, np.diag([*SPACING, 1.0]))


def turned(values: NDArray[Any], order: tuple[int, ...], flips: tuple[bool, ...]) -> tuple[NDArray[Any], Geometry]:
    """The same voxels at the same places of the patient, stored in another order."""
    change = np.zeros((4, 4))
    change[3, 3] = 1
    for axis, (old, flip) in enumerate(zip(order, flips, strict=True)):
        change[old, axis] = -1 if flip else 1
        change[old, 3] = values.shape[old] - 1 if flip else 0
    out = np.flip(np.transpose(values, order), tuple(a for a, flip in enumerate(flips) if flip))
    geometry = Geometry((out.shape[0], out.shape[1], out.shape[2]), canonical().affine @ change)
    return np.ascontiguousarray(out), geometry


orders = st.permutations([0, 1, 2]).map(tuple)
flips = st.tuples(st.booleans(), st.booleans(), st.booleans())


@settings(max_examples=30, deadline=None)
@given(orders, flips, st.sampled_from([(1.0, 1.5, 2.0), (1.0, 1.0, 1.0), (2.5, 2.0, 3.0)]))
def test_storage_order_does_not_matter(
    order: tuple[int, ...], flip: tuple[bool, ...], spacing: tuple[float, float, float]
) -> None:
    recipe = Recipe(("t1",), spacing=spacing)
    plain = prepare(Study("a", {"t1": Volume(canonical(), head())}), recipe)
    voxels, geometry = turned(head(), order, flip)
    other = prepare(Study("b", {"t1": Volume(geometry, voxels)}), recipe)
    np.testing.assert_allclose(other.array, plain.array, atol=1e-4)
    labels, _ = turned(lesion(), order, flip)
    np.testing.assert_array_equal(
        prepare_mask(Mask(geometry, labels), geometry, other.frame),
        prepare_mask(Mask(canonical(), lesion()), canonical(), plain.frame),
    )


@settings(max_examples=30, deadline=None)
@given(orders, flips)
def test_at_the_scans_own_spacing_the_way_back_is_exact(order: tuple[int, ...], flip: tuple[bool, ...]) -> None:
    voxels, geometry = turned(head(), order, flip)
    labels, _ = turned(lesion(), order, flip)
    prepared = prepare(Study("a", {"t1": Volume(geometry, voxels)}), Recipe(("t1",), spacing=SPACING))
    mask = prepare_mask(Mask(geometry, labels), geometry, prepared.frame)
    back = prepared.frame.to_scan(np.stack([mask == n for n in (1, 2)]).astype(np.float32))
    assert back.shape == (2, *geometry.shape)
    np.testing.assert_allclose(back[0], labels == 1, atol=1e-5)
    np.testing.assert_allclose(back[1], labels == 2, atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(orders, flips, st.floats(0.7, 1.6))
def test_at_another_spacing_a_mask_comes_back_nearly(
    order: tuple[int, ...], flip: tuple[bool, ...], scale: float
) -> None:
    radius = np.linalg.norm(np.indices((30, 32, 34)) - np.array([14.5, 15.5, 16.5])[:, None, None, None], axis=0)
    ball = np.linalg.norm(np.indices((30, 32, 34)) - np.array([13, 17, 18])[:, None, None, None], axis=0) < 6
    voxels, geometry = turned(np.where(radius < 13, 200 - radius, 0).astype(np.float32), order, flip)
    labels, _ = turned(ball.astype(np.uint8), order, flip)
    spacing = (SPACING[0] * scale, SPACING[1] * scale, SPACING[2] * scale)
    prepared = prepare(Study("a", {"t1": Volume(geometry, voxels)}), Recipe(("t1",), spacing=spacing))
    mask = prepare_mask(Mask(geometry, labels), geometry, prepared.frame).astype(np.float32)
    back = prepared.frame.to_scan(mask[None])[0] >= 0.5
    dice = 2 * (back & (labels > 0)).sum() / (back.sum() + (labels > 0).sum())
    # A ball of six voxels' radius loses this much of its rim to a grid more than half as coarse again.
    assert dice > 0.85
    centres = [np.argwhere(m).mean(axis=0) for m in (back, labels)]
    np.testing.assert_allclose(centres[0], centres[1], atol=0.3)


def test_channels_in_order_and_missing_ones_at_zero() -> None:
    study = Study("a", {"flair": Volume(canonical(), head() ** 2), "t1": Volume(canonical(), head())})
    prepared = prepare(study, Recipe(("t1", "t2", "flair"), spacing=SPACING))
    assert prepared.present == (True, False, True)
    assert not prepared.array[1].any()
    alone = prepare(Study("b", {"t1": Volume(canonical(), head())}), Recipe(("t1",), spacing=SPACING))
    assert alone.array.dtype == np.float32
    inside = alone.array[0][alone.frame.from_scan((head() > 0).astype(np.float32)) > 0.99]
    assert abs(float(inside.mean())) < 0.2
    assert 0.7 < float(inside.std()) < 1.3


def test_a_series_on_another_grid_is_brought_to_the_reference() -> None:
    shifted = Geometry(SHAPE, canonical().affine @ np.array([[1, 0, 0, 2], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    moved = np.zeros_like(head())
    moved[:-2] = head()[2:]
    recipe = Recipe(("t1", "t2"), spacing=SPACING)
    prepared = prepare(
        Study("a", {"t1": Volume(canonical(), head()), "t2": Volume(shifted, moved)}),
        recipe,
    )
    np.testing.assert_allclose(prepared.array[1], prepared.array[0], atol=1e-3)


def test_what_cannot_be_prepared() -> None:
    volume = Study("v", {"t1": Volume(canonical(), head())})
    picture = Study("p", picture=Picture(np.arange(400, dtype=np.uint8).reshape(20, 20, 1)))
    volumes, pictures = Recipe(("t1",), spacing=SPACING), Recipe(("grey",), size=(16, 16))
    with pytest.raises(DataError, match="picture"):
        prepare(picture, volumes)
    with pytest.raises(DataError, match="reads pictures"):
        prepare(volume, pictures)
    with pytest.raises(DataError, match="has t1; the model reads t2"):
        prepare(volume, Recipe(("t2",), spacing=SPACING))
    with pytest.raises(DataError, match="nothing to read"):
        prepare(Study("c", {"t1": Volume(canonical(), np.ones(SHAPE))}), volumes)
    with pytest.raises(DataError, match="either"):
        Recipe(("t1",))
    other = Geometry(SHAPE, np.eye(4))
    frame = prepare(volume, volumes).frame
    with pytest.raises(DataError, match="mask"):
        prepare_mask(Mask(other, lesion()), canonical(), frame)


def square(rows: int, columns: int, top: int, left: int, side: int) -> NDArray[np.uint8]:
    pixels = np.zeros((rows, columns, 1), np.uint8)
    ramp = np.linspace(120, 250, side).astype(np.uint8)
    pixels[top : top + side, left : left + side, 0] = ramp[:, None] // 2 + ramp[None, :] // 2
    return pixels


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_the_border_of_a_picture_does_not_matter(top: int, left: int, bottom: int, right: int) -> None:
    recipe = Recipe(("grey",), size=(24, 24))
    pixels = square(top + 40 + bottom, left + 40 + right, top, left, 40)
    got = prepare(Study("a", picture=Picture(pixels)), recipe)
    if min(top, left, bottom, right) == 0:
        np.testing.assert_allclose(got.frame.step, (40 / 24, 40 / 24))
        return
    plain = prepare(Study("b", picture=Picture(square(60, 60, 10, 10, 40))), recipe)
    np.testing.assert_allclose(got.array, plain.array, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(20, 90), st.integers(20, 90))
def test_a_picture_keeps_its_aspect(rows: int, columns: int) -> None:
    pixels = np.random.default_rng(0).integers(100, 250, (rows, columns, 3), dtype=np.uint8)
    pixels[0, 0] = 0
    frame = prepare(Study("a", picture=Picture(pixels)), Recipe(("red", "green", "blue"), size=(32, 48))).frame
    assert frame.step[0] == frame.step[1]
    centre = [start + size * step / 2 for start, size, step in zip(frame.start, frame.size, frame.step, strict=True)]
    np.testing.assert_allclose(centre, [rows / 2, columns / 2], atol=1)
    assert max(rows / (32 * frame.step[0]), columns / (48 * frame.step[1])) == pytest.approx(1, abs=0.06)


def test_grey_and_colour_pictures_go_into_either_recipe() -> None:
    grey = Study("g", picture=Picture(square(40, 40, 5, 5, 30)))
    colour = Study("c", picture=Picture(np.repeat(square(40, 40, 5, 5, 30), 3, axis=2)))
    one, three = Recipe(("grey",), size=(16, 16)), Recipe(("red", "green", "blue"), size=(16, 16))
    np.testing.assert_allclose(prepare(colour, one).array, prepare(grey, one).array, atol=1e-4)
    assert prepare(grey, three).array.shape == (3, 16, 16)
    np.testing.assert_allclose(prepare(grey, three).array[2], prepare(grey, one).array[0], atol=1e-4)


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 40), st.integers(1, 40), st.floats(-5, 20), st.floats(0.2, 5))
def test_resampling_keeps_a_constant(n: int, m: int, start: float, step: float) -> None:
    matrix = axis_matrix(n, m, start, step)
    assert matrix.shape == (m, n)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-5)
    assert matrix.min() >= 0


def test_resampling_keeps_a_ramp_and_does_nothing_at_step_one() -> None:
    np.testing.assert_array_equal(axis_matrix(7, 7, 0, 1).toarray(), np.eye(7, dtype=np.float32))
    ramp = np.arange(40, dtype=np.float32)
    for step in (0.5, 2.0, 3.3):
        m = int(30 / step)
        np.testing.assert_allclose(axis_matrix(40, m, 5, step) @ ramp, 5 + (np.arange(m) + 0.5) * step - 0.5, atol=0.05)


def test_there_is_no_evidence_outside_the_prepared_grid() -> None:
    # The bright box is the foreground; around it lies air that the network never sees.
    voxels = np.zeros((30, 30, 30), np.float32)
    voxels[10:20, 10:20, 10:20] = np.random.default_rng(0).uniform(50, 100, (10, 10, 10))
    scan = Volume(Geometry((30, 30, 30), np.eye(4)), voxels)
    frame = prepare(Study("s", {"t1": scan}), Recipe(("t1",), spacing=(2.0, 2.0, 2.0))).frame
    back = frame.to_scan(np.ones(frame.size, np.float32))
    assert (back[10:20, 10:20, 10:20] > 0.99).all()
    assert back.sum() == 1000


@pytest.mark.parametrize("n", [1, 2, 96, 98, 12345])
@pytest.mark.parametrize("kind", ["noise", "flat", "few values", "sorted", "a comb that the sample falls on"])
def test_the_quick_percentile_is_the_percentile(n: int, kind: str) -> None:
    rng = np.random.default_rng(n)
    voxels = {
        "noise": rng.normal(size=n),
        "flat": np.zeros(n),
        "few values": rng.integers(0, 5, n),
        "sorted": np.sort(rng.random(n)),
        "a comb that the sample falls on": np.where(np.arange(n) % 97 == 0, 9.0, rng.random(n)),
    }[kind].astype(np.float32)
    assert percentile_99(voxels) == pytest.approx(np.percentile(voxels, 99), rel=1e-6, abs=1e-6)
