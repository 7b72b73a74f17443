from __future__ import annotations

from pathlib import Path

import pytest

from secondread.errors import LabelError
from secondread.index import build_index
from secondread.index.draft import Draft
from secondread.index.sheet import read_images
from tests.index.makers import nifti, picture


def _csv(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "data.csv"
    path.write_bytes(text.encode(encoding))
    return path


def _read(folder: Path, text: str, encoding: str = "utf-8") -> list[Draft]:
    return read_images(_csv(folder, text, encoding))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for n in range(3):
        picture(tmp_path / f"{n}.png", n)
        nifti(tmp_path / f"p1_{n}.nii.gz", n)
    return tmp_path


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separators_marks_and_line_ends(folder: Path, separator: str, encoding: str, end: str) -> None:
    lines = [["Image ", "label", "group"], ["0.png", "näevus", "g 0"], [], ["1.png", "n/a", ""]]
    drafts = _read(folder, end.join(separator.join(line) for line in lines) + end, encoding)
    assert [(d.study, d.label, d.group, d.group_from) for d in drafts] == [
        ("0", "näevus", "g 0", "csv"),
        ("1", None, None, "study"),
    ]
    assert drafts[0].images == (folder / "0.png",)


def test_only_the_image_is_mandatory(folder: Path) -> None:
    assert len(_read(folder, "image\n0.png\n1.png\n")) == 2
    with pytest.raises(LabelError, match="needs a column image; it has label"):
        _read(folder, "label\na\n")


def test_an_unknown_column_is_named_with_the_known(folder: Path) -> None:
    with pytest.raises(LabelError, match="unknown column 'diagnosis'; known are image, label, mask"):
        _read(folder, "image,diagnosis\n0.png,a\n")


def test_a_missing_file_is_a_reason_and_all_missing_an_error(folder: Path) -> None:
    drafts = _read(folder, "image,mask\n0.png,\nnone.png,\n1.png,none_mask.png\n,\n2.png,\n")
    assert [d.reason for d in drafts] == [
        None,
        "the image none.png does not exist",
        "the mask none_mask.png does not exist",
        None,
    ]
    with pytest.raises(LabelError, match=r"no image of .* the first: the image x.png does not exist"):
        _read(folder, "image\nx.png\ny.png\n")


def test_a_name_that_no_file_can_have_costs_its_line_alone(folder: Path) -> None:
    drafts = _read(folder, f"image,mask\n{'n' * 400}.png,\n0.png,{'m' * 400}.png\n1.png,\n")
    assert [draft.reason is None for draft in drafts] == [False, False, True]
    assert "n.png cannot be looked for: File name too long" in (drafts[0].reason or "")
    (folder / "labelled.csv").write_text(f"image,label\n{'n' * 400}.png,a\n.,a\n0.png,a\n1.png,b\n")
    index = build_index([folder / "labelled.csv"])
    assert [row.study for row in index.rows()] == ["0", "1"]
    assert sum(row.excluded for row in index.all_rows()) == 2


@pytest.mark.parametrize("sign", ["\0", "\x1b", "\x7f", "\x85"])
def test_control_characters_are_refused_with_their_line(folder: Path, sign: str) -> None:
    with pytest.raises(LabelError, match=r"data\.csv, line 3 holds the control character '\\x[0-9a-f]{2}'"):
        _read(folder, f"image,label\n0.png,a\n1{sign}.png,b\n")


def test_columns_about_patients_have_a_place_of_their_own(folder: Path) -> None:
    with pytest.raises(LabelError, match=r"'sex', 'age'; known are .*; give them to `secondread evaluate --about`"):
        _read(folder, "image,sex,age\n0.png,f,40\n")
    with pytest.raises(LabelError, match="give 'sex' to `secondread evaluate --about`"):
        _read(folder, "image,sex,remark\n0.png,f,none\n")


def test_a_line_without_image_is_a_reason(folder: Path) -> None:
    drafts = _read(folder, "image,label\n0.png,a\n,b\n")
    assert drafts[1].reason == "the line names no image"
    assert drafts[1].origin == "data.csv, line 3"


def test_volumes_of_one_study_are_its_contrasts(folder: Path) -> None:
    drafts = _read(
        folder,
        "image,study,contrast,label,mask\n"
        "p1_0.nii.gz,P,T1,glioma,\np1_1.nii.gz,P,flair,glioma,p1_2.nii.gz\n0.png,Q,,x,\n1.png,Q,,x,\n",
    )
    assert [d.study for d in drafts] == ["P", "Q/0", "Q/1"]
    assert drafts[0].contrasts == ("t1", "flair")
    assert drafts[0].mask == folder / "p1_2.nii.gz"
    assert {d.group for d in drafts[1:]} == {"Q"}


@pytest.mark.parametrize(
    ("column", "values"), [("label", "ab"), ("group", "ab"), ("site", "ab"), ("split", ["train", "test"])]
)
def test_one_study_says_one_thing(folder: Path, column: str, values: list[str]) -> None:
    text = f"image,study,{column}\np1_0.nii.gz,P,{values[0]}\np1_1.nii.gz,P,{values[1]}\n"
    with pytest.raises(LabelError, match=f"study 'P' has two {column}s, '{values[0]}' and '{values[1]}'"):
        _read(folder, text)


def test_unknown_split(folder: Path) -> None:
    with pytest.raises(LabelError, match="line 2: unknown split 'fold1'"):
        _read(folder, "image,split\n0.png,fold1\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("image\n", "no line below"),
        ("image,label\n0.png,a,b\n", "line 2 has 3 cells"),
        ("image,label,label\n0.png,a,b\n", "column twice"),
        ('image,label\n0.png,"a\n', "line 2: unexpected end"),
    ],
)
def test_tables_that_are_none(folder: Path, text: str, said: str) -> None:
    with pytest.raises(LabelError, match=said):
        _read(folder, text)


def test_another_encoding_is_refused(folder: Path) -> None:
    with pytest.raises(LabelError, match="not UTF-8"):
        _read(folder, "image,label\n0.png,näevus\n", "latin-1")


def test_what_lies_above_all_images_outside_is_in_no_name(folder: Path, tmp_path: Path) -> None:
    table = folder / "tables" / "data.csv"
    table.parent.mkdir()
    picture(folder / "tables" / "near.png", 7)
    table.write_text(f"image\n{folder}/0.png\n../1.png\n../tables/../2.png\nnear.png\n")
    assert [draft.study for draft in read_images(table)] == ["0", "1", "2", "near"]
    picture(folder / "more" / "0.png", 8)
    table.write_text(f"image\n{folder}/0.png\n{folder}/more/0.png\n")
    assert [draft.study for draft in read_images(table)] == ["0", "more/0"]
