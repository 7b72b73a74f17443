from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from secondread.errors import ResourceError, UsageError
from secondread.formats import read_mask, read_volume
from secondread.simulate import NORMAL, Settings, write_studies
from secondread.simulate.write import choose


def _rows(labels: Path) -> list[dict[str, str]]:
    with labels.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _voxels(labels: Path) -> list[np.ndarray]:
    return [read_volume(labels.parent / row["image"]).voxels for row in _rows(labels)]


def test_what_is_written_reads_back_with_its_labels(tmp_path: Path, coarse: Settings) -> None:
    seen: list[tuple[str, int, int]] = []
    labels = write_studies(tmp_path / "ä set", 6, 1, coarse, lambda *step: seen.append(step))
    rows = _rows(labels)
    assert tuple(rows[0]) == ("image", "label", "mask", "group", "site", "study", "contrast")
    assert len(rows) == 6 * 3
    assert sorted({row["study"] for row in rows}) == [f"sim-{i:04d}" for i in range(1, 7)]
    assert seen == [("simulate", done, 6) for done in range(1, 7)]
    for row in rows:
        assert row["image"] == f"{row['study']}/{row['study']}_{row['contrast']}.nii.gz"
        volume = read_volume(labels.parent / row["image"])
        mask = read_mask(labels.parent / row["mask"], volume.geometry)
        assert bool(mask.labels.any()) == (row["label"] != NORMAL)


def test_labels_are_dealt_in_their_shares(tmp_path: Path) -> None:
    settings = Settings(spacing=8.0, contrasts=("t1",), normal=0.5, categories=("glioma", "meningioma"))
    rows = _rows(write_studies(tmp_path / "set", 8, 3, settings))
    counts = {label: sum(row["label"] == label for row in rows) for label in settings.labels}
    assert counts == {"normal": 4, "glioma": 2, "meningioma": 2}


def test_jobs_do_not_change_a_voxel_and_the_seed_does(tmp_path: Path, coarse: Settings) -> None:
    one = write_studies(tmp_path / "one", 4, 1, coarse, jobs=1)
    many = write_studies(tmp_path / "many", 4, 1, coarse, jobs=3)
    other = write_studies(tmp_path / "other", 4, 2, coarse)
    assert one.read_bytes() == many.read_bytes()
    assert all(np.array_equal(a, b) for a, b in zip(_voxels(one), _voxels(many), strict=True))
    assert any(
        a.shape != b.shape or not np.array_equal(a, b) for a, b in zip(_voxels(one), _voxels(other), strict=True)
    )


def test_the_contact_sheet_shows_heads_and_outlines(tmp_path: Path) -> None:
    settings = Settings(spacing=6.0, normal=0.0, contrasts=("t1", "flair"))
    out = write_studies(tmp_path / "set", 3, 1, settings).parent
    with Image.open(out / "contact-sheet.png") as sheet:
        pixels = np.asarray(sheet).astype(int)
    assert pixels.shape[2] == 3
    assert pixels.std() > 30
    assert (np.ptp(pixels, axis=2) > 60).sum() > 100


def test_the_contact_sheet_has_room_for_every_kind(tmp_path: Path) -> None:
    kinds = Settings().labels
    shown = choose(["normal"] * 30 + list(kinds) * 3)
    assert len(shown) == 12
    counts = [sum((i % 6 == n and i >= 30) or (n == 0 and i < 30) for i in shown) for n in range(len(kinds))]
    assert counts == [2] * len(kinds)
    assert choose(["glioma", "normal"]) == {0, 1}


def test_an_interrupted_call_leaves_no_table_and_can_be_repeated(
    tmp_path: Path, coarse: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(what: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_studies(tmp_path, 4, 1, coarse, stop)
    assert not (tmp_path / "labels.csv").exists()
    assert len(_rows(write_studies(tmp_path, 4, 1, coarse))) == 12


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path, coarse: Settings) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"thesis\.txt"):
        write_studies(tmp_path, 2, 1, coarse)
    with pytest.raises(UsageError, match="is a file"):
        write_studies(tmp_path / "thesis.txt", 2, 1, coarse)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize(("n", "seed", "jobs"), [(0, 1, 1), (2_000_000, 1, 1), (2, -1, 1), (2, 1, 0)])
def test_numbers_out_of_range_are_refused(tmp_path: Path, coarse: Settings, n: int, seed: int, jobs: int) -> None:
    with pytest.raises(UsageError, match=f"got {n} studies, seed {seed}, {jobs} jobs"):
        write_studies(tmp_path / "set", n, seed, coarse, jobs=jobs)
    assert not (tmp_path / "set").exists()


def test_a_full_disk_is_a_resource_error(tmp_path: Path, coarse: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(ResourceError, match="disk is full"):
        write_studies(tmp_path / "set", 1, 1, coarse)
