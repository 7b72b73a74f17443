"""Lesions in scans of which nothing is known but their voxels."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from secondread.errors import UsageError
from secondread.simulate import NORMAL, BatchSettings, ImplantSettings, draw_batch, draw_implants, implant, render_batch
from secondread.simulate.implant import KINDS

SPACING = (5.0, 5.0, 5.0)
SETTINGS = ImplantSettings(("flair",), SPACING, chance=1.0, difficulty=0.0, faintest=1.0)


@pytest.fixture(scope="module")
def heads() -> torch.Tensor:
    settings = BatchSettings(shape=(34, 42, 34), spacing=5.0, contrasts=("flair",), skull=0.0)
    return render_batch(draw_batch(settings, 6, 1, [NORMAL] * 6)).images


@pytest.fixture(scope="module")
def slices() -> torch.Tensor:
    settings = BatchSettings(shape=(96, 96), contrasts=("t1", "flair"), planes=("axial",), fill=True, skull=0.0)
    return render_batch(draw_batch(settings, 8, 2, [NORMAL] * 8)).images


def test_the_same_draw_gives_the_same_scans_and_leaves_the_input_alone(heads: torch.Tensor) -> None:
    before = heads.clone()
    p = draw_implants(SETTINGS, len(heads), 4)
    assert p == draw_implants(SETTINGS, len(heads), 4)
    one, two = implant(heads, p), implant(heads, p)
    assert torch.equal(heads, before)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    other, _ = implant(heads, draw_implants(SETTINGS, len(heads), 5))
    assert not torch.equal(one[0], other)


def test_without_a_chance_nothing_changes(heads: torch.Tensor) -> None:
    images, masks = implant(heads, draw_implants(replace(SETTINGS, chance=0.0), len(heads), 4))
    assert torch.equal(images, heads)
    assert not masks.any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_scan_changes_where_its_mask_says(heads: torch.Tensor, kind: str) -> None:
    images, masks = implant(heads, draw_implants(replace(SETTINGS, categories=(kind,)), len(heads), 6))
    assert (masks > 0).flatten(1).any(1).float().mean() > 0.7
    changed = (images - heads).abs().amax(1)
    inside, outside = changed[masks > 0], changed[masks == 0]
    assert inside.mean() > 20 * outside.mean()
    assert set(masks.unique().tolist()) <= {0, 1, 2, 4}


def test_a_lesion_is_bright_on_flair_and_dark_on_t1(slices: torch.Tensor) -> None:
    settings = ImplantSettings(("t1", "flair"), None, chance=1.0, categories=("glioma",), difficulty=0.0)
    images, masks = implant(slices, draw_implants(settings, len(slices), 3))
    oedema = masks == 2
    assert oedema.sum() > 200
    change = images - slices
    assert change[:, 0][oedema].mean() < -0.3
    assert change[:, 1][oedema].mean() > 0.5


def test_a_missing_contrast_stays_missing(slices: torch.Tensor) -> None:
    lacking = slices.clone()
    lacking[:, 0] = 0
    settings = ImplantSettings(("t1", "flair"), None, chance=1.0, difficulty=0.0)
    images, masks = implant(lacking, draw_implants(settings, len(slices), 3))
    assert masks.any()
    assert not images[:, 0].any()


def test_noise_stays_on_top_of_what_is_implanted(heads: torch.Tensor) -> None:
    rng = torch.Generator().manual_seed(0)
    noisy = heads + 0.5 * torch.randn(heads.shape, generator=rng) * (heads > heads.amin())
    p = draw_implants(replace(SETTINGS, categories=("meningioma",)), len(heads), 6)
    (calm, masks), (rough, _) = implant(heads, p), implant(noisy, p)
    core = masks[:, 1:-1] == 4

    def grain(images: torch.Tensor) -> float:
        return float((images[:, 0, 2:] - 2 * images[:, 0, 1:-1] + images[:, 0, :-2])[core].std())

    assert grain(rough) > grain(calm) + 0.2


def test_what_cannot_be_implanted_is_refused() -> None:
    with pytest.raises(UsageError, match="pituitary cannot be implanted"):
        ImplantSettings(("t1",), categories=("pituitary",))
    with pytest.raises(UsageError, match="chance"):
        ImplantSettings(("t1",), chance=2.0)
    with pytest.raises(UsageError, match="-1"):
        draw_implants(SETTINGS, 1, -1)
