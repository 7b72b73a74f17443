from __future__ import annotations

import pytest

from secondread.discreet import HIDDEN, discreet, identifying, printable, stand_in, veiled, without_places
from secondread.formats.header import READABLE


@pytest.mark.parametrize(
    "name",
    [
        "DOE^JANE",
        "Doe_Jane_19560312",
        "Doe Jane 1956-03-12",
        "doe.12.03.1956",
        "12031956_doe",
        "MRN00123456",
        "PID4711001",
        "Doe, Jane",
        "04-May-1961",
        "4May1961",
        "04MAY61",
        "doe_4_May_1961",
        "1961-May-04",
        "May 4, 1961",
        "12.März.1948",
        "1961_5_4",
        "4.5.1961",
        "05-31-1961",
        "Doe1961-5-4",
        "04.05.61",
        "doe_04_05_61",
        "123-45-6789",
        "SSN123-45-6789",
        "756.1234.5678.97",
        "123.456.789-09",
        "MRN_12345",
        "pid-4711",
    ],
)
def test_names_that_tell_who_it_is(name: str) -> None:
    assert identifying(name)
    hidden = discreet(f"glioma/{name}")
    assert hidden.startswith(f"glioma/{HIDDEN}")
    assert not identifying(hidden)
    assert discreet(hidden) == hidden
    assert name not in veiled(f"error: /data/{name}/x.dcm: it ends before its header says")


@pytest.mark.parametrize(
    "name",
    [
        "Brats18_TCIA01_201_1",
        "BraTS20_Training_001",
        "IXI012-HH-1211-T1",
        "UPENN-GBM-00001_11",
        "TCGA-02-0001",
        "002_S_0295",
        "sub-01/ses-02",
        "Tr-glTr_0000",
        "cat.12499",
        "1.2.840.113619.2.55.3.2831868886",
        "patient-0123456789012345",
        "9f86d081884c7d659a2feaa0c55ad015",
        "sim-0001",
        "Ölgemälde",
        "sub-0012_ses-01",
        "BraTS18_2013_12_1",
        "Brats18_CBICA_ABH_1",
        "BraTS20_1_1",
        "IXI002-Guys-0828-T1",
        "ADNI_002_S_0295",
        "OAS1_0042_MR1",
        "TCGA-02-0001-01",
        "IM-0001-0012-0001",
        "slice_012",
        "T1w_1mm",
        "1.5T",
        "v2.10.3",
        "2.10.0+cu128",
        "192.168.100.21",
        "240_240_155",
        "fold_01_02_03",
        "split_80-10-10",
        "2015_2018",
        "PID_0001",
        "rapid_2019",
        "3_marker_2019",
    ],
)
def test_names_that_public_data_carry_are_left_alone(name: str) -> None:
    assert discreet(name) == name
    assert veiled(f"left out: {name}: it is blank") == f"left out: {name}: it is blank"


def test_counts_and_hashes_in_messages_stay() -> None:
    said = "2,545 studies, 12345678 bytes (sha256 0123456789ab12345678), seed 20260101"
    assert veiled(said) == said
    assert veiled("read in 0.123456 s, 1.2.840.113619.2.55.3 at 192.168.100.21") == (
        "read in 0.123456 s, 1.2.840.113619.2.55.3 at 192.168.100.21"
    )


@pytest.mark.parametrize("name", ["1961-05-04", "4.5.1961", "123-45-6789", "756.1234.5678.97"])
def test_dates_and_grouped_numbers_are_no_counts(name: str) -> None:
    assert veiled(f"left out: {name}: it is blank") == f"left out: {stand_in(name)}: it is blank"


def test_a_reason_with_a_large_number_outlives_the_veil() -> None:
    hidden = discreet("Broken/Halvorsen^Ida/A1")
    reason = "A1.dcm has 3500 bytes, its header promises 131072 of pixels; copy it again"
    said = f"{hidden} has 3500 bytes, its header promises 131072 of pixels; copy it again"
    assert without_places(reason, ["/data/Broken/Halvorsen^Ida/A1.dcm"], hidden) == said
    assert without_places(said, ["/data/Broken/Halvorsen^Ida/A1.dcm"], hidden) == said
    assert veiled(f"not read: {said}") == f"not read: {said}"
    folder = veiled("/data/Doe Jane 1956-03-12 does not exist")
    assert folder == f"/data/{stand_in('Doe Jane 1956-03-12')} does not exist"
    both = veiled("/data/Doe and Jane 19560312/x.dcm ends within its header")
    assert both == f"/data/{stand_in('Doe and Jane 19560312')}/x.dcm ends within its header"


def test_the_files_of_a_hidden_study_are_hidden_too() -> None:
    hidden = discreet("JANE_DOE", known=True)
    text = without_places("/data/JANE_DOE/IM0001.dcm ends within its header", ["/data/JANE_DOE"], hidden)
    assert text == f"{hidden}/IM0001.dcm ends within its header"
    plain = "/data/case1/IM0001.dcm ends within its header"
    assert without_places(plain, ["/data/case1"], "case1") == plain


def test_what_moves_the_cursor_is_shown_as_a_space() -> None:
    assert printable("a\x1b[31mb\nc\0d\u202eé 雪") == "a [31mb c d é 雪"


def test_what_the_program_says_of_itself_tells_nobody() -> None:
    assert veiled(f"no scan in folder: {READABLE} are read") == f"no scan in folder: {READABLE} are read"
