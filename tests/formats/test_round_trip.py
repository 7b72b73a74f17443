"""What is written reads back the same, by this reader and by others."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secondread.errors import MaskError, ResourceError, UnsupportedFormat
from secondread.formats import probe, read_mask, read_volume, write_mask, write_picture_mask, write_volume
from secondread.volume import RAS_TO_LPS, Geometry, Mask, Volume
from tests.formats.scans import geometries, noise

SUFFIXES = [".nii", ".nii.gz", ".nrrd", ".mha"]
GRID = Geometry(
    (5, 4, 3), np.diag([1.5, -2, 3, 1]) + np.array([[0, 0, 0, 7.25], [0, 0, 0, -3], [0, 0, 0, 11], [0] * 4])
)


@settings(max_examples=25, deadline=None)
@given(geometries(), st.sampled_from(SUFFIXES), st.sampled_from(["uint8", "int16", "uint16", "int32", "float32"]))
def test_volume_keeps_voxels_and_geometry(geometry: Geometry, suffix: str, dtype: str) -> None:
    voxels = noise(geometry.shape, dtype)
    voxels.flat[0] = 121
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"scan{suffix}"
        write_volume(Volume(geometry, voxels), path)
        again, header = read_volume(path), probe(path)
        names = [p.name for p in Path(folder).iterdir()]
    assert again.voxels.dtype == voxels.dtype
    np.testing.assert_array_equal(again.voxels, voxels)
    # NIfTI keeps float32: 1e-6 relative; the others keep every digit.
    near, least = (1e-6, 2e-6) if suffix.startswith(".nii") else (1e-12, 1e-10)
    np.testing.assert_allclose(again.geometry.affine, geometry.affine, rtol=near, atol=least)
    assert header.geometry is not None
    assert header.geometry.matches(again.geometry)
    assert again.warnings == ()
    assert names == [path.name]


def test_nifti_means_the_same_to_nibabel(tmp_path: Path) -> None:
    write_mask(Mask(GRID, noise(GRID.shape, np.uint8)), tmp_path / "mask.nii.gz")
    image: Any = nib.load(tmp_path / "mask.nii.gz")
    np.testing.assert_allclose(image.affine, RAS_TO_LPS @ GRID.affine, atol=1e-6)
    np.testing.assert_allclose(image.get_qform(), RAS_TO_LPS @ GRID.affine, atol=1e-5)
    assert int(image.header["sform_code"]) == int(image.header["qform_code"]) == 1
    np.testing.assert_array_equal(np.asarray(image.dataobj), noise(GRID.shape, np.uint8))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_means_the_same_to_itk(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"s{suffix}"
    write_volume(Volume(GRID, noise(GRID.shape)), path)
    image = sitk.ReadImage(str(path))
    for index in ((0, 0, 0), (4, 3, 2), (1, 2, 0)):
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(index), GRID.to_mm(index), atol=1e-4)
        assert image[index] == noise(GRID.shape)[index]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_mask_reads_back_on_its_scan(tmp_path: Path, suffix: str) -> None:
    labels = noise(GRID.shape, np.uint8)
    write_mask(Mask(GRID, labels), tmp_path / f"m{suffix}")
    np.testing.assert_array_equal(read_mask(tmp_path / f"m{suffix}", GRID).labels, labels)


def test_picture_mask_reads_back(tmp_path: Path) -> None:
    labels = np.zeros((9, 12), np.uint8)
    labels[2:5, 3:7], labels[6:, 8:] = 1, 2
    write_picture_mask(labels, tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", (9, 12)), labels)


def test_equal_masks_are_equal_files(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.nii.gz"):
        write_mask(Mask(GRID, noise(GRID.shape, np.uint8)), tmp_path / name)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_paths_may_hold_spaces_and_any_letters(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        path = tmp_path / "Müller λ 影像" / f"scan ü 1{suffix}"
        write_volume(Volume(GRID, noise(GRID.shape)), path)
        assert read_volume(path).geometry.matches(GRID)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"m{suffix}"
    path.write_bytes(b"old")

    def full(_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResourceError, match="disk is full"):
        write_mask(Mask(GRID, noise(GRID.shape, np.uint8)), path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_mask(Mask(GRID, noise(GRID.shape, np.uint8)), tmp_path / "m.nii.gz")
    assert list(tmp_path.iterdir()) == []


def test_writing_where_nobody_may_is_a_resource_error() -> None:
    # /proc takes no new file from anybody, root included.
    with pytest.raises((ResourceError, OSError)) as caught:
        write_mask(Mask(GRID, noise(GRID.shape, np.uint8)), "/proc/self/m.nii.gz")
    if os.geteuid() != 0:
        assert isinstance(caught.value, ResourceError)


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFormat, match=r"\.tif"):
        write_volume(Volume(GRID, noise(GRID.shape)), tmp_path / "a.tif")
    with pytest.raises(UnsupportedFormat, match="png"):
        write_picture_mask(np.zeros((9, 9), np.uint8), tmp_path / "a.jpg")
    with pytest.raises(MaskError):
        write_picture_mask(np.zeros((9, 9, 3), np.uint8), tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=40), st.floats(0, 1), st.sampled_from(SUFFIXES))
def test_damage_is_a_typed_error_or_a_volume(tmp_path: Path, junk: bytes, where: float, suffix: str) -> None:
    from secondread.errors import SecondreadError

    path = tmp_path / f"d{suffix}"
    write_volume(Volume(GRID, noise(GRID.shape)), path)
    data = bytearray(path.read_bytes())
    at = int(where * (len(data) - 1))
    data[at : at + len(junk)] = junk
    path.write_bytes(data)
    try:
        read_volume(path)
    except SecondreadError as error:
        assert str(path) in str(error)  # noqa: PT017 - a volume is as good an outcome
