"""Masks that fit, and masks that do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from secondread.errors import MaskError, UnsupportedFormat
from secondread.formats import read_mask
from secondread.volume import Geometry
from tests.formats.scans import noise, save_nifti

GRID = Geometry((6, 5, 4), np.diag([2.0, 2, 3, 1]))


def labels() -> np.ndarray:
    out = np.zeros(GRID.shape, np.uint8)
    out[1:3, 2:4], out[4, 4, 3] = 1, 4
    return out


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_whole_numbers_of_any_type(tmp_path: Path, dtype: str) -> None:
    path = save_nifti(tmp_path / "m.nii.gz", labels().astype(dtype), GRID.affine)
    mask = read_mask(path, GRID)
    assert mask.labels.dtype == np.uint8
    np.testing.assert_array_equal(mask.labels, labels())
    assert mask.geometry is GRID


def test_an_empty_mask_is_a_mask(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "m.nii.gz", np.zeros(GRID.shape, np.uint8), GRID.affine)
    assert not read_mask(path, GRID).labels.any()


def test_another_grid(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "m.nii.gz", labels()[:5], GRID.affine)
    with pytest.raises(MaskError, match=r"m\.nii\.gz.*\(5, 5, 4\), its scan \(6, 5, 4\)"):
        read_mask(path, GRID)
    path = save_nifti(tmp_path / "n.nii.gz", labels(), np.diag([2.0, 2, 3.5, 1]))
    with pytest.raises(MaskError, match=r"differ by up to 0\.5"):
        read_mask(path, GRID)
    path = save_nifti(tmp_path / "o.nii.gz", labels(), None)
    with pytest.raises(MaskError, match="orientation"):
        read_mask(path, GRID)


@pytest.mark.parametrize("value", [0.37, np.nan, -1, 256, np.inf])
def test_values_that_are_no_labels(tmp_path: Path, value: float) -> None:
    values = labels().astype(np.float32)
    values[0, 0, 0] = value
    path = save_nifti(tmp_path / "m.nii.gz", values, GRID.affine)
    with pytest.raises(MaskError, match=r"m\.nii\.gz"):
        read_mask(path, GRID)


def test_kinds_do_not_mix(tmp_path: Path) -> None:
    Image.fromarray(noise((6, 5), np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(UnsupportedFormat):
        read_mask(tmp_path / "m.png", GRID)
    path = save_nifti(tmp_path / "m.nii.gz", labels(), GRID.affine)
    with pytest.raises(UnsupportedFormat):
        read_mask(path, (6, 5))


FLAT = np.zeros((12, 14), np.uint8)
FLAT[3:7, 4:9] = 1


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.fromarray(FLAT * 255), FLAT),
        (Image.fromarray(FLAT.astype(bool)), FLAT),
        (Image.fromarray(FLAT * 255).convert("RGB"), FLAT),
        (Image.fromarray(FLAT * 255).convert("RGBA"), FLAT),
        (Image.fromarray(FLAT.astype(np.uint16) * 65535), FLAT),
        (Image.fromarray(FLAT * 3), FLAT * 3),
        (Image.fromarray(FLAT * 128 + FLAT[::-1] * 100), FLAT * 128 + FLAT[::-1] * 100),
        (Image.fromarray(np.zeros_like(FLAT)), np.zeros_like(FLAT)),
    ],
)
def test_picture_masks(tmp_path: Path, image: Image.Image, expected: np.ndarray) -> None:
    image.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", (12, 14)), expected)


def test_a_palette_gives_its_indices(tmp_path: Path) -> None:
    image = Image.fromarray(FLAT * 2, "P")
    image.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
    image.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", (12, 14)), FLAT * 2)


def test_soft_outlines_are_cut_in_the_middle(tmp_path: Path) -> None:
    soft = np.tile(np.linspace(0, 255, 14).astype(np.uint8), (12, 1))
    Image.fromarray(soft).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", (12, 14)), soft >= 128)
    Image.fromarray(FLAT * 255).save(tmp_path / "m.jpg", quality=60)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.jpg", (12, 14)), FLAT)


def test_picture_masks_that_do_not_fit(tmp_path: Path) -> None:
    Image.fromarray(FLAT).save(tmp_path / "m.png")
    with pytest.raises(MaskError, match=r"\(12, 14\) rows and columns, its picture \(14, 12\)"):
        read_mask(tmp_path / "m.png", (14, 12))
    Image.fromarray(np.dstack([FLAT * 200, FLAT, FLAT])).save(tmp_path / "c.png")
    with pytest.raises(MaskError, match="colour"):
        read_mask(tmp_path / "c.png", (12, 14))
