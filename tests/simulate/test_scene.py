"""What a seed draws, and that nothing but the lesions depends on the label."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from secondread.simulate import (
    CATEGORIES,
    NORMAL,
    SITES,
    BatchSettings,
    Settings,
    draw_batch,
    draw_scene,
    render,
    tissues,
)
from secondread.simulate.anatomy import SELLA
from secondread.simulate.batch import render_signal
from secondread.simulate.disease import draw_lesions
from secondread.simulate.scene import Bulge, Grid, Series, rotation
from secondread.simulate.warp import pushed


@pytest.mark.parametrize("category", CATEGORIES)
def test_head_grid_and_scanner_are_the_same_with_and_without_lesion(coarse: Settings, category: str) -> None:
    for seed in range(20):
        sick, well = draw_scene(seed, coarse, category), draw_scene(seed, coarse, NORMAL)
        assert sick.lesions
        assert replace(sick, label=NORMAL, lesions=()) == well


def test_a_scene_without_its_lesions_differs_only_near_them(coarse: Settings) -> None:
    scene = draw_scene(3, replace(coarse, count=(1, 1), diameters=(20.0, 24.0), thick=0.0, normal=0.0))
    sick, mask = render(scene, "sick")
    well, empty = render(replace(scene, lesions=()), "well")
    assert mask.labels.any()
    assert not empty.labels.any()
    differs = np.zeros(mask.labels.shape, bool)
    for contrast, volume in sick.series.items():
        differs |= volume.voxels != well.series[contrast].voxels
    assert differs[mask.labels > 0].mean() > 0.9
    assert differs.mean() < 0.5


def test_labels_and_sites_are_drawn_in_their_shares_and_independently(coarse: Settings) -> None:
    scenes = [draw_scene(seed, coarse) for seed in range(400)]
    normal = np.array([s.label == NORMAL for s in scenes])
    site = np.array([s.site == SITES[0] for s in scenes])
    assert 0.42 < normal.mean() < 0.58
    assert 0.42 < site.mean() < 0.58
    # 0.15 is three standard errors of a correlation of 400 independent pairs.
    assert abs(np.corrcoef(normal, site)[0, 1]) < 0.15
    assert {s.label for s in scenes} == set(coarse.labels)


def test_lesions_keep_to_the_settings() -> None:
    chosen = Settings(spacing=3.0, normal=0.0, categories=("glioma",), count=(2, 2), diameters=(12.0, 14.0))
    for seed in range(20):
        scene = draw_scene(seed, chosen)
        assert len(scene.lesions) == 2
        assert all(12 <= lesion.diameter_mm <= 14 and lesion.kind == "glioma" for lesion in scene.lesions)


@settings(deadline=None)
@given(
    st.tuples(*[st.integers(4, 40)] * 3),
    st.floats(0.5, 6),
    st.tuples(*[st.floats(-5, 5)] * 3),
    st.sampled_from(["LPS", "RAS", "LAS"]),
)
def test_thick_slices_lie_where_their_thin_ones_did(
    shape: tuple[int, int, int], spacing: float, tilt: tuple[float, float, float], axes: str
) -> None:
    grid = Grid(shape, (spacing,) * 3, (3.0, -20.0, 11.0), axes, tilt, thick=2)
    thin, thick = grid.geometry(), grid.final_geometry()
    middle = (np.array(shape) - 1) / 2
    np.testing.assert_allclose(thin.to_mm(middle), grid.centre, atol=1e-9)
    np.testing.assert_allclose(thick.to_mm((1, 2, 1)), (thin.to_mm((1, 2, 2)) + thin.to_mm((1, 2, 3))) / 2, atol=1e-9)
    np.testing.assert_allclose(thick.spacing, (spacing, spacing, 2 * spacing))
    assert thin.canonical_axes() == ((0, 1, 2), tuple(a != b for a, b in zip(axes, "LPS", strict=True)))


@pytest.mark.parametrize(
    ("axes", "row", "column"),
    [("PLS", (0, 1, 0), (1, 0, 0)), ("ILP", (0, 0, -1), (1, 0, 0)), ("IPL", (0, 0, -1), (0, 1, 0))],
)
def test_rows_and_columns_of_a_plane_run_as_named(
    axes: str, row: tuple[int, int, int], column: tuple[int, int, int]
) -> None:
    affine = Grid((20, 30, 1), (2.0, 1.0, 5.0), (0.0, 0.0, 0.0), axes).geometry().affine
    np.testing.assert_allclose(affine[:3, 0], np.multiply(row, 2.0), atol=1e-9)
    np.testing.assert_allclose(affine[:3, 1], column, atol=1e-9)


def test_a_bulge_pushes_away_from_its_centre_without_folding() -> None:
    at = torch.zeros(1, 3, 400, 1, 1)
    along = torch.linspace(-60, 60, 400)
    at[0, 0, :, 0, 0] = along
    source = (at + pushed(at, [[Bulge((0.0, 0.0, 0.0), (15.0, 15.0, 15.0), 0.4)]]))[0, 0, :, 0, 0]
    assert (source.diff() > 0).all()
    beside = along.abs() > 1
    assert (source.abs() <= along.abs())[beside].all()
    torch.testing.assert_close(source[[0, -1]], along[[0, -1]], atol=0.05, rtol=0)


def test_a_rotation_is_one() -> None:
    turn = rotation((20.0, -35.0, 80.0))
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)


def test_every_head_has_a_gland_that_is_no_lesion(monkeypatch: pytest.MonkeyPatch) -> None:
    slices = BatchSettings(shape=(120, 120), spacing=1.0, contrasts=("t1c",), skull=1.0, planes=("coronal",))
    p = draw_batch(slices, 4, 5, labels=[NORMAL] * 4)
    scenes = tuple(
        replace(s, grid=replace(s.grid, centre=s.head.to_lps(SELLA)), window=(1.0, 1.0), series=_quiet(s.series))
        for s in p.scenes
    )
    signal, masks = render_signal(scenes)
    assert not masks.any()
    monkeypatch.setattr(tissues, "_paint_base", lambda *given: torch.zeros_like(given[3]))
    without, _ = render_signal(scenes)
    more = (signal - without)[:, 0, ..., 0]
    middle = torch.zeros(120, 120, dtype=torch.bool)
    middle[45:75, 45:75] = True
    # The bends of a head move the sella by some millimetres.
    assert (more[:, middle].amax(1) > 0.4).all()
    outer = torch.ones(120, 120, dtype=torch.bool)
    outer[25:115, 20:100] = False
    assert more[:, outer].abs().max() < 0.05


def _quiet(series: tuple[Series, ...]) -> tuple[Series, ...]:
    return tuple(replace(one, noise=0.0, ghost=0.0, spike=0.0, bias=0.0, coarse=1.0) for one in series)


def test_no_pituitary_tumour_is_as_small_as_a_gland() -> None:
    drawn = [draw_lesions(np.random.default_rng(seed), Settings(), "pituitary")[0] for seed in range(200)]
    assert min(lesion.diameter_mm for lesion in drawn) >= 8
