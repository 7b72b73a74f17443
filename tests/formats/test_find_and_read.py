"""Folders to a list of scans, and files to a study."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import secondread.formats
from secondread.errors import FormatError, SeriesError, TruncatedFile, UnsupportedFormat
from secondread.formats import find_scans, probe, read_picture, read_study
from secondread.formats.header import CONTACT_SHEET
from tests.formats.scans import noise, save_nifti, write_enhanced, write_series

VOXELS = noise((10, 9, 6), np.uint16)
AFFINE = np.diag([2.0, 2, 3, 1])


def test_every_form_is_found_and_nothing_else(tmp_path: Path) -> None:
    for folder in ("a b", "dicom", "mixed", ".hidden"):
        (tmp_path / folder).mkdir()
    save_nifti(tmp_path / "a b" / "ü.nii.gz", noise((4, 4, 4)), AFFINE)
    save_nifti(tmp_path / "a b" / "short.nii", noise((4, 4, 4)), AFFINE)
    (tmp_path / "a b" / "short.nii").write_bytes(b"1" * 200)
    Image.fromarray(noise((9, 9), np.uint8)).save(tmp_path / "a b" / "p.PNG")
    Image.fromarray(noise((1, 1), np.uint8)).save(tmp_path / "a b" / "dot.png")
    save_nifti(tmp_path / ".hidden" / "x.nii", noise((4, 4, 4)), AFFINE)
    save_nifti(tmp_path / "._x.nii", noise((4, 4, 4)), AFFINE)
    for name in ("notes.txt", "participants.tsv", "side.json", "labels.csv", "noext", "a.zraw", "empty"):
        (tmp_path / name).write_bytes(b"" if name == "empty" else b"text" * 50)
    (tmp_path / "old.mgz").write_bytes(b"x")
    (tmp_path / "gone.nii").symlink_to(tmp_path / "nowhere.nii")
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "pipe")
    Image.fromarray(noise((9, 9), np.uint8)).save(tmp_path / CONTACT_SHEET)
    write_series(tmp_path / "dicom", VOXELS, suffix="")
    write_series(tmp_path / "mixed", VOXELS, series="1.2.3")[2].unlink()
    write_series(tmp_path / "mixed", VOXELS, series="1.2.4", suffix=".ima")
    write_enhanced(tmp_path / "mixed" / "e.dcm", VOXELS)
    found = {Path(f.source).relative_to(tmp_path).as_posix(): f.error for f in find_scans(tmp_path)}
    kinds = {source: None if error is None else type(error).__name__ for source, error in found.items()}
    assert kinds == {
        "a b/ü.nii.gz": None,
        "a b/short.nii": "TruncatedFile",
        "a b/p.PNG": None,
        "a b/dot.png": "FormatError",
        "dicom": None,
        "gone.nii": "FormatError",
        "mixed#series=1.2.3": "SeriesError",
        "mixed#series=1.2.4": None,
        "mixed/e.dcm": None,
        "old.mgz": "UnsupportedFormat",
        "pipe.png": "FormatError",
    }
    for source, error in found.items():
        if error is None:
            probe(f"{tmp_path}/{source}")


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    save_nifti(tmp_path / "real" / "a.nii", noise((4, 4, 4)), AFFINE)
    (tmp_path / "real" / "round").symlink_to(tmp_path)
    (tmp_path / "again").symlink_to(tmp_path / "real")
    assert len(find_scans(tmp_path)) == 1


def test_empty_and_absent_folders(tmp_path: Path) -> None:
    assert find_scans(tmp_path) == []
    with pytest.raises(FormatError, match="no such folder"):
        find_scans(tmp_path / "none")


def test_a_study_of_two_series(tmp_path: Path) -> None:
    flair = save_nifti(tmp_path / "s_flair.nii.gz", noise((4, 5, 6)), AFFINE)
    t1 = save_nifti(tmp_path / "s_t1.nii.gz", noise((4, 5, 6), seed=1), None)
    study = read_study("s", [flair, str(t1)], ["flair", "t1"])
    assert list(study.series) == ["flair", "t1"]
    assert study.reference is study.series["flair"]
    assert study.warnings[0].startswith("t1: the header says nothing")


def test_studies_that_contradict_themselves(tmp_path: Path) -> None:
    scan = save_nifti(tmp_path / "a.nii", noise((4, 5, 6)), AFFINE)
    picture = tmp_path / "p.png"
    Image.fromarray(noise((9, 9), np.uint8)).save(picture)
    with pytest.raises(SeriesError, match="two series are both t1: name them") as caught:
        read_study("sub-01", [scan, scan], ["t1", "t1"])
    assert caught.value.__notes__ == ["in study 'sub-01'"]
    with pytest.raises(SeriesError, match="2 images and 1 contrasts"):
        read_study("s", [scan, scan], ["t1"])
    with pytest.raises(SeriesError, match="a picture is a study of its own"):
        read_study("s", [scan, picture], ["t1", "image"])
    with pytest.raises(SeriesError, match="0 images"):
        read_study("s", [], [])
    assert read_study("s", [picture], ["image"]).picture is not None


def test_what_has_no_reader(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(UnsupportedFormat, match=r"a\.txt.*NIfTI"):
        probe(tmp_path / "a.txt")
    with pytest.raises(UnsupportedFormat, match="nifti"):
        read_picture(save_nifti(tmp_path / "a.nii", noise((4, 4, 4)), AFFINE))
    (tmp_path / "b.nii").write_bytes(b"")
    with pytest.raises(TruncatedFile, match="empty"):
        probe(tmp_path / "b.nii")


def test_the_public_face() -> None:
    public = {name for name, value in vars(secondread.formats).items() if callable(value) and not name.startswith("_")}
    assert set(secondread.formats.__all__) == public | {"MAX_PIXELS", "MAX_VOXELS", "MIN_PICTURE_SIDE", "Kind"}
