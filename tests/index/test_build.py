from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from secondread.discreet import HIDDEN
from secondread.errors import DataError, FormatError, LabelError, LeakError
from secondread.index import Index, Row, build_index, require_learnable, studies_in, summarise
from secondread.index.classes import ARE_PATIENTS, MAY_BE_PATIENTS
from tests.formats.scans import write_series
from tests.index.makers import brats, nifti, picture, picture_mask


def _by_name(index: Index) -> dict[str, Row]:
    return {row.study: row for row in index.all_rows()}


def _classes(folder: Path, *names: str, each: int = 4) -> Path:
    for c, name in enumerate(names):
        for n in range(each):
            picture(folder / name / f"{n}.png", 100 * c + n)
    return folder


def test_folders_of_pictures(tmp_path: Path) -> None:
    index = build_index([_classes(tmp_path / "bilder für alle", "No Tumor", "glioma")])
    rows = _by_name(index)
    row = rows["glioma/0"]
    assert (row.label, row.normal, row.kind, row.shape, row.spacing, row.channels) == (
        "glioma", False, "picture", (40, 40), None, 1,
    )  # fmt: skip
    assert rows["No Tumor/1"].normal is True
    assert all(path.is_absolute() and path.exists() for path in row.images)
    assert len(row.sha256) == 64
    assert row.bytes == row.images[0].stat().st_size
    assert {row.split for row in index.rows()} == {"train", "validation", "test"}
    require_learnable(index)


def test_colour_pictures_without_a_normal_class(tmp_path: Path) -> None:
    for n in range(3):
        picture(tmp_path / "cats" / f"{n}.jpg", n, colour=True)
        picture(tmp_path / "dogs" / f"{n}.jpg", 10 + n, colour=True)
    index = build_index([tmp_path])
    assert {row.normal for row in index.rows()} == {None}
    assert {row.channels for row in index.rows()} == {3}
    named = build_index([tmp_path], normal=["Cats"])
    assert {row.label: row.normal for row in named.rows()} == {"cats": True, "dogs": False}
    with pytest.raises(LabelError, match="no study is labelled 'birds'"):
        build_index([tmp_path], normal=["birds"])


def test_volumes_mixed_with_pictures_and_an_index(tmp_path: Path) -> None:
    for n in range(3):
        nifti(tmp_path / "v" / "healthy" / f"IXI{n:03d}-HH-1_T1.nii.gz", n)
        brats(tmp_path / "v" / "tumour", f"Brats18_TCIA01_{n}_1", n + 1)
    _classes(tmp_path / "p", "healthy", "tumour")
    index = build_index([tmp_path / "v"])
    rows = _by_name(index)
    patient = rows["tumour/Brats18_TCIA01_0_1"]
    assert patient.contrasts == ("t1", "t1c", "t2", "flair")
    assert (patient.group, patient.group_from, patient.site) == ("Brats18_TCIA01_0", "brats", "TCIA01")
    assert patient.mask is not None
    assert patient.spacing == (1.0, 1.0, 2.0)
    assert rows["healthy/IXI000-HH-1_T1"].group == "IXI000"
    index.save(tmp_path / "i.parquet")
    assert build_index([tmp_path / "i.parquet"]).table.equals(index.table)
    both = build_index([tmp_path / "i.parquet", tmp_path / "p"])
    assert both.table.height == 6 + 8
    frozen = {row.study: row.split for row in index.rows()}
    assert {row.study: row.split for row in both.rows() if row.study in frozen} == frozen
    assert any("and volumes (" in note for note in both.notes)
    assert any("BraTS names" in note for note in index.notes)


def test_patients_without_labels_have_masks_to_learn_from(tmp_path: Path) -> None:
    for n in range(4):
        brats(tmp_path, f"Brats18_CBICA_A{n}_1", n + 1)
    index = build_index([tmp_path])
    assert {(row.label, row.normal) for row in index.rows()} == {(None, None)}
    require_learnable(index)


def test_names_of_several_flat_folders_are_labels(tmp_path: Path) -> None:
    for n in range(3):
        picture(tmp_path / "cats" / f"{n}.png", n)
        picture(tmp_path / "dogs" / f"{n}.png", 10 + n)
    index = build_index([tmp_path / "cats", tmp_path / "dogs"])
    assert {row.label for row in index.rows()} == {"cats", "dogs"}
    assert len({row.study for row in index.rows()}) == 6
    alone = build_index([tmp_path / "cats"])
    assert {row.label for row in alone.rows()} == {None}
    with pytest.raises(DataError, match="none of the"):
        require_learnable(alone)


def test_folders_named_as_splits_given_one_by_one(tmp_path: Path) -> None:
    _classes(tmp_path / "Training", "a", "b", each=5)
    for n in range(3):
        picture(tmp_path / "Testing" / "a" / f"{n}.png", 500 + n)
    index = build_index([tmp_path / "Training", tmp_path / "Testing"])
    rows = index.rows()
    assert {r.split for r in rows if "Testing" in str(r.images[0])} == {"test"}
    assert {r.split for r in rows if "Training" in str(r.images[0])} == {"train", "validation"}


def test_one_class_only_is_indexed_and_not_learned_from(tmp_path: Path) -> None:
    index = build_index([_classes(tmp_path, "cats")])
    with pytest.raises(DataError, match=r"all 2 are 'cats'.*folder per class"):
        require_learnable(index)


def test_a_csv_with_masks_sites_and_a_bad_mask(tmp_path: Path) -> None:
    lines = ["image,label,mask,group,site"]
    for n in range(4):
        picture(tmp_path / f"{n}.png", n)
        picture_mask(tmp_path / "masks" / f"{n}.png", (40, 40) if n else (40, 41))
        lines.append(f"{n}.png,{'ab'[n % 2]},masks/{n}.png,g{n},s1")
    (tmp_path / "d.csv").write_text("\n".join(lines))
    rows = _by_name(build_index([tmp_path / "d.csv"]))
    assert rows["0"].excluded
    assert "(40, 41)" in (rows["0"].reason or "")
    assert str(tmp_path) not in (rows["0"].reason or "")
    assert rows["1"].mask == tmp_path / "masks" / "1.png"
    assert (rows["1"].site, rows["1"].group_from) == ("s1", "csv")


def test_the_reference_is_the_contrast_that_was_marked(tmp_path: Path) -> None:
    for n in range(2):
        nifti(tmp_path / f"p{n}" / "t1.nii.gz", n, (8, 9, 10))
        nifti(tmp_path / f"p{n}" / "flair.nii.gz", 5 + n)
        nifti(tmp_path / f"p{n}" / "seg.nii.gz", n, mask=True)
    row = build_index([tmp_path]).rows()[0]
    assert row.contrasts == ("flair", "t1")
    assert row.shape == (12, 13, 14)


def test_a_volume_mask_of_another_shape_excludes_the_study(tmp_path: Path) -> None:
    for n in range(2):
        nifti(tmp_path / f"p{n}" / "t1.nii.gz", n)
        nifti(tmp_path / f"p{n}" / "seg.nii.gz", n, (12, 13, 15 - n), mask=True)
    rows = _by_name(build_index([tmp_path]))
    assert rows["p0"].excluded
    assert "(12, 13, 15)" in (rows["p0"].reason or "")
    assert not rows["p1"].excluded


def test_two_labels_for_one_file(tmp_path: Path) -> None:
    picture(tmp_path / "1.png", 1)
    (tmp_path / "d.csv").write_text("image,label\n1.png,a\n./1.png,b\n")
    with pytest.raises(LabelError, match=r"two labels, 'a' \(d.csv, line 2\) and 'b' \(d.csv, line 3\)"):
        build_index([tmp_path / "d.csv"])


def test_a_file_listed_twice_is_taken_once(tmp_path: Path) -> None:
    _classes(tmp_path / "d", "a", "b")
    (tmp_path / "d.csv").write_text("image,label\nd/a/0.png,a\n")
    index = build_index([tmp_path / "d", tmp_path / "d.csv"])
    assert index.table.height == 8
    assert any("listed twice" in note for note in index.notes)


def test_two_labels_for_one_group_are_told_without_its_name(tmp_path: Path) -> None:
    lines = [f"{picture(tmp_path / f'{n}.png', n).name},{'ab'[n % 2]},Doe{n // 2}" for n in range(8)]
    (tmp_path / "d.csv").write_text("image,label,group\n" + "\n".join(lines))
    index = build_index([tmp_path / "d.csv"])
    note = next(note for note in index.notes if "different labels" in note)
    assert "4 patients" in note
    assert "Doe" not in " ".join(index.notes)


def test_a_split_that_leaks_is_refused_and_can_be_repaired(tmp_path: Path) -> None:
    for n in range(6):
        picture(tmp_path / "train" / "ab"[n % 2] / f"{n}.png", n)
        picture(tmp_path / "test" / "ab"[n % 2] / f"x{n}.png", n if n < 2 else 50 + n)
    with pytest.raises(LeakError, match=r"2\s+clusters"):
        build_index([tmp_path])
    index = build_index([tmp_path], repair=True)
    sides: dict[int, set[str | None]] = {}
    for row in index.rows():
        sides.setdefault(row.cluster, set()).add(row.split)
    assert all(len(side) == 1 for side in sides.values())


def test_bids(tmp_path: Path) -> None:
    lines = ["participant_id\tage\tdx\tgroup\tsite"]
    for n in range(5):
        nifti(tmp_path / f"sub-{n:02d}" / "ses-1" / "anat" / f"sub-{n:02d}_ses-1_T1w.nii.gz", n)
        nifti(tmp_path / f"sub-{n:02d}" / "ses-1" / "func" / f"sub-{n:02d}_ses-1_bold.nii.gz", n)
        lines.append(f"sub-{n:02d}\t40\t{'control' if n % 2 else 'glioma'}\tx\tberlin")
    nifti(
        tmp_path / "derivatives" / "lesions" / "sub-00" / "ses-1" / "anat" / "sub-00_label-lesion_mask.nii.gz",
        1,
        mask=True,
    )
    (tmp_path / "participants.tsv").write_text("\n".join([*lines, "sub-99\t1\tcontrol\tx\tberlin"]))
    index = build_index([tmp_path])
    rows = _by_name(index)
    row = rows["sub-00/ses-1"]
    assert (row.label, row.group, row.group_from, row.site) == ("glioma", "sub-00", "bids", "berlin")
    assert row.mask is not None
    assert rows["sub-01/ses-1"].normal is True
    assert rows["sub-99"].excluded
    assert any("column 'dx'" in note and "group" in note for note in index.notes)
    assert any("5 scans outside anat" in note for note in index.notes)


def test_bids_without_a_label_column_says_so(tmp_path: Path) -> None:
    nifti(tmp_path / "sub-1" / "anat" / "sub-1_T1w.nii.gz", 1)
    (tmp_path / "participants.tsv").write_text("participant_id\tage\nsub-1\t4\n")
    assert any("none of the columns" in note for note in build_index([tmp_path]).notes)
    (tmp_path / "participants.tsv").write_text("id\tage\nsub-1\t4\n")
    with pytest.raises(LabelError, match="no column participant_id"):
        build_index([tmp_path])


@pytest.mark.parametrize(
    ("header", "of"),
    [("study", lambda n: f"p{n}"), ("image", lambda n: f"p{n}.nii.gz"), ("group", lambda n: f"p{n}")],
)
def test_labels_are_joined(tmp_path: Path, header: str, of: Callable[[int], str]) -> None:
    for n in range(4):
        nifti(tmp_path / "d" / f"p{n}.nii.gz", n)
    lines = [f"{of(n)},{'control' if n % 2 else 'sick'},s{n}" for n in range(3)]
    (tmp_path / "l.csv").write_text("\n".join([f"{header},label,site", *lines, "stranger,sick,"]))
    index = build_index([tmp_path / "d"], labels=tmp_path / "l.csv")
    rows = _by_name(index)
    assert [rows[f"p{n}"].label for n in range(4)] == ["sick", "control", "sick", None]
    assert rows["p1"].site == "s1"
    assert rows["p1"].normal is True
    assert rows["p3"].normal is None
    said = " ".join(index.notes)
    # The line, not what it says: that may be somebody's name.
    assert "1 line of l.csv is about no study that was found (line 5)" in said
    assert "stranger" not in said
    assert "1 study has no label" in said


def test_labels_that_cannot_be_joined(tmp_path: Path) -> None:
    _classes(tmp_path / "d", "a", "b")
    labels = tmp_path / "l.csv"
    for text, said in (
        ("study,label\nx,a\n", "no line of"),
        ("study,label\n0,a\n", "could be 'a/0' or 'b/0'"),
        ("study,label\na/0,x\na/0,y\n", "lines 2 and 3 disagree"),
        ("study,colour\na/0,x\n", "unknown column 'colour'"),
        ("label\nx\n", "needs a column study or image or group"),
    ):
        labels.write_text(text)
        with pytest.raises(LabelError, match=said):
            build_index([tmp_path / "d"], labels=labels)


def test_broken_files_are_rows_with_reasons(tmp_path: Path) -> None:
    _classes(tmp_path, "a", "b")
    (tmp_path / "a" / "torn.png").write_bytes((tmp_path / "a" / "0.png").read_bytes()[:300])
    (tmp_path / "a" / "text.jpg").write_text("no picture")
    Image.fromarray(np.zeros((1, 1), np.uint8)).save(tmp_path / "a" / "one.png")
    (tmp_path / "a" / "empty.nii.gz").write_bytes(b"")
    rows = _by_name(build_index([tmp_path]))
    for name in ("torn", "text", "one", "empty"):
        row = rows[f"a/{name}"]
        assert row.excluded
        assert row.reason
        assert (row.split, row.cluster, row.label) == (None, -1, "a")
        assert str(tmp_path) not in row.reason


def test_a_file_name_that_is_no_utf8(tmp_path: Path) -> None:
    _classes(tmp_path, "a", "b")
    name = os.fsencode(tmp_path / "a") + b"/\xff.png"
    try:
        Path(os.fsdecode(name)).write_bytes((tmp_path / "a" / "0.png").read_bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    index = build_index([tmp_path])
    (row,) = (row for row in index.all_rows() if row.excluded)
    assert "not UTF-8" in (row.reason or "")
    assert row.label == "a"
    assert "udcff" not in row.study
    index.save(tmp_path / "i.parquet")


@pytest.mark.parametrize("place", [b"a/p\xe94", b"m\xfcller", b"a/M\xfcller_J\xf6rg.png"])
def test_a_folder_name_that_is_no_utf8(tmp_path: Path, place: bytes) -> None:
    _classes(tmp_path, "a", "b")
    whole = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + place))
    try:
        for n in range(1 if whole.suffix else 3):
            at = whole if whole.suffix else whole / f"{n}.png"
            at.parent.mkdir(exist_ok=True)
            at.write_bytes((tmp_path / "a" / f"{n}.png").read_bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    index = build_index([tmp_path])
    assert all("not UTF-8" in (row.reason or "") for row in index.all_rows() if row.excluded)
    assert any(row.excluded for row in index.all_rows())
    said = str([(row.study, row.group, row.label, row.reason) for row in index.all_rows()]) + str(index.notes)
    assert not any(part in said for part in ("ller", "rg.png", "udc"))
    index.save(tmp_path / "i.parquet")


def test_a_table_whose_name_is_no_utf8(tmp_path: Path) -> None:
    _classes(tmp_path / "scans", "a", "b")
    table = Path(os.fsdecode(os.fsencode(tmp_path / "scans") + b"/l\xe9.csv"))
    try:
        table.write_text("study,label\na/0,c\n")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    for labels in (None, table):
        index = build_index([tmp_path / "scans"], labels=labels)
        assert any("l\\udce9.csv" in note for note in index.notes)
        index.save(tmp_path / "i.parquet")


def test_files_whose_names_differ_by_suffix_alone(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "1.png", 1)
    picture(tmp_path / "a" / "1.jpg", 2)
    picture(tmp_path / "normal" / "1.jpg", 3)
    names = {row.study for row in build_index([tmp_path]).rows()}
    assert len(names) == 3
    assert "a/1.png" in names or "a/1.jpg" in names


def test_nothing_to_index(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no scan in"):
        build_index([tmp_path])
    with pytest.raises(DataError, match="no data"):
        build_index([])
    with pytest.raises(DataError, match="does not exist"):
        build_index([tmp_path / "none"])
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="no folder, CSV"):
        build_index([tmp_path / "notes.txt"])
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(DataError, match="the only study cannot be used"):
        build_index([tmp_path])


def test_single_scans_and_progress(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    files = [picture(tmp_path / f"{n}.png", n) for n in range(3)]
    index = build_index(files, progress=lambda what, done, total: seen.append((what, done, total)))
    assert index.table.height == 3
    assert ("reading scans", 3, 3) in seen
    assert seen[-1] == ("comparing look-alikes", 3, 3)


def test_an_index_of_the_future_is_refused(tmp_path: Path) -> None:
    (tmp_path / "i.parquet").write_bytes(b"PAR1")
    with pytest.raises(FormatError):
        build_index([tmp_path / "i.parquet"])


def test_the_same_data_give_the_same_index(tmp_path: Path) -> None:
    _classes(tmp_path, "a", "b", "normal", each=8)
    assert build_index([tmp_path]).table.equals(build_index([tmp_path]).table)


def test_the_summary_tells_what_a_person_asks(tmp_path: Path) -> None:
    _classes(tmp_path, "glioma", "normal")
    (tmp_path / "glioma" / "torn.png").write_text("no picture")
    text = summarise(build_index([tmp_path]))
    for part in (
        "8 studies of 8 patients, 1 excluded",
        "glioma",
        "validation",
        "40 x 40",
        "torn",
        "Normal is 'normal'",
    ):
        assert part in text
    assert len(max(text.splitlines(), key=len)) < 300


def test_loose_files_of_two_folders_are_two_studies(tmp_path: Path) -> None:
    files = [nifti(tmp_path / name, n) for n, name in enumerate(("p1/t1.nii.gz", "p1/t2.nii.gz", "p2/flair.nii.gz"))]
    assert {row.study: row.contrasts for row in studies_in(files)} == {"p1": ("t1", "t2"), "p2/flair": ("flair",)}
    assert [row.study for row in studies_in(files[:2])] == ["p1"]


def test_an_index_whose_split_leaks_is_refused_and_can_be_repaired(tmp_path: Path) -> None:
    index = build_index([_classes(tmp_path / "d", "no", "yes")])
    rows = [replace(row, group="one" if n < 2 else row.group) for n, row in enumerate(index.all_rows())]
    rows = [replace(row, split="train" if n % 2 else "test") for n, row in enumerate(rows)]
    Index.of(rows).save(tmp_path / "i.parquet")
    with pytest.raises(LeakError, match=r"--repair -o index\.parquet"):
        build_index([tmp_path / "i.parquet"])
    repaired = build_index([tmp_path / "i.parquet"], repair=True)
    assert len({row.split for row in repaired.all_rows() if row.group == "one"}) == 1
    assert any("dealt anew" in note for note in repaired.notes)


def test_pictures_that_differ_by_contrast_alone_are_of_one_patient(tmp_path: Path) -> None:
    for n in range(4):
        for contrast in ("t1", "t2"):
            picture(tmp_path / "glioma" / f"g{n:02d}_{contrast}.png", 2 * n + (contrast == "t2"))
    rows = build_index([tmp_path]).rows()
    assert len(rows) == 8
    assert len({row.group for row in rows}) == 4
    sides: dict[str, set[str | None]] = {}
    for row in rows:
        sides.setdefault(row.group, set()).add(row.split)
    assert all(len(side) == 1 for side in sides.values())


def test_a_packed_store_among_other_data_is_named(tmp_path: Path) -> None:
    _classes(tmp_path / "more", "a", "b")
    (tmp_path / "store" / "cases").mkdir(parents=True)
    (tmp_path / "store" / "spec.json").write_text("{}")
    with pytest.raises(DataError, match=r"holds packed scans: give .* index\.parquet"):
        build_index([tmp_path / "more", tmp_path / "store"])


def test_a_fingerprint_is_of_data_and_not_of_places(tmp_path: Path) -> None:
    index = build_index([_classes(tmp_path / "one", "a", "b")])
    shutil.copytree(tmp_path / "one", tmp_path / "two" / "one")
    assert build_index([tmp_path / "two" / "one"]).fingerprint() == index.fingerprint()
    rows = [replace(row, label="b") for row in index.all_rows()]
    assert Index.of(rows).fingerprint() != index.fingerprint()


def test_a_summary_words_numbers_and_equal_faults_well(tmp_path: Path) -> None:
    for n in range(4):
        picture(tmp_path / f"{n}.png", n % 3)
    lines = [f"{n}.png,{'ab'[n % 2]}" for n in range(4)] + [f"nix{n}.png,a" for n in range(3)]
    lines += [f"john_smith{n}/anna_berg.png,a" for n in range(3)] + ['0.png,"a"', '2.png,"a"']
    (tmp_path / "t.csv").write_text("\n".join(["image,label", *lines]).replace("3.png,b", '3.png,"b\nc"'))
    said = summarise(build_index([tmp_path / "t.csv"]))
    assert "nix0 and 5 more: the image does not exist" in said
    assert "form 1 cluster of copies" in said
    assert "(1 is the same bytes as another)" in said
    assert "1 cluster of near-copies carries different labels" in said
    assert "\n  b c " in said, "a label's line end does not tear its line"


def test_folders_called_after_persons_are_hidden_and_classes_are_not(tmp_path: Path) -> None:
    people = ("anna_berg", "john_smith", "Ødegård")
    for n, name in enumerate(people):
        for at in range(2):
            picture(tmp_path / "scans" / "glioma" / name / f"{at}.png", 10 * n + at)
            picture(tmp_path / "scans" / "no_tumor" / f"{10 * n + at}.png", 100 + 10 * n + at)
    index = build_index([tmp_path / "scans"])
    names = {row.study for row in index.rows()}
    assert {name for name in names if name.startswith("no_tumor/")} == {f"no_tumor/{n}" for n in (0, 1, 10, 11, 20, 21)}
    glioma = [row for row in index.rows() if row.label == "glioma"]
    assert all(re.fullmatch(r"glioma/hidden-[0-9a-f]{10}/[01]", row.study) for row in glioma)
    assert len({row.group for row in glioma}) == 3
    assert not any(name in str([(row.study, row.group) for row in index.rows()]) for name in people)
    read = [row.study for row in studies_in([tmp_path / "scans"])]
    assert sorted(read) == sorted(names)
    assert {row.label for row in studies_in([tmp_path / "scans"])} == {None}


def test_a_folder_called_after_a_class_of_the_model_keeps_its_name(tmp_path: Path) -> None:
    for n, name in enumerate(("Wildkatze", "Karlsson")):
        picture(tmp_path / "new" / name / "1.png", n)
    names = {row.study for row in studies_in([tmp_path / "new"], classes=("wildkatze", "luchs"))}
    assert "Wildkatze/1" in names
    assert not any("Karlsson" in name for name in names)
    assert not any("Wildkatze" in row.study for row in studies_in([tmp_path / "new"]))


def test_folders_of_patients_given_to_be_read_are_no_classes(tmp_path: Path) -> None:
    people = ("JaneDoe", "Kowalski", "ObrienSean")
    for n, name in enumerate(people):
        picture(tmp_path / name / "t1.png", n)
    rows = studies_in([tmp_path / name for name in people])
    assert not any(name in f"{row.study} {row.group}" for row in rows for name in people)
    assert MAY_BE_PATIENTS in build_index([tmp_path / name for name in people]).notes


@pytest.mark.parametrize(
    "names",
    [
        ("Glioma, low grade", "Glioma, high grade", "Meningioma"),
        ("tumeur_maligne", "cerveau_sain", "kyste_colloide"),
        ("gesunde_Probanden", "Tumor_im_Kleinhirn", "unklarer_Befund"),
        ("tumeur, maligne", "tumeur, benigne", "cerveau_sain"),
    ],
)
def test_classes_of_two_words_in_any_language_are_classes(names: tuple[str, ...], tmp_path: Path) -> None:
    _classes(tmp_path / "scans", *names)
    assert {row.label for row in build_index([tmp_path / "scans"]).rows()} == set(names)
    studies = [f"{name}/{at}" for name in names for at in range(4)]
    (tmp_path / "split.csv").write_text("\n".join(["study;split", *(f"{study};train" for study in studies)]))
    rows = build_index([tmp_path / "scans"], labels=tmp_path / "split.csv").rows()
    assert {row.label for row in rows} == set(names)
    for table, wanted in (
        ([f"{study};class {names.index(study[:-2])}" for study in studies], {"class 0", "class 1", "class 2"}),
        ([f"{studies[0]};{names[1]}"], set(names)),
    ):
        (tmp_path / "names.csv").write_text("\n".join(["study;label", *table]))
        rows = build_index([tmp_path / "scans"], labels=tmp_path / "names.csv").rows()
        assert {row.label for row in rows} == wanted
        assert len({row.group for row in rows}) == len(studies)


def test_patients_with_as_many_labels_as_folders_are_patients(tmp_path: Path) -> None:
    _classes(tmp_path / "scans", "Kowalski_Jan", "Nowak_Anna", "Berg_Olga")
    lines = ["study,label"]
    for folder in ("Kowalski_Jan", "Nowak_Anna", "Berg_Olga"):
        lines += [f"{folder}/{at},{('normal', 'glioma', 'cyst')[at]}" for at in range(3)]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    index = build_index([tmp_path / "scans"], labels=tmp_path / "labels.csv")
    assert {row.label for row in index.rows()} == {"normal", "glioma", "cyst", None}
    assert len({row.group for row in index.rows()}) == 3
    assert ARE_PATIENTS in index.notes


@pytest.mark.parametrize("key", ["study", "group"])
def test_a_line_for_each_patient_with_a_label_of_its_own(key: str, tmp_path: Path) -> None:
    _classes(tmp_path / "scans", "Kowalski_Jan", "Nowak_Anna", "Berg_Olga")
    (tmp_path / "labels.csv").write_text(f"{key},label\nKowalski_Jan,glioma\nNowak_Anna,normal\nBerg_Olga,cyst\n")
    index = build_index([tmp_path / "scans"], labels=tmp_path / "labels.csv")
    assert {row.label for row in index.rows()} == {"glioma", "normal", "cyst"}
    assert len({row.group for row in index.rows()}) == 3


def test_patients_beside_a_class_stay_patients(tmp_path: Path) -> None:
    people = ("Kowalski_Jan", "Nowak_Anna", "Berg_Olga", "Horvath_Ilse")
    _classes(tmp_path / "scans", *people, "normal", each=3)
    lines = [
        f"{name}/{at},{'normal' if name == 'normal' else 'glioma'}" for name in (*people, "normal") for at in "012"
    ]
    (tmp_path / "labels.csv").write_text("\n".join(["study,label", *lines]))
    rows = build_index([tmp_path / "scans"], labels=tmp_path / "labels.csv").rows()
    assert {row.label for row in rows} == {"glioma", "normal"}
    assert len({row.group for row in rows if row.label == "glioma"}) == 4


def test_a_table_that_labels_some_patients_makes_no_class_of_the_others(tmp_path: Path) -> None:
    people = [
        f"{a}_{b}" for a in ("Anna", "Jane", "Olga", "Ivan", "Paul") for b in ("Berg", "Kowal", "Horvath", "Nil", "Ek")
    ]
    _classes(tmp_path / "scans", *people, each=2)
    (tmp_path / "split.csv").write_text("study,split\nAnna_Berg/0,train\n")
    with pytest.raises(LabelError, match="25 of 25 folders"):
        build_index([tmp_path / "scans"], labels=tmp_path / "split.csv")
    (tmp_path / "one.csv").write_text("study,label\nAnna_Berg/0,glioma\n")
    rows = build_index([tmp_path / "scans"], labels=tmp_path / "one.csv").rows()
    assert {row.label for row in rows} == {"glioma", None}
    assert len({row.group for row in rows}) == 25


def test_a_line_about_two_patients_is_told_without_their_names(tmp_path: Path) -> None:
    _classes(tmp_path / "scans", "Kowalski_Jan", "Nowak_Anna", "Berg_Olga")
    (tmp_path / "labels.csv").write_text("study,label\n0,glioma\n")
    with pytest.raises(LabelError, match="could be") as caught:
        build_index([tmp_path / "scans"], labels=tmp_path / "labels.csv")
    assert not any(name in str(caught.value) for name in ("Kowalski", "Nowak", "Berg"))


@pytest.mark.parametrize("names", [("Kowalski, Jan", "Nowak, Anna"), ("Doe^Jane", "Doe^John")])
def test_folders_written_as_persons_are_refused(names: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="2 of 2 folders"):
        build_index([_classes(tmp_path / "scans", *names)])


def test_many_folders_of_first_and_last_names_are_patients(tmp_path: Path) -> None:
    first, last = ("anna", "jane", "olga", "ivan", "paul"), ("berg", "kowalski", "obrien", "horvath", "nilsson")
    _classes(tmp_path / "scans", *(f"{a}_{b}" for a in first for b in last), each=2)
    with pytest.raises(LabelError, match=r"25 of 25 folders .* called after patients by their names") as caught:
        build_index([tmp_path / "scans"])
    assert not any(name in str(caught.value) for name in (*first, *last))
    lines = [f"{a}_{b}/{at};breed {a} {b}" for a in first for b in last for at in range(2)]
    (tmp_path / "breeds.csv").write_text("\n".join(["study;label", *lines]))
    index = build_index([tmp_path / "scans"], labels=tmp_path / "breeds.csv")
    assert len({row.group for row in index.rows()}) == 50


def test_class_folders_called_after_patients_tell_patients_where_a_table_has_the_labels(tmp_path: Path) -> None:
    lines = ["image,label"]
    for n, name in enumerate(("anna_berg", "john_smith", "Novak")):
        for at in range(4):
            picture(tmp_path / "scans" / name / f"{at}.png", 10 * n + at)
            lines.append(f"scans/{name}/{at}.png,{'glioma' if n else 'healthy'}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    assert MAY_BE_PATIENTS in build_index([tmp_path / "scans"]).notes
    index = build_index([tmp_path / "scans"], labels=tmp_path / "labels.csv")
    assert {row.label for row in index.rows()} == {"glioma", "healthy"}
    assert len({row.group for row in index.rows()}) == 3
    said = str([(row.study, row.group, row.label, index.notes) for row in index.rows()])
    assert not any(name in said for name in ("anna", "john", "Novak"))


def test_class_folders_with_dates_are_patients(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="2 of 2 folders"):
        build_index([_classes(tmp_path / "data", "Kowalski_04-May-1961", "Nowak_1944_3_12")])


def test_a_header_proves_that_a_class_folder_is_a_patients(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for n, (folder, patient) in enumerate([("Halvorsen", "Halvorsen^Ida"), ("glioma", "Berg^Eva"), ("healthy", "X^Y")]):
        for at in range(2):
            voxels = rng.integers(0, 300, (12, 12, 6), dtype=np.uint16)
            write_series(tmp_path / folder / f"{n}{at}", voxels, PatientName=patient, PatientID=f"{patient}{at}")
    with pytest.raises(LabelError, match=r"1 of 3 folders .* by a DICOM header") as caught:
        build_index([tmp_path])
    assert "Halvorsen" not in str(caught.value)
    shutil.rmtree(tmp_path / "Halvorsen")
    assert {row.label for row in build_index([tmp_path]).rows()} == {"glioma", "healthy"}


@pytest.mark.parametrize(
    "names",
    [
        ("cats", "dogs"),
        ("glioma", "healthy"),
        ("ants", "bees"),
        ("roses", "tulips", "lilacs"),
        ("gesunde Probanden", "mit Läsion"),
    ],
)
def test_folders_that_are_classes_stay_classes(names: tuple[str, ...], tmp_path: Path) -> None:
    assert {row.label for row in build_index([_classes(tmp_path / "data", *names)]).rows()} == set(names)
    given = [_classes(tmp_path / "given", *names) / name for name in names]
    assert {row.label for row in build_index(given).rows()} == set(names)


@pytest.mark.parametrize("given", ["berg", "berg/t1.nii.gz", "berg/anna.nii.gz"])
def test_what_is_given_by_hand_is_hidden_as_what_is_found(given: str, tmp_path: Path) -> None:
    for n, name in enumerate(("t1", "flair", "anna")):
        nifti(tmp_path / "berg" / f"{name}.nii.gz", n)
    for row in studies_in([tmp_path / given]):
        assert row.study == "t1" or HIDDEN in row.study
        assert "anna" not in row.study
        assert "anna" not in row.group


def test_a_folder_of_normal_scans_alone_says_so_by_its_name(tmp_path: Path) -> None:
    for n in range(4):
        nifti(tmp_path / "healthy" / f"p{n}_t1.nii.gz", n)
        nifti(tmp_path / "scans" / f"p{n}_t1.nii.gz", n)
    index = build_index([tmp_path / "healthy"])
    assert {(row.label, row.normal) for row in index.rows()} == {("healthy", True)}
    assert any("name of the folder given is a label" in note for note in index.notes)
    assert {row.label for row in build_index([tmp_path / "scans"]).rows()} == {None}
    named = build_index([tmp_path / "scans"], normal=["scans"])
    assert {row.normal for row in named.rows()} == {True}
    nifti(tmp_path / "healthy" / "p0_seg.nii.gz", 9)
    assert {row.label for row in build_index([tmp_path / "healthy"]).rows()} == {None}
