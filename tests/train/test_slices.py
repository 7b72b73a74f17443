"""Volumes learned from slice by slice: what a slice shows, what it teaches, and when a plan takes slices."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from secondread.errors import UsageError
from secondread.formats import read_study
from secondread.index import Index, build_index
from secondread.infer import load_model
from secondread.infer.export import export_bundle
from secondread.infer.slicewise import PLANES
from secondread.simulate import Settings, write_studies
from secondread.store import Batch
from secondread.train import make_plan, open_packed, pack_data, plan_for, replan, train
from secondread.train.loop import new_state
from secondread.train.plan import TOGETHER
from secondread.train.rehearsal import Rehearsal
from secondread.train.slices import APART, THICK, feed_for, from_slabs, from_volumes

SLICED = {"dimensions": 2, "spacing": 6.0, "width": 8}
"""A plan of slices for coarse heads, which would be read as volumes."""


def batch_of(images: Tensor, masks: Tensor, known: bool, abnormal: int, category: int) -> Batch:
    """Volumes that all teach the same."""
    n = len(images)
    return Batch(
        images,
        masks,
        torch.full((n,), known),
        torch.full((n,), category),
        torch.full((n,), abnormal, dtype=torch.int8),
        [f"s{number}" for number in range(n)],
    )


def cube(shape: tuple[int, int, int], seed: int = 0) -> tuple[Tensor, Tensor]:
    """(1, 1, *shape) of noise, and a mask of its brightest tenth in one corner."""
    rng = np.random.default_rng(seed)
    voxels = rng.normal(size=(1, 1, *shape)).astype(np.float32)
    mask = np.zeros((1, *shape), np.uint8)
    corner = np.s_[: shape[0] // 2, : shape[1] // 2, : shape[2] // 2]
    mask[0][corner] = (voxels[0, 0][corner] > 1.28) * 2
    return torch.from_numpy(voxels), torch.from_numpy(mask)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slabs_become_slices_that_hang_as_pictures_do(axis: int) -> None:
    shape = [32, 64, 96]
    shape[axis] = THICK
    images, masks = cube((shape[0], shape[1], shape[2]))
    only = torch.arange(THICK).reshape([-1 if a == axis else 1 for a in range(3)]) == APART + 3
    masks *= only  # a lesion of one slice is not missed
    (out,) = from_slabs([batch_of(images, masks, True, 1, 3)], (32, 64, 96))
    row, column = dict(PLANES)[axis]
    assert out.images.shape == (TOGETHER, 1, shape[row], shape[column])
    second = images[0, 0].movedim((axis, row, column), (0, 1, 2))[APART + 3]
    hanging = second.flip(0) if row == 2 else second
    assert torch.equal(out.images[1, 0], hanging)
    # The mask is that of the same voxels: it marks what is bright.
    marked = out.masks[1] > 0
    assert marked.any()
    assert float(out.images[1, 0][marked].min()) > 1.28
    assert out.abnormal.tolist() == [0, 1, 0, 0]


def test_a_slice_teaches_what_its_part_of_the_mask_says() -> None:
    images, masks = cube((32, THICK, 64))
    masks[:, :, THICK // 2 :] = 0
    first = int((masks[0] > 0).sum((0, 2)).argmax()) % APART
    truth = (masks > 0).any(3).any(1)[0, first::APART].tolist()
    (out,) = from_slabs([batch_of(images, masks, True, 1, 3)], (32, 32, 64))
    assert out.abnormal.tolist() == [int(ill) for ill in truth] == [1, 1, 0, 0]
    assert out.category.tolist() == [3, 3, -1, -1]
    assert bool(out.mask_known.all())
    (unknown,) = from_slabs([batch_of(images, torch.zeros_like(masks), False, -1, -1)], (32, 32, 64))
    assert unknown.abnormal.tolist() == [-1] * 4
    assert not bool(unknown.mask_known.any())
    assert unknown.studies == ["s0"] * 4


def test_slices_of_whole_volumes_come_from_all_planes_and_leave_air_out() -> None:
    images, masks = cube((48, 64, 40))
    images[..., :12], masks[..., :12] = -5.0, 0
    batches = list(from_volumes([batch_of(images, masks, True, 1, 0)], (64, 64, 64)))
    assert {tuple(batch.images.shape[2:]) for batch in batches} == {(64, 64)}
    assert sum(len(batch.images) for batch in batches) == 8 + 11 + (40 - 12 + 3) // 6
    lit = torch.cat([batch.images[:, 0][batch.masks > 0] for batch in batches])
    assert float(lit.min()) > 0.5


def test_the_feed_gives_slabs_of_every_plane_by_turns(volumes: Index, tmp_path: Path) -> None:
    packed = pack_data(volumes, tmp_path / "store", plan_for(volumes, SLICED))
    plan = replace(packed.plan, batch=2 * TOGETHER)
    assert plan.sliced
    feed = feed_for(packed.store, [case for case in packed.store.cases if case.split == "train"], plan)
    slabs = list(feed.epoch(0, 6))
    assert [list(batch.images.shape[2:]).index(THICK) for batch in slabs] == [0, 1, 2, 0, 1, 2]
    slices = list(from_slabs(slabs, plan.patch))
    assert {len(batch.images) for batch in slices} == {plan.batch}
    assert any(bool((batch.abnormal == 1).any()) for batch in slices)
    assert any(bool((batch.abnormal == 0).any()) for batch in slices)
    again = list(from_slabs(feed.epoch(0, 6), plan.patch))
    assert all(torch.equal(one.images, other.images) for one, other in zip(slices, again, strict=True))


def test_a_run_on_slices_reads_volumes_and_exports(volumes: Index, tmp_path: Path) -> None:
    train(volumes, tmp_path / "run", overrides={**SLICED, "epochs": 2, "samples": 32})
    reader = load_model(tmp_path / "run")
    assert reader.spec.sliced
    assert reader.spec.normal == "normal"
    assert "slice by slice" in (tmp_path / "run" / "model" / "CARD.md").read_text(encoding="utf-8")
    row = volumes.rows("test")[0]
    study = read_study(row.study, row.images, row.contrasts)
    reading = reader.read(study)
    assert reading.mask.shape == study.reference.geometry.shape
    assert reading.evidence.shape == (2, *reading.mask.shape)
    history = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert {"loss", "accuracy", "dice", "presence_auc"} <= history[-1]["validation"].keys()
    pytest.importorskip("onnxruntime")
    export_bundle(tmp_path / "run", tmp_path / "bundle", [study])
    import onnxruntime

    session = onnxruntime.InferenceSession((tmp_path / "bundle" / "model.onnx").read_bytes())
    assert tuple(session.get_inputs()[0].shape) == (1, 2, *reader.spec.window)
    assert load_model(tmp_path / "bundle").read(study).findings.locations == reading.findings.locations


def test_healthy_volumes_alone_are_learned_from_in_slices(volumes: Index, tmp_path: Path) -> None:
    healthy = Index.of([row for row in volumes.all_rows() if row.normal])
    train(healthy, tmp_path / "run", overrides={**SLICED, "epochs": 1, "samples": 32})
    spec = load_model(tmp_path / "run").spec
    assert spec.sliced
    assert spec.trained_on["implanted"]


def test_simulated_slices_join_those_of_a_few_patients(volumes: Index) -> None:
    plan = replace(make_plan(volumes, SLICED), batch=8)
    assert plan.simulated == 0.5
    images = torch.randn(8, 2, 64, 96)
    images[:, 1] = 0.0
    none = torch.zeros(8, 64, 96, dtype=torch.uint8)
    real = Batch(images, none, torch.ones(8).bool(), torch.full((8,), -1), torch.zeros(8, dtype=torch.int8), ["s"] * 8)
    rehearsal = Rehearsal(plan, 3)
    (one,), (other,) = (list(rehearsal.join([real], lambda position: 5 + position)) for _ in range(2))
    assert one.images.shape == (12, 2, 64, 96)
    assert torch.equal(one.images[:8], images)
    assert torch.equal(one.images, other.images)
    # What the real ones lack, the simulated lack: else they could be told apart.
    assert bool(one.images[8:, 0].any())
    assert not bool(one.images[:, 1].any())
    many = [batch for _ in range(8) for batch in rehearsal.join([real] * 8, lambda position: position)]
    ill = torch.cat([(batch.masks[8:] > 0).flatten(1).any(1) for batch in many])
    told = torch.cat([batch.abnormal[8:] for batch in many])
    kinds = torch.cat([batch.category[8:] for batch in many])
    assert torch.equal(told == 1, ill)
    assert 0 < int(ill.sum()) < len(ill)
    assert set(kinds[~ill].tolist()) == {-1}
    # Kinds that the task does not know are abnormal all the same.
    assert set(kinds[ill].tolist()) == {-1, 0, 1}
    plain = Rehearsal(replace(plan, simulated=0.0), 3)
    assert next(plain.join([real], lambda position: position)) is real


def test_slices_are_taken_where_every_slice_can_teach(volumes: Index, tmp_path: Path) -> None:
    settings = Settings(spacing=2.0, contrasts=("flair",), diameters=(25.0, 50.0))
    fine = build_index([write_studies(tmp_path / "sim", 8, 3, settings)])
    plan = make_plan(fine)
    assert plan.sliced
    assert plan.start == "starter"
    assert plan.simulated == 0.5
    unknown = [replace(row, contrasts=("image",)) for row in fine.all_rows()]
    assert make_plan(Index.of(unknown)).simulated == 0.0
    assert plan.recipe.spacing == (1.4, 1.4, 1.4)
    new_state(plan, "cpu")  # the starter's weights fit
    assert make_plan(fine, {"dimensions": 3}).network.dimensions == 3
    # Six millimetres leave little to see in a slice.
    assert not make_plan(volumes).sliced
    assert not make_plan(fine, {"spacing": 4.0}).sliced
    assert not make_plan(fine, {"width": 16}).sliced
    assert make_plan(Index.of([row for row in fine.all_rows() if row.normal])).sliced
    rows = fine.all_rows()
    first = next(row for row in rows if row.split == "train" and not row.normal)
    held = [replace(row, mask=None, split="validation") if row is first else row for row in rows]
    assert not make_plan(Index.of(held)).sliced
    some = Index.of([replace(row, mask=None) if row is first else row for row in rows])
    assert any("1 abnormal scans" in reason for reason in make_plan(some).reasons)
    labelled = Index.of([replace(row, mask=None) for row in fine.all_rows()])
    assert not make_plan(labelled).sliced
    with pytest.raises(UsageError, match="has a mask"):
        make_plan(labelled, {"dimensions": 2})


def test_slices_are_simulated_where_the_simulator_can(volumes: Index, pictures: Index) -> None:
    assert make_plan(volumes, {**SLICED, "spacing": 12.0}).simulated == 0.0
    assert make_plan(volumes, {**SLICED, "simulated": 0.25}).simulated == 0.25
    for data, overrides in ((pictures, {}), (volumes, {}), (volumes, {**SLICED, "spacing": 12.0})):
        with pytest.raises(UsageError, match="simulated"):
            make_plan(data, {**overrides, "simulated": 0.5})


def test_a_batch_of_slices_is_made_of_whole_slabs(volumes: Index) -> None:
    assert [make_plan(volumes, {**SLICED, "batch": n}).batch for n in (1, 4, 6)] == [4, 4, 8]
    assert "a batch of 8 slices, not 6" in make_plan(volumes, {**SLICED, "batch": 6}).reasons[-1]


def test_dimensions_are_settled_by_packing(volumes: Index, pictures: Index, tmp_path: Path) -> None:
    pack_data(volumes, tmp_path / "store", plan_for(volumes, SLICED))
    plan = open_packed(tmp_path / "store").plan
    assert replan(plan, {"dimensions": 2, "epochs": 3}).epochs == 3
    with pytest.raises(UsageError, match="dimensions was settled"):
        replan(plan, {"dimensions": 3})
    with pytest.raises(UsageError, match=r"2 \(slices\) or 3"):
        make_plan(volumes, {"dimensions": 4})
    with pytest.raises(UsageError, match="dimensions is for volumes"):
        make_plan(pictures, {"dimensions": 2})
