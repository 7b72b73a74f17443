"""Every verb as a new user would use it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from secondread import __version__
from secondread.formats import read_volume
from secondread.index import Index
from secondread.volume import RAS_TO_LPS, Geometry, Volume
from tests.cli.conftest import Secondread, unfinished
from tests.formats.scans import PLANES, save_nifti, write_series
from tests.index.makers import picture
from tests.store.s3 import BUCKET, serving


def head(side: int = 20, seed: int = 0) -> Any:
    """(i, j, k) int16: a ball of tissue in air."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, side)] * 3, indexing="ij"))
    return (((grid**2).sum(0) < 0.7) * (300 + 40 * rng.normal(size=[side] * 3))).clip(0).astype(np.int16)


def load(path: Path) -> Any:
    """A NIfTI file as another library reads it."""
    return nib.load(path)


def only_json(text: str) -> dict[str, Any]:
    value = json.loads(text)  # fails where anything else is on stdout
    assert isinstance(value, dict)
    return value


def check_finding(finding: dict[str, Any], *, volume: bool, presence: bool) -> None:
    """One finding as the documentation of ``findings.json`` has it."""
    assert set(finding) == {"study", "model", "presence", "categories", "locations", "mask", "warnings"}
    assert set(finding["model"]) == {"name", "version", "sha256"}
    assert len(finding["model"]["sha256"]) == 64
    if presence:
        assert 0 <= finding["presence"]["probability"] <= 1
        assert finding["presence"]["decision"] in ("normal", "unsure", "abnormal")
    else:
        assert finding["presence"] is None
    chances = [category["probability"] for category in finding["categories"]]
    assert sum(chances) == pytest.approx(1, abs=1e-4)
    assert chances == sorted(chances, reverse=True)
    for place in finding["locations"]:
        assert set(place) == {"probability", "label", *(("center_mm", "volume_mm3") if volume else ("center_px",))}
    assert finding["mask"].endswith(".nii.gz" if volume else ".png")
    assert all(isinstance(warning, str) for warning in finding["warnings"])


def test_version_and_help(secondread: Secondread) -> None:
    assert secondread("--version").out.strip() == __version__
    said = secondread("--help").out
    for verb in ("demo", "index", "pack", "train", "evaluate", "compare", "read", "export", "serve", "doctor"):
        assert verb in said


def test_simulate_writes_what_its_table_names(heads: Path) -> None:
    index = [line.split(",") for line in (heads / "labels.csv").read_text().splitlines()]
    assert len(index) == 1 + 12
    for line in index[1:]:
        assert (heads / line[0]).is_file()
        assert (heads / line[2]).is_file()
    assert unfinished(heads) == []


def test_index_says_what_it_found_and_answers_in_json(shapes: Path, tmp_path: Path, secondread: Secondread) -> None:
    done = secondread("index", shapes, "-o", tmp_path / "new folder" / "i.parquet", "--json")
    answer = only_json(done.out)
    assert answer["studies"] == 18
    assert sum(entry["len"] for entry in answer["counts"]) == 18
    assert "18 studies of 18 patients" in done.err
    assert Index.load(tmp_path / "new folder" / "i.parquet").table.height == 18


def test_without_json_stdout_stays_empty(shapes: Path, tmp_path: Path, secondread: Secondread) -> None:
    assert secondread("index", shapes, "-o", tmp_path / "i.parquet").out == ""


def test_pack_verify_and_a_flipped_byte(shapes: Path, tmp_path: Path, secondread: Secondread) -> None:
    store = tmp_path / "store"
    secondread("index", shapes, "-o", tmp_path / "i.parquet")
    assert "studies" in secondread("pack", tmp_path / "i.parquet", store, "--size", 32).err
    assert "every byte" in secondread("pack", "--verify", store).err
    for path in (next(store.rglob("c.0.0.0.0")), store / "index.parquet", store / "plan.json"):
        good = path.read_bytes()
        content = bytearray(good)
        content[len(content) // 2] ^= 1
        path.write_bytes(bytes(content))
        assert "pack again" in secondread("pack", "--verify", store, code=4).err
        path.write_bytes(good)


def test_train_from_a_store(shapes: Path, tmp_path: Path, secondread: Secondread) -> None:
    store, run = tmp_path / "store", tmp_path / "run"
    assert f"secondread train {store}" in secondread("pack", shapes, store, "--size", 32).err
    secondread("train", store, "-o", run, "--epochs", 1)
    assert secondread("evaluate", run, "-o", tmp_path / "e").err.count("accuracy")
    assert "settled" in secondread("train", store, "-o", tmp_path / "r2", "--size", 64, code=2).err
    assert "settled" in secondread("train", store, "-o", tmp_path / "r2", "--normal", "dark", code=2).err


def test_a_store_in_a_bucket(
    shapes: Path, tmp_path: Path, secondread: Secondread, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-central-1"}
    with serving() as (url, _):
        for name, value in {**names, "AWS_ENDPOINT_URL": url}.items():
            monkeypatch.setenv(name, value)
        assert (
            f"secondread train s3://{BUCKET}/shapes"
            in secondread("pack", shapes, f"s3://{BUCKET}/shapes", "--size", 32).err
        )
        secondread("pack", "--verify", f"s3://{BUCKET}/shapes")
        secondread("train", f"s3://{BUCKET}/shapes", "-o", tmp_path / "far", "--epochs", 1)
        secondread("train", "--resume", "-o", tmp_path / "far")
    secondread("train", shapes, "-o", tmp_path / "near", "--epochs", 1, "--size", 32)
    far, near = ((tmp_path / name / "model" / "weights.safetensors").read_bytes() for name in ("far", "near"))
    assert far == near


def test_train_leaves_a_whole_run_and_says_what_came_of_it(
    shapes: Path, picture_run: Path, tmp_path: Path, secondread: Secondread
) -> None:
    for name in ("plan.json", "index.parquet", "history.jsonl", "model/manifest.json", "checkpoints/latest.json"):
        assert (picture_run / name).is_file(), name
    line = json.loads((picture_run / "history.jsonl").read_text())
    assert {"loss", "accuracy"} <= set(line["train"]) & set(line["validation"])
    done = secondread("train", shapes, "-o", tmp_path / "run", "--epochs", 1, "--size", 32, "--optimizer", "rmsprop")
    assert "kept: epoch 1 of 1" in done.err
    assert f"secondread evaluate {tmp_path / 'run'}" in done.err
    assert unfinished(tmp_path) == []


def test_evaluate_answers_in_json_and_writes_the_report(
    picture_run: Path, tmp_path: Path, secondread: Secondread
) -> None:
    done = secondread("evaluate", picture_run, "-o", tmp_path / "e", "--json")
    answer = only_json(done.out)
    assert {"value", "low", "high", "n", "groups"} <= set(answer["metrics"]["accuracy"])
    assert Path(answer["report"]).read_text().startswith("<!")
    assert "accuracy" in done.err
    assert unfinished(tmp_path) == []


def test_evaluate_on_other_data(picture_run: Path, tmp_path: Path, secondread: Secondread) -> None:
    for n in range(6):
        picture(tmp_path / "new" / ("dark", "bright")[n % 2] / f"q{n}.png", 100 + n)
    done = secondread("evaluate", picture_run, "--data", tmp_path / "new", "-o", tmp_path / "e", "--json")
    assert only_json(done.out)["metrics"]["accuracy"]["n"] == 6


def test_evaluate_of_two_runs_says_who_is_better(picture_run: Path, tmp_path: Path, secondread: Secondread) -> None:
    other = shutil.copytree(picture_run, tmp_path / "other")
    words = ("evaluate", picture_run, other, "-o", tmp_path / "e")
    done = secondread(*words, "--json")
    answer = only_json(done.out)
    assert answer["metrics"]["accuracy"]["ahead"] is None
    assert Path(answer["report"]).read_text().startswith("<!")
    assert "cannot be told apart" in done.err
    assert "not 3" in secondread(*words, tmp_path, code=2).err
    assert "not with itself" in secondread("evaluate", picture_run, picture_run, code=2).err
    assert "no run" in secondread("evaluate", picture_run, tmp_path / "absent", code=2).err
    assert unfinished(tmp_path / "e") == []


def test_compare_puts_plans_side_by_side_and_goes_on(shapes: Path, tmp_path: Path, secondread: Secondread) -> None:
    words = ("compare", shapes, "-o", tmp_path / "c", "--optimizer", "adam, sgd", "--epochs", 1, "--size", 32, "--json")
    done = secondread(*words)
    answer = only_json(done.out)
    assert set(answer["plans"]) == {"adam", "sgd"}
    assert Path(answer["report"]).is_file()
    assert "2 runs: 2 optimizers" in done.err
    assert answer["summary"] in done.err
    other = secondread(*words, "--loss", "bce,focal", "--seeds", 2, "--minutes", 9, code=2)
    assert "8 runs: 2 optimizers x 2 losses x 2 seeds; at 9 minutes each, 72 minutes in all" in other.err
    assert "another plan" in other.err


def test_compare_keeps_finished_runs(shapes: Path, tmp_path: Path, secondread: Secondread) -> None:
    words = ("compare", shapes, "-o", tmp_path / "c", "--network", "segresnet,resnet18", "--epochs", 1, "--size", 32)
    assert secondread(*words).err.count("training with") == 2
    assert "training with" not in secondread(*words).err
    grown = secondread(*words, "--seeds", 2, "--json")
    assert grown.err.count("training with") == 2, "one more seed each"
    plans = only_json(grown.out)["plans"]
    assert {plan["figures"]["accuracy"]["seeds"] for plan in plans.values()} == {2}


def test_a_promised_error_rate_and_implanting_reach_the_plan(
    shapes: Path, tmp_path: Path, secondread: Secondread
) -> None:
    words = ("--size", 32, "--epochs", 1, "--error-rate", 0.2, "--implant", 0.25)
    secondread("train", shapes, "-o", tmp_path / "run", *words)
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert (plan["error_rate"], plan["implant"]) == (0.2, 0.25)


def test_read_pictures(picture_run: Path, shapes: Path, tmp_path: Path, secondread: Secondread) -> None:
    wide = picture(tmp_path / "wide.png", 50, (30, 70))
    out = tmp_path / "out"
    answer = only_json(secondread("read", picture_run, shapes / "dark", wide, "-o", out, "--json").out)
    assert answer["errors"] == []
    assert json.loads((out / "findings.json").read_text()) == answer["findings"]
    assert len(answer["findings"]) == 10
    for finding in answer["findings"]:
        check_finding(finding, volume=False, presence=False)
        assert (out / finding["mask"]).is_file()
        assert (out / finding["mask"].replace("_mask", "")).is_file(), "a picture per study"
    assert Image.open(out / "wide_mask.png").size == (70, 30)


def oblique_affine() -> Any:
    affine = np.eye(4)
    row, column = np.array(PLANES["oblique"]).reshape(2, 3)
    affine[:3, :3] = np.stack([row * 7.5, column * 8.25, np.cross(row, column) * 9.0], axis=1)
    affine[:3, 3] = [-61.5, 72.25, -44.125]
    return affine


def test_read_gives_a_mask_in_the_geometry_of_an_oblique_nifti(
    volume_run: Path, tmp_path: Path, secondread: Secondread
) -> None:
    scan = save_nifti(tmp_path / "tilted_t1.nii.gz", head(), oblique_affine())
    (finding,) = only_json(secondread("read", volume_run, scan, "-o", tmp_path / "o", "--json").out)["findings"]
    check_finding(finding, volume=True, presence=True)
    mask, source = load(tmp_path / "o" / finding["mask"]), load(scan)
    assert mask.shape == source.shape
    assert np.abs(mask.affine - source.affine).max() < 1e-4
    assert mask.get_data_dtype() == np.uint8


def test_read_gives_a_mask_in_the_geometry_of_a_dicom_series(
    volume_run: Path, tmp_path: Path, secondread: Secondread
) -> None:
    series = tmp_path / "series"
    write_series(
        series, head().astype(np.uint16), plane="oblique", step=8.0, spacing=(7.5, 8.5), SeriesDescription="T1 MPRAGE"
    )
    done = secondread("read", volume_run, series, "-o", tmp_path / "o", "--no-pictures", "--json")
    (finding,) = only_json(done.out)["findings"]
    check_finding(finding, volume=True, presence=True)
    mask = load(tmp_path / "o" / finding["mask"])
    expected = read_volume(series).geometry
    assert mask.shape == expected.shape
    assert np.abs(RAS_TO_LPS @ mask.affine - expected.affine).max() < 1e-4
    assert "Doe" not in done.err + done.out
    assert not list((tmp_path / "o").glob("*.png"))


def test_a_mask_of_another_orientation_is_on_the_scan(volume_run: Path, heads: Path, tmp_path: Path) -> None:
    """The same head, stored with its axes turned, gets the same mask turned the same way."""
    from secondread.infer import load_model
    from secondread.volume import Study

    reader = load_model(volume_run)
    scan = read_volume(next(heads.glob("*/*_t1.nii.gz")))
    turned_affine = scan.geometry.affine.copy()
    turned_affine[:, [0, 1]] = turned_affine[:, [1, 0]]
    shape = scan.geometry.shape
    turned = Volume(
        Geometry((shape[1], shape[0], shape[2]), turned_affine), np.ascontiguousarray(scan.voxels.swapaxes(0, 1))
    )
    one, two = (reader.read(Study(name, {"t1": volume})) for name, volume in (("one", scan), ("two", turned)))
    assert np.abs(one.evidence - two.evidence.swapaxes(1, 2)).max() < 1e-3


@pytest.mark.slow
def test_export_writes_a_bundle_that_reads_the_same(
    picture_run: Path, shapes: Path, tmp_path: Path, secondread: Secondread
) -> None:
    done = secondread("export", picture_run, "-o", tmp_path / "bundle")
    assert done.err == f"wrote {tmp_path / 'bundle'}\n", "torch's exporter has nothing to say to the user"
    assert (tmp_path / "bundle" / "model.onnx").stat().st_size > 1000
    scan = shapes / "dark" / "p00.png"
    one, two = (
        only_json(secondread("read", model, scan, "-o", tmp_path / "o", "--json").out)["findings"]
        for model in (picture_run, tmp_path / "bundle")
    )
    assert one == two


def test_doctor_answers_in_json_and_in_words(secondread: Secondread) -> None:
    checks = only_json(secondread("doctor", "--json").out)["checks"]
    assert {"name", "status", "detail", "advice"} == set(checks[0])
    assert "checks" in secondread("doctor").out


def test_through_a_shell(picture_run: Path, shapes: Path, tmp_path: Path) -> None:
    """The installed command: JSON alone on stdout, words on stderr, an exit code."""
    words = [sys.executable, "-m", "secondread.cli", "read", picture_run, shapes / "dark", "-o", tmp_path, "--json"]
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert len(only_json(done.stdout)["findings"]) == 9
    assert "read 9 of 9 studies" in done.stderr
    words = [sys.executable, "-m", "secondread.cli", "index", tmp_path / "none"]
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 3
    assert done.stderr.startswith("error: ")
