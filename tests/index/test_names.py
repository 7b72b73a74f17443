from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondread.index.names import base_of, is_normal, patient_of, role_of, split_of, stem_of


@pytest.mark.parametrize(
    "label", ["normal", "Healthy", "no_tumor", "No Tumour", "NO-TUMOR", "notumor", "no", "negative", "Controls", "HC"]
)
def test_usual_names_of_normal(label: str) -> None:
    assert is_normal(label)


@pytest.mark.parametrize("label", ["glioma", "abnormal", "cat", "tumour", "unhealthy", "yes", "none of these"])
def test_other_labels_are_not_normal(label: str) -> None:
    assert not is_normal(label)


def test_normal_by_the_users_word() -> None:
    assert is_normal("Cat", ["cat"])


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("Training", "train"),
        ("train", "train"),
        ("train_set", "train"),
        ("valid", "validation"),
        ("Validation", "validation"),
        ("val", "validation"),
        ("testing", "test"),
        ("Test Data", "test"),
        ("dataset", None),
        ("contest", None),
        ("glioma", None),
    ],
)
def test_spellings_of_splits(name: str, split: str | None) -> None:
    assert split_of(name) == split


@pytest.mark.parametrize(
    ("stem", "role"),
    [
        ("Brats18_2013_11_1_seg", "mask"),
        ("scan-mask", "mask"),
        ("sub-01_label-L_mask", "mask"),
        ("GTV_segmentation", "mask"),
        ("lesionmask2", "mask"),
        ("sub-01_desc-brain_mask", "aside"),
        ("IXI012-HH-1211_T1", "scan"),
        ("t1_masked", "scan"),
        ("massage", "scan"),
    ],
)
def test_role_of_files(stem: str, role: str) -> None:
    assert role_of(stem) == role


def test_files_of_one_study_share_their_base() -> None:
    names = ["p1_t1", "p1_T1ce", "p1_flair", "p1_seg", "p1-t2w"]
    assert {base_of(name) for name in names} == {"p1"}


@pytest.mark.parametrize(
    ("path", "scheme", "group", "site"),
    [
        ("Brats18_TCIA01_201_1/Brats18_TCIA01_201_1_t1", "BraTS", "Brats18_TCIA01_201", "TCIA01"),
        ("Brats18_2013_11_1", "BraTS", "Brats18_2013_11", "2013"),
        ("BraTS2021_00012_flair", "BraTS", "BraTS2021_00012", None),
        ("BraTS20_Training_001_t1", "BraTS", "BraTS20_Training_001", None),
        ("BraTS-GLI-00005-001-t1n", "BraTS", "BraTS-GLI-00005", None),
        ("healthy/IXI012-HH-1211_T1", "IXI", "IXI012", "HH"),
        ("sub-01/ses-2/anat/sub-01_ses-2_T1w", "BIDS", "sub-01", None),
        ("OAS30001_MR_d0129/T1w", "OASIS", "OAS30001", None),
        ("OAS1_0042_MR1", "OASIS", "OAS1_0042", None),
        ("UPENN-GBM-00001_11", "UPENN-GBM", "UPENN-GBM-00001", None),
        ("TCGA_CS_4941_19960909/TCGA_CS_4941_19960909_1", "TCGA", "TCGA_CS_4941", "CS"),
    ],
)
def test_patients_of_known_schemes(path: str, scheme: str, group: str, site: str | None) -> None:
    found = patient_of(path)
    assert found is not None
    assert (found[0], found[1].group, found[1].site) == (scheme, group, site)


def test_other_names_name_no_patient() -> None:
    assert patient_of("glioma/0715") is None


def test_stem_keeps_dots_that_are_no_suffix() -> None:
    assert stem_of("a.b.nii.gz") == "a.b"
    assert stem_of("series 1.2.840") == "series 1.2.840"


@given(st.text())
def test_no_text_breaks_the_rules(text: str) -> None:
    is_normal(text)
    split_of(text)
    role_of(text)
    base_of(text)
    patient_of(text)
