from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import tensorstore as ts

from secondread.errors import DataError, ResourceError, UsageError
from secondread.formats import read_study
from secondread.store import Store, layout, pack
from secondread.store.packing import MASK_POINTS
from secondread.volume import Recipe, prepare

from .conftest import PICTURES, VOLUMES
from .scans import FakeRow, picture_row, volume_row, write_nifti


def blocks(folder: Path) -> dict[str, int]:
    """Complete blocks and when they were made."""
    return {path.name: path.stat().st_mtime_ns for path in (folder / layout.CASES).iterdir()}


def test_a_volume_comes_back_as_it_was_prepared(volumes: Store, volume_rows: list[FakeRow]) -> None:
    for row, case in zip(volume_rows, volumes.cases, strict=True):
        prepared = prepare(read_study(row.study, row.images, row.contrasts), VOLUMES)
        image, mask = volumes.read(case)
        assert (case.study, case.present, case.shape) == (row.study, prepared.present, prepared.array.shape[1:])
        assert np.abs(image - prepared.array).max() <= volumes.scale * 0.51
        assert (mask is None) == (row.mask is None)
        assert case.mask_voxels == (0 if mask is None else np.count_nonzero(mask))


def test_mask_points_lie_in_the_mask(volumes: Store) -> None:
    case = volumes.cases[0]
    _, mask = volumes.read(case)
    assert mask is not None
    points = case.mask_points()
    assert points.shape == (min(125, MASK_POINTS), 3)
    assert (mask[tuple(points.T)] == 2).all()
    assert volumes.cases[1].mask_points().shape == (0, 3)


def test_pictures_share_blocks(pictures: Store) -> None:
    assert len(blocks(pictures.folder)) == 1
    images = [pictures.read(case)[0] for case in pictures.cases]
    assert {image.shape for image in images} == {(3, 16, 16)}
    assert not np.array_equal(images[0], images[1])
    assert [case.has_mask for case in pictures.cases] == [False] * 5 + [True] * 3
    assert len({case.key for case in pictures.cases}) == 8


def test_pictures_fill_block_after_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "BLOCK_CASES", 3)
    rows = [picture_row(tmp_path, f"p{n}", label="cat") for n in range(7)]
    store = pack(rows, PICTURES, tmp_path / "store")
    assert len(blocks(store.folder)) == 3
    assert [case.row for case in store.cases] == [0, 1, 2, 0, 1, 2, 0]
    store.verify()


@pytest.mark.parametrize("name", ["volumes", "pictures"])
def test_metadata_that_is_read_is_what_zarr_wrote(name: str, request: pytest.FixtureRequest) -> None:
    store: Store = request.getfixturevalue(name)
    for path in (store.folder / layout.CASES).glob("*/*/zarr.json"):
        written = json.loads(path.read_text())
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path.parent}/"}}
        found = ts.open(spec).result().spec().to_json()["metadata"]
        kind: Any = path.parent.name
        assumed = layout.array_metadata(kind, tuple(written["shape"]), grouped=store.grouped)
        memory = {"driver": "zarr3", "kvstore": {"driver": "memory"}, "metadata": assumed, "create": True}
        assert ts.open(memory).result().spec().to_json()["metadata"] == found


def test_bad_studies_are_left_out_with_a_reason(tmp_path: Path) -> None:
    good = volume_row(tmp_path, "good", label="glioma", normal=False, lesion=True)
    cut = volume_row(tmp_path, "cut")
    cut.images[0].write_bytes(cut.images[0].read_bytes()[:2000])
    flat = volume_row(tmp_path, "flat")
    write_nifti(flat.images[0], np.zeros((9, 9, 9), np.int16))
    gone = replace(volume_row(tmp_path, "gone"), images=(tmp_path / "gone.nii", tmp_path / "gone2.nii"))
    other = volume_row(tmp_path, "other", lesion=True)
    write_nifti(tmp_path / "other_mask.nii.gz", np.zeros((4, 4, 4), np.uint8))
    ill = volume_row(tmp_path, "ill", label="healthy", normal=True, lesion=True)
    well = volume_row(tmp_path, "well", label="glioma", normal=False, lesion=False)
    store = pack([good, cut, flat, gone, other, ill, well], VOLUMES, tmp_path / "store")
    assert [case.study for case in store.cases] == ["good"]
    reasons = dict(store.excluded)
    assert list(reasons) == ["cut", "flat", "gone", "other", "ill", "well"]
    assert all(reasons.values())
    assert "not empty" in reasons["ill"]
    assert "is empty" in reasons["well"]
    with pytest.raises(DataError, match="cut"):
        pack([cut, flat], VOLUMES, tmp_path / "none")
    assert Store.open(store.folder).excluded == store.excluded


def test_a_bad_picture_leaves_its_neighbours_alone(tmp_path: Path) -> None:
    rows = [picture_row(tmp_path, f"p{n}", label="cat") for n in range(3)]
    rows[1].images[0].write_bytes(b"\x89PNG no more")
    store = pack(rows, PICTURES, tmp_path / "store")
    assert [(case.study, case.row) for case in store.cases] == [("p0", 0), ("p2", 2)]
    store.read(store.cases[1])


def test_a_lesion_smaller_than_a_voxel_is_kept(tmp_path: Path) -> None:
    row = volume_row(tmp_path, "tiny", label="glioma", normal=False, lesion=False)
    labels = np.zeros((40, 36, 34), np.uint8)
    labels[20, 20, 20] = 3
    write_nifti(tmp_path / "tiny_mask.nii.gz", labels)
    store = pack([row], Recipe(("t1",), spacing=(3.0, 3.0, 3.0)), tmp_path / "store")
    assert store.cases[0].mask_voxels == 1


def test_rows_that_make_no_sense(tmp_path: Path) -> None:
    row = volume_row(tmp_path, "a")
    with pytest.raises(UsageError, match="twice"):
        pack([row, row], VOLUMES, tmp_path / "store")
    with pytest.raises(UsageError, match="no studies"):
        pack([], VOLUMES, tmp_path / "store")


def test_packing_again_redoes_only_what_changed(volumes: Store, volume_rows: list[FakeRow]) -> None:
    before = blocks(volumes.folder)
    damaged = volumes.folder / layout.CASES / volumes.cases[2].block / layout.SHARD["image"]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    rows = [replace(volume_rows[0], label="meningioma"), replace(volume_rows[1], sha256="other"), *volume_rows[2:]]
    store = pack(rows, VOLUMES, volumes.folder)
    after = blocks(volumes.folder)
    assert store.cases[0].label == "meningioma"
    assert {key for key in before if after[key] != before[key]} == {volumes.cases[2].block}
    assert set(after) - set(before) == {store.cases[1].block}
    store.verify()


KILLED = """
import json, sys, time
from pathlib import Path
root, folder = map(Path, sys.argv[1:])
sys.path.insert(0, str(root))
from secondread import files
from secondread.store import pack, place as module
from tests.store.conftest import VOLUMES
from tests.store.scans import FakeRow

def slowly(path, data):
    path.write_bytes(data[: len(data) // 2])
    time.sleep(0.02)
    files.write_flushed(path, data)

module.write_flushed = slowly
rows = [FakeRow(**row) for row in json.loads((folder / "rows.json").read_text())]
pack(rows, VOLUMES, folder / "store", jobs=1)
"""


def test_killed_and_called_again(tmp_path: Path) -> None:
    rows = [volume_row(tmp_path, f"s{n}", lesion=True) for n in range(6)]
    (tmp_path / "rows.json").write_text(json.dumps([asdict(row) for row in rows], default=str))
    cases = tmp_path / "store" / layout.CASES

    def done() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in cases.glob("[!.]*")}

    process = subprocess.Popen([sys.executable, "-c", KILLED, str(Path(__file__).parents[2]), str(tmp_path)])
    while len(done()) < 2 and process.poll() is None:
        time.sleep(0.005)
    time.sleep(0.03)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    with pytest.raises(DataError, match="no finished store"):
        Store.open(tmp_path / "store")
    kept = done()
    assert 2 <= len(kept) < 6
    store = pack(rows, VOLUMES, tmp_path / "store")
    assert len(store.cases) == 6
    assert kept.items() <= done().items()
    assert not list(cases.glob(".*"))
    store.verify()


@pytest.mark.parametrize("point", range(6))
def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, volume_rows: list[FakeRow], point: int) -> None:
    """The disk runs full at one flush after the other: the error says so, and a second call completes the store."""
    real, calls = os.fsync, 0

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 3 * point:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ResourceError, match="disk is full"):
            pack(volume_rows[:3], VOLUMES, tmp_path / "store", jobs=1)
    assert not list((tmp_path / "store").rglob("*.partial"))
    store = pack(volume_rows[:3], VOLUMES, tmp_path / "store")
    assert len(store.cases) == 3
    store.verify()


def test_nowhere_to_write(tmp_path: Path, volume_rows: list[FakeRow]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="a file stands where a folder is needed"):
        pack(volume_rows[:1], VOLUMES, tmp_path / "file" / "store")


def test_progress_counts_studies(tmp_path: Path, volume_rows: list[FakeRow]) -> None:
    seen: list[tuple[str, int, int]] = []
    pack(volume_rows[:3], VOLUMES, tmp_path / "store", progress=lambda *now: seen.append(now))
    assert seen == [("packing", n, 3) for n in (1, 2, 3)]


def test_what_packing_found_out(volumes: Store, volume_rows: list[FakeRow]) -> None:
    """The box holds every voxel above the air and little else; spacing and percentiles are the scan's."""
    for case, row in zip(volumes.cases, volume_rows, strict=True):
        voxels = nib.Nifti1Image.from_filename(row.images[0]).get_fdata()
        for axis, (first, past) in enumerate(case.facts.box):
            filled = np.flatnonzero(voxels.any(axis=tuple(a for a in range(3) if a != axis)))
            assert first <= filled[0]
            assert filled[-1] < past
            assert past - first <= filled[-1] - filled[0] + 3
        assert case.facts.spacing == (1.0, 1.0, 1.0)
        image, _ = volumes.read(case)
        for channel, there, found in zip(image, case.present, case.facts.quantiles, strict=True):
            np.testing.assert_allclose(found, np.quantile(channel, [0.01, 0.5, 0.99]) if there else 0, atol=0.02)
