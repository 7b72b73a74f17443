from __future__ import annotations

import pytest

from secondread.discreet import HIDDEN, discreet, identifying, veiled, without_places
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
    ],
)
def test_names_that_public_data_carry_are_left_alone(name: str) -> None:
    assert discreet(name) == name
    assert veiled(f"left out: {name}: it is blank") == f"left out: {name}: it is blank"


def test_counts_and_hashes_in_messages_stay() -> None:
    said = "2,545 studies, 12345678 bytes (sha256 0123456789ab12345678), seed 20260101"
    assert veiled(said) == said


def test_the_files_of_a_hidden_study_are_hidden_too() -> None:
    hidden = discreet("JANE_DOE", known=True)
    text = without_places("/data/JANE_DOE/IM0001.dcm ends within its header", ["/data/JANE_DOE"], hidden)
    assert text == f"{hidden}/IM0001.dcm ends within its header"
    plain = "/data/case1/IM0001.dcm ends within its header"
    assert without_places(plain, ["/data/case1"], "case1") == plain


def test_what_the_program_says_of_itself_tells_nobody() -> None:
    assert veiled(f"no scan in folder: {READABLE} are read") == f"no scan in folder: {READABLE} are read"
