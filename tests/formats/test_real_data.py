"""Real scans, where they are at hand."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from secondread.errors import FormatError
from secondread.formats import contrast_of, find_scans, probe, read_mask, read_study, read_volume, write_mask
from secondread.volume import Mask
from tests.formats.scans import SHARED

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared real scans are not here")


def test_brats_case_in_well_under_a_second() -> None:
    folder = min((SHARED / "volumes/tumour").iterdir())
    images = sorted(f for f in folder.iterdir() if "seg" not in f.name)
    read_volume(images[0])  # imports
    start = time.process_time()
    study = read_study(folder.name, images, [contrast_of(f.name) for f in images])
    assert time.process_time() - start < 1
    assert set(study.series) == {"t1", "t1c", "t2", "flair"}
    assert study.warnings == ()
    mask = read_mask(next(folder.glob("*seg*")), study.reference.geometry)
    assert set(np.unique(mask.labels)) <= {0, 1, 2, 4}


def test_every_volume_has_a_header() -> None:
    found = find_scans(SHARED / "volumes")
    assert len(found) == 110
    assert [f for f in found if f.error] == []


def test_philips_as_itk_sees_it(tmp_path: Path) -> None:
    folder = SHARED / "dicom/philips_mprage"
    volume = read_volume(folder)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    np.testing.assert_allclose(volume.geometry.affine, affine, atol=1e-4)
    every = slice(None, None, 16)
    np.testing.assert_allclose(volume.voxels[..., every], sitk.GetArrayFromImage(image)[every].T, atol=1e-2)
    assert probe(folder).contrast == "t1"
    path = tmp_path / "mask.nii.gz"
    write_mask(Mask(volume.geometry, np.ones(volume.geometry.shape, np.uint8)), path)
    mask = probe(path).geometry
    assert mask is not None
    assert mask.matches(volume.geometry, 1e-4)


def test_enhanced_series_say_what_they_are() -> None:
    for name in ("philips_enhanced", "siemens_xa10_enhanced"):
        (found,) = find_scans(SHARED / "dicom" / name)
        assert isinstance(found.error, FormatError)
        assert "4D" in str(found.error)
    volume = read_volume(SHARED / "dicom/siemens_xa10_enhanced/6_1.dcm")
    assert volume.voxels.shape == (64, 64, 6)
    np.testing.assert_allclose(volume.geometry.spacing, (3.375, 3.375, 2.4), atol=1e-3)
