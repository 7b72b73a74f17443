"""Folders and tables that are not what they should be: said in a line, with the file and what to do about it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from secondread.index import Index
from tests.cli.conftest import Secondread
from tests.formats.scans import save_nifti
from tests.index.makers import picture


def sheet(path: Path, header: str, *lines: str) -> Path:
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def reason_of(index: Path, study: str) -> str:
    (row,) = [row for row in Index.load(index).table.iter_rows(named=True) if study in row["study"]]
    assert row["excluded"], f"{study} was taken"
    assert isinstance(row["reason"], str)
    return row["reason"]


def test_an_empty_folder(picture_run: Path, tmp_path: Path, secondread: Secondread) -> None:
    empty, out = tmp_path / "empty", tmp_path / "out"
    empty.mkdir()
    for words in (
        ["index", empty, "-o", out / "i.parquet"],
        ["pack", empty, out],
        ["train", empty, "-o", out],
        ["compare", empty, "-o", out],
        ["read", picture_run, empty, "-o", out],
        ["evaluate", picture_run, "--data", empty, "-o", out],
    ):
        done = secondread(*words, code=3)
        assert f"no scan in {empty}" in done.err
        assert "NIfTI" in done.err, "says what is read"
    for verb in ("evaluate", "export", "serve"):
        assert "holds no" in secondread(verb, empty, code=3).err


def test_a_folder_that_is_not_there(picture_run: Path, tmp_path: Path, secondread: Secondread) -> None:
    absent = tmp_path / "absent"
    for words in (["index", absent], ["train", absent], ["read", picture_run, absent]):
        assert f"{absent} does not exist" in secondread(*words, "-o", tmp_path / "out", code=3).err


def test_one_class_only(tmp_path: Path, secondread: Secondread) -> None:
    for n in range(6):
        picture(tmp_path / "data" / "cat" / f"{n}.png", n)
    done = secondread("index", tmp_path / "data", "-o", tmp_path / "i.parquet")
    assert "Every label is 'cat'" in done.err
    for verb in ("train", "compare"):
        done = secondread(verb, tmp_path / "data", "-o", tmp_path / verb, code=3)
        assert "'cat'" in done.err
        assert "two at least" in done.err
        assert not (tmp_path / verb).exists()


def test_a_table_that_names_a_missing_file(tmp_path: Path, secondread: Secondread) -> None:
    lines = [f"{picture(tmp_path / f'{n}.png', n).name},{'ab'[n % 2]}" for n in range(6)]
    table = sheet(tmp_path / "t.csv", "image,label", *lines, "gone.png,a")
    done = secondread("index", table, "-o", tmp_path / "i.parquet")
    assert "6 studies of 6 patients, 1 excluded" in done.err
    assert "gone.png" in done.err
    assert "gone.png" in reason_of(tmp_path / "i.parquet", "gone")


def test_a_table_that_names_only_missing_files(tmp_path: Path, secondread: Secondread) -> None:
    table = sheet(tmp_path / "t.csv", "image,label", "gone.png,a", "lost.png,b")
    assert "gone.png" in secondread("train", table, "-o", tmp_path / "r", code=3).err


def test_a_table_with_an_unknown_column(tmp_path: Path, secondread: Secondread) -> None:
    table = sheet(tmp_path / "t.csv", "image,label,colour", f"{picture(tmp_path / '0.png', 0).name},a,red")
    done = secondread("index", table, "-o", tmp_path / "i.parquet", code=3)
    assert "t.csv" in done.err
    assert "'colour'" in done.err
    assert "known are image, label, mask, group" in done.err


def test_two_labels_for_one_group_stay_on_one_side(tmp_path: Path, secondread: Secondread) -> None:
    lines = [f"{picture(tmp_path / f'{n}.png', n).name},{'ab'[n % 2]},p{n // 2}" for n in range(16)]
    table = sheet(tmp_path / "t.csv", "image,label,group", *lines)
    done = secondread("index", table, "-o", tmp_path / "i.parquet")
    assert "different labels" in done.err
    sides: dict[str, set[str]] = {}
    for row in Index.load(tmp_path / "i.parquet").table.iter_rows(named=True):
        sides.setdefault(row["group"], set()).add(row["split"])
    assert len(sides) == 8
    assert all(len(found) == 1 for found in sides.values())


def test_two_labels_for_one_picture_are_refused(tmp_path: Path, secondread: Secondread) -> None:
    for n in range(4):
        picture(tmp_path / f"{n}.png", n)
    table = sheet(tmp_path / "t.csv", "image,label", "0.png,a", "0.png,b", "1.png,a", "2.png,b", "3.png,b")
    for words in (["index", table, "-o", tmp_path / "i.parquet"], ["train", table, "-o", tmp_path / "r"]):
        done = secondread(*words, code=3)
        assert "0.png" in done.err
        assert "'a'" in done.err
        assert "'b'" in done.err


def test_a_normal_class_that_no_study_has(shapes: Path, tmp_path: Path, secondread: Secondread) -> None:
    done = secondread("train", shapes, "-o", tmp_path / "r", "--normal", "zebra", code=3)
    assert "zebra" in done.err
    assert "bright, dark" in done.err


def test_a_given_split_that_leaks_is_refused_and_can_be_repaired(tmp_path: Path, secondread: Secondread) -> None:
    data = tmp_path / "data"
    for n in range(16):
        picture(data / ("train" if n < 10 else "test") / "ab"[n % 2] / f"{n}.png", n)
    shutil.copy(data / "train" / "a" / "0.png", data / "test" / "a" / "copy.png")
    done = secondread("train", data, "-o", tmp_path / "r", code=4)
    assert "copy" in done.err
    assert "repair" in done.err
    assert str(tmp_path / "r.leaks.csv") in done.err
    assert "copy" in (tmp_path / "r.leaks.csv").read_text()
    assert not (tmp_path / "r").exists()
    secondread("index", data, "-o", tmp_path / "i.parquet", code=4)
    assert not (tmp_path / "i.parquet").exists()
    secondread("index", tmp_path / "i.repaired.parquet", "-o", tmp_path / "j.parquet")
    secondread("index", data, "-o", tmp_path / "i.parquet", "--repair")


def test_a_leak_may_be_accepted_and_the_run_says_so(tmp_path: Path, secondread: Secondread) -> None:
    data = tmp_path / "data"
    for n in range(24):
        picture(data / ("train" if n < 16 else "test") / "ab"[n % 2] / f"{n}.png", n)
    shutil.copy(data / "train" / "a" / "0.png", data / "test" / "a" / "copy.png")
    done = secondread("train", data, "-o", tmp_path / "r", "--accept-leak", "--epochs", 1, "--size", 32)
    assert "LEAKY SPLIT" in done.err
    leak = Index.load(tmp_path / "r" / "index.parquet").accepted_leak
    assert leak is not None
    assert leak.clusters == 1


def test_pictures_of_every_mode_are_read_and_one_of_one_pixel_is_not(
    picture_run: Path, tmp_path: Path, secondread: Secondread
) -> None:
    data = tmp_path / "data"
    for n in range(12):
        picture(data / ("one", "two")[n % 2] / f"plain{n}.png", n, colour=True)
    noise = np.random.default_rng(7).integers(0, 65536, (40, 40)).astype(np.uint16)
    Image.fromarray(noise).save(data / "one" / "deep.png")
    Image.open(data / "one" / "plain0.png").quantize(16).save(data / "one" / "palette.png")
    Image.open(data / "two" / "plain1.png").convert("CMYK").save(data / "two" / "print.jpg")
    Image.open(data / "two" / "plain3.png").convert("RGBA").save(data / "two" / "glass.png")
    Image.open(data / "two" / "plain5.png").convert("1").save(data / "two" / "bits.png")
    Image.fromarray(np.zeros((1, 1), np.uint8)).save(data / "two" / "dot.png")
    secondread("index", data, "-o", tmp_path / "i.parquet")
    assert "1" in reason_of(tmp_path / "i.parquet", "dot")
    done = secondread("train", tmp_path / "i.parquet", "-o", tmp_path / "run", "--epochs", 1, "--size", 32)
    assert "left out" not in done.err, "what the index took, packing takes too"
    assert "excluded: two/dot: dot.png is 1 x 1 pixels" in done.err
    odd = [data / "one" / "deep.png", data / "one" / "palette.png", data / "two" / "print.jpg"]
    odd += [data / "two" / "glass.png", data / "two" / "bits.png"]
    done = secondread("read", tmp_path / "run", *odd, data / "two" / "dot.png", "-o", tmp_path / "out")
    assert "read 5 of 6 studies" in done.err
    assert "/dot: dot.png is 1 x 1" in done.err
    assert not (tmp_path / "out" / "dot_mask.png").exists()


def test_a_file_that_is_no_picture_though_its_name_says_so(
    shapes: Path, picture_run: Path, tmp_path: Path, secondread: Secondread
) -> None:
    data = tmp_path / "shapes"
    shutil.copytree(shapes, data)
    (data / "dark" / "broken.png").write_bytes(b"not a picture")
    (data / "dark" / "empty.png").write_bytes(b"")
    cut = (data / "dark" / "p00.png").read_bytes()
    (data / "dark" / "cut.png").write_bytes(cut[: len(cut) // 2])
    secondread("index", data, "-o", tmp_path / "i.parquet")
    for name in ("broken", "empty"):
        assert reason_of(tmp_path / "i.parquet", name)
    # Some good, some broken: the good are read.
    done = secondread("read", picture_run, data / "dark", "-o", tmp_path / "out")
    assert "read 9 of 12 studies" in done.err
    assert all(f"not read: {name}" in done.err for name in ("broken", "cut", "empty"))
    assert (tmp_path / "out" / "errors.json").is_file()
    # None good.
    done = secondread("read", picture_run, data / "dark" / "broken.png", "-o", tmp_path / "none", "--json", code=3)
    assert '"findings": []' in done.out
    assert "broken.png" in done.err


def test_a_model_with_a_flipped_byte(picture_run: Path, shapes: Path, tmp_path: Path, secondread: Secondread) -> None:
    scan = shapes / "dark" / "p00.png"
    for name in ("weights.safetensors", "model.json"):
        run = tmp_path / name
        shutil.copytree(picture_run, run)
        content = bytearray((run / "model" / name).read_bytes())
        content[len(content) // 2] ^= 1
        (run / "model" / name).write_bytes(bytes(content))
        for words in (
            ["read", run, scan, "-o", tmp_path / "o"],
            ["evaluate", run],
            ["export", run, "-o", tmp_path / "b"],
        ):
            done = secondread(*words, code=4)
            assert name in done.err
            assert "damaged" in done.err


def test_a_picture_for_a_model_of_volumes(
    volume_run: Path, picture_run: Path, shapes: Path, heads: Path, tmp_path: Path, secondread: Secondread
) -> None:
    done = secondread("read", volume_run, shapes / "dark" / "p00.png", "-o", tmp_path / "a", code=3)
    assert "picture" in done.err
    done = secondread("read", picture_run, next(heads.glob("*/*_t1.nii.gz")), "-o", tmp_path / "b", code=3)
    assert "picture" in done.err


def test_pictures_and_volumes_in_one_set(shapes: Path, heads: Path, tmp_path: Path, secondread: Secondread) -> None:
    done = secondread("train", shapes, heads / "labels.csv", "-o", tmp_path / "r", code=3)
    assert "one model for each" in done.err


@pytest.mark.parametrize("name", ["Röntgen Bilder 脳", "two  spaces; $HOME 'quoted'"])
def test_names_beyond_ascii_from_training_to_reading(
    name: str, shapes: Path, tmp_path: Path, secondread: Secondread
) -> None:
    data, run = tmp_path / name / "data", tmp_path / name / "run"
    shutil.copytree(shapes / "dark", data / f"düster {name}")
    shutil.copytree(shapes / "bright", data / "hell")
    done = secondread("train", data, "-o", run, "--epochs", 1, "--size", 32)
    assert "judge it" in done.err
    scan = data / "hell" / "été à 5 h.png"
    shutil.copy(next((data / "hell").glob("*.png")), scan)
    done = secondread("read", run, scan, "-o", tmp_path / name / "out", "--json")
    assert "düster" in done.out
    assert (tmp_path / name / "out" / "été_à_5_h_mask.png").is_file()


def test_names_beyond_ascii_of_volumes(volume_run: Path, tmp_path: Path, heads: Path, secondread: Secondread) -> None:
    scan = tmp_path / "Schädel 脳 α_t1.nii.gz"
    shutil.copy(next(heads.glob("*/*_t1.nii.gz")), scan)
    secondread("read", volume_run, scan, "-o", tmp_path / "Aus gabe")
    assert (tmp_path / "Aus gabe" / "findings.json").is_file()
    assert len(list((tmp_path / "Aus gabe").glob("*_mask.nii.gz"))) == 1


def test_a_mask_of_another_shape_than_its_scan(heads: Path, tmp_path: Path, secondread: Secondread) -> None:
    data = tmp_path / "heads"
    shutil.copytree(heads, data)
    save_nifti(data / "sim-0003" / "sim-0003_seg.nii.gz", np.ones((5, 6, 7), np.uint8), np.eye(4))
    done = secondread("train", data / "labels.csv", "-o", tmp_path / "run", "--epochs", 1, "--spacing", 8, "--batch", 4)
    reason = reason_of(tmp_path / "run" / "index.parquet", "sim-0003")
    assert "mask" in reason
    assert "5 x 6 x 7" in reason.replace(", ", " x ").replace("(", "").replace(")", "")
    assert "model:" in done.err
