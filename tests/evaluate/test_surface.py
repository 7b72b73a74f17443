from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.surface_dice import compute_surface_dice
from monai.metrics.surface_distance import compute_average_surface_distance
from numpy.typing import NDArray

from secondread.evaluate.surface import compare_surfaces


def blob(seed: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    from scipy.ndimage import gaussian_filter

    field = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 3)
    return np.asarray(field > np.quantile(field, 0.8))


def test_two_plates_lie_as_far_apart_as_they_were_put() -> None:
    truth, predicted = np.zeros((2, 20, 20, 20), bool)
    truth[5, 4:10, 4:10] = True
    predicted[8, 4:10, 4:10] = True
    found = compare_surfaces(predicted, truth, (2.0, 1.0, 1.0))
    assert (found.assd, found.hd95, found.nsd) == (6.0, 6.0, 0.0)
    assert compare_surfaces(predicted, truth, (0.5, 1.0, 1.0)).nsd == 1.0
    same = compare_surfaces(truth, truth, (1.0, 1.0, 1.0))
    assert (same.assd, same.hd95, same.nsd) == (0.0, 0.0, 1.0)


def test_a_mask_that_was_not_drawn_meets_nothing_and_has_no_distance() -> None:
    truth = np.ones((4, 4, 4), bool)
    found = compare_surfaces(~truth, truth, (1.0, 1.0, 1.0))
    assert np.isnan([found.assd, found.hd95]).all()
    assert found.nsd == 0.0


@pytest.mark.parametrize("shape", [(24, 22, 20), (40, 36)])
@pytest.mark.parametrize("seed", range(3))
def test_distances_are_those_of_monai(shape: tuple[int, ...], seed: int) -> None:
    # Blobs reach the grid's border on purpose.
    a, b = blob(seed, shape), blob(100 + seed, shape)
    spacing = (1.0, 1.5, 3.0)[: len(shape)]
    found = compare_surfaces(a, b, spacing, tolerance=2.0)
    x, y = (torch.from_numpy(mask)[None, None].float() for mask in (a, b))
    hd95 = compute_hausdorff_distance(x, y, include_background=True, percentile=95, spacing=list(spacing))
    assd = compute_average_surface_distance(x, y, include_background=True, symmetric=True, spacing=list(spacing))
    nsd = compute_surface_dice(x, y, [2.0], include_background=True, spacing=list(spacing))
    assert found.hd95 == pytest.approx(float(hd95), rel=1e-6)
    assert found.assd == pytest.approx(float(assd), rel=1e-6)
    assert found.nsd == pytest.approx(float(nsd), abs=1e-6)
