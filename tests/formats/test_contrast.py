"""Names that real data sets and scanners give."""

from __future__ import annotations

import pytest

from secondread.formats import contrast_of
from secondread.formats.contrast import contrast_of_timing, with_agent


@pytest.mark.parametrize(
    ("text", "contrast"),
    [
        ("Brats18_2013_11_1_t1.nii.gz", "t1"),
        ("Brats18_2013_11_1_t1ce.nii.gz", "t1c"),
        ("Brats18_2013_11_1_t2.nii.gz", "t2"),
        ("B1234_T1.nii.gz", "t1"),
        ("ep2d b1000", "dwi"),
        ("T1_postop.nii.gz", "t1"),
        ("T1 post", "t1c"),
        ("Brats18_2013_11_1_flair.nii.gz", "flair"),
        ("Brats18_2013_11_1_seg.nii.gz", "image"),
        ("BraTS-GLI-00001-000-t1c.nii.gz", "t1c"),
        ("BraTS-GLI-00001-000-t1n.nii.gz", "t1"),
        ("BraTS-GLI-00001-000-t2w.nii.gz", "t2"),
        ("BraTS-GLI-00001-000-t2f.nii.gz", "flair"),
        ("sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz", "t1"),
        ("/data/T2 study/sub-01_T1w.nii", "t1"),
        ("sub-01_ce-gadolinium_T1w.nii.gz", "t1c"),
        ("sub-01_FLAIR.nii.gz", "flair"),
        ("sub-01_T2w.nii.gz", "t2"),
        ("sub-01_PDw.nii.gz", "pd"),
        ("sub-01_space-T1w_desc-preproc_T2w.nii.gz", "t2"),
        ("sub-01_dwi.nii.gz", "dwi"),
        ("sub-01_T2starw.nii.gz", "image"),
        ("sub-01_task-t1_bold.nii.gz", "image"),
        ("IXI096-HH-1391_T1.nii.gz", "t1"),
        ("IXI012-HH-1211-T2.nii.gz", "t2"),
        ("IXI012-HH-1211-PD.nii.gz", "pd"),
        ("case_0000.nii.gz", "image"),
        ("case_0001.nii.gz", "image"),
        ("t1_mprage_sag", "t1"),
        ("ADNI_Sag3D MPRAGE", "t1"),
        ("MPRAGE", "t1"),
        ("MPRAGE post", "t1c"),
        ("T1 post gad", "t1c"),
        ("AX T1 +C", "t1c"),
        ("AX T1+C FS", "t1c"),
        ("T1 C+ SAG", "t1c"),
        ("T1 KM tra", "t1c"),
        ("T1 posterior fossa", "t1"),
        ("SAG T1 POST-CONTRAST", "t1c"),
        ("AX T1 W/O CONTRAST", "t1"),
        ("AX T1 without contrast", "t1"),
        ("T1 non contrast", "t1"),
        ("T1 pre Gd", "t1"),
        ("FLAIR", "flair"),
        ("AX FLAIR +C", "flair"),
        ("t2_tirm_tra_dark-fluid", "flair"),
        ("SAG T1 FLAIR", "t1"),
        ("T2 FLAIR cor", "flair"),
        ("T2 TSE", "t2"),
        ("t2_tse_tra_448", "t2"),
        ("T2* GRE", "image"),
        ("ep2d_diff_3scan_trace_ADC", "adc"),
        ("ep2d_diff_3scan_trace_p2", "dwi"),
        ("DWI b1000", "dwi"),
        ("SWI_Images", "swi"),
        ("PD/T2 dual echo", "image"),
        ("t2_to_t1_registered.nii.gz", "image"),
        ("localizer", "image"),
        ("t12.nii.gz", "image"),
        ("", "image"),
    ],
)
def test_contrast_of(text: str, contrast: str) -> None:
    assert contrast_of(text) == contrast


def test_silence_about_an_agent_is_no_denial() -> None:
    assert with_agent("t1_mprage") is None
    assert with_agent("t1 pre") is False
    assert with_agent("t1 gad") is True


@pytest.mark.parametrize(
    ("echo", "repetition", "inversion", "sequence", "contrast"),
    [
        (12, 500, None, "SE", "t1"),
        (2.9, 6.5, None, "GR", "t1"),
        (2.9, 2300, 900, "GR IR", "t1"),
        (100, 5000, None, "SE", "t2"),
        (120, 9000, 2500, "SE IR", "flair"),
        (15, 3000, None, "SE", "pd"),
        (20, 700, None, "GR", "image"),
        (30, 2000, None, "EP GR", "image"),
        (None, 500, None, "SE", "image"),
    ],
)
def test_timing(echo: float, repetition: float, inversion: float, sequence: str, contrast: str) -> None:
    assert contrast_of_timing(echo, repetition, inversion, sequence) == contrast
