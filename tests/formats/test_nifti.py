"""NIfTI files that are odd or bad."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from secondread.errors import FormatError, GeometryError, ResourceError, TooLarge, TruncatedFile, UnsupportedFormat
from secondread.formats import probe, read_volume
from tests.formats.scans import noise, save_nifti

SHAPE = (6, 5, 4)
AFFINE = np.diag([2.0, 2, 3, 1])


def test_slope_and_intercept_apply(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "a.nii", noise(SHAPE), AFFINE, scl_slope=0.5, scl_inter=-3)
    voxels = read_volume(path).voxels
    assert voxels.dtype == np.float32
    np.testing.assert_allclose(voxels, noise(SHAPE) * 0.5 - 3)


def test_big_endian_and_nifti2(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(noise(SHAPE).astype(">i2"), AFFINE, nib.Nifti1Header(endianness=">")), tmp_path / "b.nii")
    nib.save(nib.Nifti2Image(noise(SHAPE), AFFINE), tmp_path / "c.nii.gz")
    for name in ("b.nii", "c.nii.gz"):
        volume = read_volume(tmp_path / name)
        np.testing.assert_array_equal(volume.voxels, noise(SHAPE))
        assert volume.voxels.dtype.isnative
        np.testing.assert_allclose(volume.geometry.affine, np.diag([-2, -2, 3, 1]))


def test_a_wrong_suffix_does_not_matter(tmp_path: Path) -> None:
    plain = save_nifti(tmp_path / "a.nii", noise(SHAPE), AFFINE)
    plain.rename(tmp_path / "b.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "b.nii.gz").voxels, noise(SHAPE))


def test_no_orientation_warns_and_keeps_spacing(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "a.nii", noise(SHAPE), None, pixdim=[1, 0.5, 0.6, 3, 0, 0, 0, 0])
    header = probe(path)
    assert header.geometry is not None
    np.testing.assert_allclose(header.geometry.spacing, (0.5, 0.6, 3), rtol=1e-6)
    assert "orientation" in header.warnings[0]
    assert read_volume(path).warnings == header.warnings


def test_qform_alone_is_used(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "a.nii", noise(SHAPE), AFFINE, sform_code=0, qform_code=1, srow_x=[9, 9, 9, 9])
    geometry = read_volume(path).geometry
    np.testing.assert_allclose(geometry.affine, AFFINE, atol=1e-6)


def test_forms_that_disagree_warn(tmp_path: Path) -> None:
    image = nib.Nifti1Image(noise(SHAPE), np.diag([1, 1, 1, 1]))
    image.set_qform(np.diag([1, 1, 2, 1]), 1)
    image.set_sform(np.eye(4), 1)
    nib.save(image, tmp_path / "a.nii")
    assert "apart" in probe(tmp_path / "a.nii").warnings[0]


def test_units_become_mm(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "a.nii", noise(SHAPE), np.diag([2e-3, 2e-3, 3e-3, 1]), xyzt_units=1)
    np.testing.assert_allclose(read_volume(path).geometry.spacing, (2, 2, 3), rtol=1e-6)


def test_singular_affine(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "a.nii", noise(SHAPE), AFFINE, srow_z=[2, 0, 0, 0], srow_x=[2, 0, 0, 0])
    with pytest.raises(GeometryError, match=r"a\.nii"):
        probe(path)


def test_a_last_axis_of_one_is_dropped(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "a.nii.gz", noise((*SHAPE, 1, 1)), AFFINE)
    assert read_volume(path).voxels.shape == SHAPE


def test_several_volumes_are_counted(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "a.nii.gz", noise((*SHAPE, 7)), AFFINE)
    with pytest.raises(FormatError, match="7 volumes"):
        probe(path)


@pytest.mark.parametrize("shape", [(6, 5, 1), (6, 5), (1, 5, 6)])
def test_one_voxel_of_depth(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = save_nifti(tmp_path / "a.nii", noise(shape), AFFINE)
    with pytest.raises(FormatError, match="single slice"):
        probe(path)


@pytest.mark.parametrize("value", [0, 7, np.nan, np.inf])
def test_nothing_to_read(tmp_path: Path, value: float) -> None:
    path = save_nifti(tmp_path / "a.nii.gz", np.full(SHAPE, value, np.float32), AFFINE)
    probe(path)
    with pytest.raises(FormatError, match=r"a\.nii\.gz"):
        read_volume(path)


def test_a_few_holes_take_the_lowest_value(tmp_path: Path) -> None:
    voxels = noise(SHAPE, np.float64) + 3
    voxels[0, 0, 0], voxels[1, 2, 3] = np.nan, np.inf
    volume = read_volume(save_nifti(tmp_path / "a.nii", voxels, AFFINE))
    assert volume.voxels[0, 0, 0] == volume.voxels[1, 2, 3] == volume.voxels.min() == np.delete(voxels, [0, 33]).min()
    assert "2 of 120" in volume.warnings[0]


@pytest.mark.parametrize("keep", [0, 10, 200, 400])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_truncated(tmp_path: Path, keep: int, suffix: str) -> None:
    path = save_nifti(tmp_path / f"a{suffix}", noise((16, 16, 16), seed=3), AFFINE)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(TruncatedFile, match=r"a\.nii"):
        read_volume(path)


def test_a_gzip_checksum_that_is_wrong(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "a.nii.gz", noise(SHAPE), AFFINE)
    data = bytearray(path.read_bytes())
    data[-8] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(FormatError, match="damaged"):
        read_volume(path)


def test_a_header_that_promises_too_much(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "a.nii.gz", noise(SHAPE), AFFINE, dim=[3, 30000, 30000, 30000, 1, 1, 1, 1])
    with pytest.raises(TooLarge, match="30000 x 30000 x 30000"):
        probe(path)
    path = save_nifti(tmp_path / "b.nii.gz", noise(SHAPE), AFFINE, dim=[3, 1000, 1000, 1000, 1, 1, 1, 1])
    with pytest.raises(TruncatedFile, match="promises"):
        probe(path)


@pytest.mark.parametrize("dim", [[9, 2, 2, 2, 1, 1, 1, 1], [3, -2, 2, 2, 1, 1, 1, 1], [3, 0, 2, 2, 1, 1, 1, 1]])
def test_impossible_axes(tmp_path: Path, dim: list[int]) -> None:
    path = save_nifti(tmp_path / "a.nii", noise(SHAPE), AFFINE, dim=dim)
    with pytest.raises(FormatError):
        probe(path)


def test_no_nifti_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_bytes(b"hello " * 200)
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(b"hello " * 200))
    for name in ("a.nii", "b.nii.gz"):
        with pytest.raises(FormatError, match="no NIfTI"):
            probe(tmp_path / name)
    with pytest.raises(FormatError, match="no such file"):
        probe(tmp_path / "none.nii")


@pytest.mark.parametrize("dtype", ["complex64", [("R", "u1"), ("G", "u1"), ("B", "u1")]])
def test_voxels_that_are_no_real_numbers(tmp_path: Path, dtype: object) -> None:
    nib.save(nib.Nifti1Image(np.zeros(SHAPE, dtype), AFFINE), tmp_path / "a.nii")
    with pytest.raises(UnsupportedFormat):
        probe(tmp_path / "a.nii")


def test_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_nifti(tmp_path / "a.nii", noise(SHAPE), AFFINE)

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(ResourceError, match=r"a\.nii.*permission"):
        read_volume(path)
