"""Augmentation: replayable, geometry and mask together, missing contrasts stay missing."""

from __future__ import annotations

import pytest
import torch

from secondread.train.augment import Strength, apply, draw

STILL = Strength(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


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
    strength = Strength(rotation=30, zoom=0.2, shift=0.1, elastic=0.03, gain=0, offset=0, gamma=0, noise=0, bias=0)
    out, moved = apply(images, masks, draw(images, strength, 3))
    inside = out[:, 0][moved > 0].mean()
    outside = out[:, 0][moved == 0].mean()
    assert inside > 1.5
    assert outside < -0.8


def test_a_mirror_is_left_to_right() -> None:
    images, masks = scene(3)
    out, _ = apply(images, masks, draw(images, Strength(0, 0, 0, 0, 1.0, 0, 0, 0, 0, 0), 0))
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
    strength = Strength(rotation=90, zoom=0, shift=0, elastic=0, mirror=0, gain=0, offset=0, gamma=0, noise=0, bias=0)
    p = draw(images, strength, 0)
    cos, sin = torch.tensor(0.0), torch.tensor(1.0)
    p.matrix[0] = torch.stack([torch.stack([cos, -sin]), torch.stack([sin, cos])])
    out, _ = apply(images, torch.zeros(1, 32, 64, dtype=torch.uint8), p)
    rows, columns = (out[0, 0] > 0.5).nonzero(as_tuple=True)
    assert rows.max() - rows.min() + 1 == pytest.approx(20, abs=2)
    assert columns.max() - columns.min() + 1 == pytest.approx(4, abs=2)
