"""Augmentation: replayable, geometry and mask together, missing contrasts stay missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from secondread.train.augment import Strength, apply, draw

STILL = Strength(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


def scene(dimensions: int) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.full((2, 2, *[24] * dimensions), -1.0)
    masks = torch.zeros(2, *[24] * dimensions, dtype=torch.uint8)
    box = (slice(6, 12),) * dimensions
    images[(slice(None), slice(None), *box)] = 2.0
    masks[(slice(None), *box)] = 4
    return images, masks


@pytest.mark.parametrize("dimensions", [2, 3])
def test_no_strength_changes_nothing(dimensions: int) -> None:
    images, masks = scene(dimensions)
    out, moved = apply(images, masks, draw(images, STILL, 0))
    assert torch.allclose(out, images, atol=1e-4)
    assert torch.equal(moved, (masks > 0).to(torch.uint8))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_one_draw_gives_one_result(dimensions: int) -> None:
    images, masks = scene(dimensions)
    a = apply(images, masks, draw(images, Strength(), 7))
    b = apply(images, masks, draw(images, Strength(), 7))
    c = apply(images, masks, draw(images, Strength(), 8))
    assert torch.equal(a[0], b[0])
    assert torch.equal(a[1], b[1])
    assert not torch.equal(a[0], c[0])


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_mask_moves_with_the_scan(dimensions: int) -> None:
    images, masks = scene(dimensions)
    strength = Strength(
        rotation=30, zoom=0.2, shift=0.1, elastic=0.03, gain=0, offset=0, gamma=0, noise=0, bias=0, blur=0
    )
    out, moved = apply(images, masks, draw(images, strength, 3))
    inside = out[:, 0][moved > 0].mean()
    outside = out[:, 0][moved == 0].mean()
    assert inside > 1.5
    assert outside < -0.8


def test_a_mirror_is_left_to_right() -> None:
    images, masks = scene(3)
    out, _ = apply(images, masks, draw(images, replace(STILL, mirror=1.0), 0))
    assert torch.allclose(out, images.flip(2), atol=1e-4)


def test_a_missing_contrast_stays_missing() -> None:
    images, masks = scene(2)
    images[0, 1] = 0
    out, _ = apply(images, masks, draw(images, Strength(), 1))
    assert out[0, 1].abs().max() == 0
    assert out[1, 1].abs().max() > 0


def test_a_rotation_keeps_angles_on_a_long_patch() -> None:
    images = torch.zeros(1, 1, 32, 64)
    images[..., 14:18, 22:42] = 1.0
    strength = Strength(
        rotation=90, zoom=0, shift=0, elastic=0, mirror=0, gain=0, offset=0, gamma=0, noise=0, bias=0, blur=0
    )
    p = draw(images, strength, 0)
    cos, sin = torch.tensor(0.0), torch.tensor(1.0)
    p.matrix[0] = torch.stack([torch.stack([cos, -sin]), torch.stack([sin, cos])])
    out, _ = apply(images, torch.zeros(1, 32, 64, dtype=torch.uint8), p)
    rows, columns = (out[0, 0] > 0.5).nonzero(as_tuple=True)
    assert rows.max() - rows.min() + 1 == pytest.approx(20, abs=2)
    assert columns.max() - columns.min() + 1 == pytest.approx(4, abs=2)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_blur_is_a_gaussian(dimensions: int) -> None:
    images = torch.randn(2, 2, *[24] * dimensions, generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(2, *[24] * dimensions, dtype=torch.uint8)
    p = replace(draw(images, STILL, 0), blur=torch.tensor([0.0, 0.8]))
    out, _ = apply(images, masks, p)
    torch.testing.assert_close(out[0], images[0], atol=1e-4, rtol=0)
    expected = gaussian_filter(images[1, 1].numpy(), 0.8, mode="nearest", radius=3)
    np.testing.assert_allclose(out[1, 1].numpy(), expected, atol=1e-3)


def test_thick_slices_are_thick_along_one_axis() -> None:
    images = torch.randn(1, 1, 24, 24, 24, generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(1, 24, 24, 24, dtype=torch.uint8)
    p = replace(draw(images, STILL, 0), coarse=torch.tensor([2.0]), thick=torch.tensor([2]))
    out = apply(images, masks, p)[0][0, 0]
    steps = [out.diff(dim=axis).std().item() for axis in range(3)]
    assert steps[2] < 0.6 * min(steps[:2])
    # Noise averaged over two slices loses a factor of the root of two, and some more in between.
    assert out.mean().item() == pytest.approx(images.mean().item(), abs=0.02)


def test_some_samples_lose_resolution_and_most_do_not() -> None:
    images = torch.zeros(400, 1, 8, 8)
    p = draw(images, Strength(), 3)
    assert 0.1 < (p.blur > 0).float().mean() < 0.3
    assert 0.1 < (p.coarse > 1).float().mean() < 0.3
    assert p.blur.max() <= 1.0
    assert p.coarse.max() <= 2.0
