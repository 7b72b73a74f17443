from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from secondread.simulate import CATEGORIES, CONTRASTS, NORMAL, Settings, draw_scene, render, simulate_study
from secondread.simulate.anatomy import SHELL, atlas
from secondread.simulate.scene import Scene
from secondread.simulate.warp import warp_of
from secondread.volume import Mask, Study


def _mean(study: Study, contrast: str, where: np.ndarray) -> float:
    return float(study.series[contrast].voxels[where].mean())


def depth_in(scene: Scene) -> np.ndarray:
    """mm outside the brain of each voxel of a scene, before slices are thickened."""
    maps = atlas(scene.grid.spacing[0])
    return warp_of([scene], maps, torch.device("cpu")).shell[0, SHELL.index("depth")].numpy()


def _clear(category: str, **more: object) -> Settings:
    """One large, plain lesion in thin slices."""
    plain = Settings(
        spacing=4.0, categories=(category,), count=(1, 1), diameters=(38.0, 40.0), faintest=1.0, thick=0.0, normal=0.0
    )
    return replace(plain, **more)  # type: ignore[arg-type]


def test_the_same_seed_gives_the_same_voxels_and_another_does_not(coarse: Settings) -> None:
    first, mask, label, normal = simulate_study(5, coarse)
    second, again, *rest = simulate_study(5, coarse)
    other, *_ = simulate_study(6, coarse)
    assert rest == [label, normal]
    assert np.array_equal(mask.labels, again.labels)
    for contrast, volume in first.series.items():
        assert np.array_equal(volume.voxels, second.series[contrast].voxels)
    voxels = first.reference.voxels
    assert voxels.shape != other.reference.voxels.shape or not np.array_equal(voxels, other.reference.voxels)


def test_a_study_has_its_contrasts_on_one_grid_with_its_mask(coarse: Settings) -> None:
    study, mask, *_ = simulate_study(2, replace(coarse, contrasts=CONTRASTS), name="sim-0002")
    assert study.name == "sim-0002"
    assert tuple(study.series) == CONTRASTS
    for volume in study.series.values():
        assert volume.voxels.dtype == np.int16
        assert volume.geometry.matches(mask.geometry)
        assert volume.voxels.max() > 5 * max(1, np.median(volume.voxels[:2, :2, -2:]))


@pytest.mark.parametrize("label", [NORMAL, *CATEGORIES])
def test_the_mask_is_empty_exactly_when_the_study_is_normal(coarse: Settings, label: str) -> None:
    small = replace(coarse, diameters=(8.0, 16.0))
    for seed in range(15):
        _, mask, drawn, normal = simulate_study(seed, small, label=label)
        assert drawn == label
        assert normal == (label == "normal")
        assert bool(mask.labels.any()) != normal
        assert set(np.unique(mask.labels)) <= {0, 1, 2, 4}


@pytest.mark.parametrize("label", ["glioma", "meningioma", "metastasis", "ms"])
def test_no_lesion_lies_outside_the_skull(coarse: Settings, label: str) -> None:
    for seed in range(8):
        scene = draw_scene(seed, replace(coarse, thick=0.0), label)
        _, mask = render(scene, "sim")
        depth = depth_in(scene)
        assert (depth[mask.labels > 0] < 5 + scene.grid.spacing[0] / 2).all()


def test_without_skull_nothing_is_left_outside_the_brain(coarse: Settings) -> None:
    scene = replace(draw_scene(9, replace(coarse, thick=0.0), "normal"), skull=True)
    whole, _ = render(scene, "whole")
    bare, _ = render(replace(scene, skull=False), "bare")
    far = depth_in(scene) > 12
    assert _mean(whole, "t1", far) > 20
    assert _mean(bare, "t1", far) == 0
    left = bare.reference.voxels > 0
    assert left.sum() > 2000
    assert np.array_equal(bare.reference.voxels[left], whole.reference.voxels[left])


def _contrast_of_parts(category: str, seeds: range) -> tuple[dict[int, float], dict[int, float]]:
    """Median over seeds of lesion part over the same voxels without lesion, per mask value, on T1c and on FLAIR."""
    ratios: dict[str, dict[int, list[float]]] = {"t1c": {}, "flair": {}}
    for seed in seeds:
        scene = draw_scene(seed, _clear(category, skull=0.0))
        sick, mask = render(scene, "sick")
        well, _ = render(replace(scene, lesions=()), "well")
        for contrast, found in ratios.items():
            for value in np.unique(mask.labels[mask.labels > 0]):
                where = mask.labels == value
                found.setdefault(int(value), []).append(_mean(sick, contrast, where) / _mean(well, contrast, where))
    t1c, flair = ({v: float(np.median(r)) for v, r in ratios[c].items()} for c in ("t1c", "flair"))
    return t1c, flair


def test_a_glioma_has_a_dark_core_a_bright_ring_and_bright_oedema() -> None:
    t1c, flair = _contrast_of_parts("glioma", range(6))
    assert t1c[1] < 0.9
    assert t1c[4] > 1.15
    assert flair[2] > 1.4


def test_a_meningioma_is_bright_with_contrast_agent_and_mild_on_flair() -> None:
    t1c, flair = _contrast_of_parts("meningioma", range(6))
    assert t1c[4] > 1.4
    assert 1.0 < flair[4] < 2.0
    assert 1 not in t1c


def test_a_glioma_lies_deeper_than_a_meningioma() -> None:
    def depth(category: str) -> float:
        found = []
        for seed in range(6):
            scene = draw_scene(seed, _clear(category, diameters=(20.0, 22.0)))
            _, mask = render(scene, "sim")
            found.append(float(np.quantile(depth_in(scene)[mask.labels > 0], 0.95)))
        return float(np.median(found))

    assert depth("glioma") < depth("meningioma") - 2


def test_a_lesion_is_about_as_large_as_it_was_drawn() -> None:
    chosen = Settings(
        spacing=3.0, categories=("metastasis",), count=(1, 1), diameters=(29.0, 30.0), normal=0.0, thick=0.0
    )
    for seed in range(4):
        _, mask, *_ = simulate_study(seed, chosen)
        across = np.ptp(mask.geometry.to_mm(np.argwhere((mask.labels == 1) | (mask.labels == 4))), axis=0).max()
        assert 20 < across < 40


def test_thick_slices_average_thin_ones(coarse: Settings) -> None:
    thin = draw_scene(11, replace(coarse, thick=0.0), "glioma")
    thin = replace(thin, grid=replace(thin.grid, shape=(*thin.grid.shape[:2], 28)))
    thick = replace(thin, grid=replace(thin.grid, thick=2))
    (fine, fine_mask), (blunt, blunt_mask) = render(thin, "thin"), render(thick, "thick")
    assert blunt.reference.voxels.shape[2] == 14
    assert np.array_equal(blunt_mask.labels > 0, _pairs(fine_mask).any(axis=3))
    signal = blunt.reference.voxels > 100
    pairs = fine.reference.voxels.reshape(*blunt.reference.voxels.shape, 2).mean(axis=3)
    np.testing.assert_allclose(np.median(blunt.reference.voxels[signal] / pairs[signal]), 1, atol=0.03)


def _pairs(mask: Mask) -> np.ndarray:
    return mask.labels.reshape(*mask.labels.shape[:2], -1, 2)


def test_global_brightness_does_not_tell_the_label(coarse: Settings) -> None:
    from sklearn.metrics import roc_auc_score

    normals, features = [], []
    for seed in range(80):
        study, _, _, normal = simulate_study(seed, coarse)
        normals.append(normal)
        features.append([f(v.voxels) for v in study.series.values() for f in (np.mean, np.max, np.std)])
    for column in np.array(features).T:
        auc = roc_auc_score(normals, column)
        assert max(auc, 1 - auc) < 0.75
