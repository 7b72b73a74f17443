"""Learning from normal scans alone, by lesions implanted into them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from secondread.errors import DataError, UsageError
from secondread.index import Index, build_index
from secondread.infer import load_model
from secondread.simulate import Settings, write_studies
from secondread.store import Batch, Case
from secondread.store.layout import Facts
from secondread.train import implanting, make_plan, train
from secondread.train.implanting import implanted, with_lesions
from secondread.train.loop import held_batches
from secondread.train.plan import Plan, learned_beside
from secondread.train.simulated import EASIEST


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Index:
    settings = Settings(spacing=6.0, contrasts=("t1",), normal=1.0)
    return build_index([write_studies(tmp_path_factory.mktemp("healthy") / "sim", 12, 5, settings)])


def test_masks_that_mark_nothing_are_refused_with_what_to_do(tmp_path: Path) -> None:
    settings = Settings(spacing=6.0, contrasts=("t1",), normal=1.0)
    folder = write_studies(tmp_path / "scans", 12, 5, settings)
    (folder if folder.is_dir() else folder.parent).joinpath("labels.csv").unlink()
    index = build_index([tmp_path / "scans"])
    with pytest.raises(DataError, match=r"marks anything.*--labels"):
        train(index, tmp_path / "run", overrides={"epochs": 1, "samples": 2, "width": 8})


def _batch(plan: Plan, n: int = 6) -> Batch:
    rng = torch.Generator().manual_seed(1)
    images = torch.full((n, 1, 30, 36, 30), -2.0)
    images[:, :, 3:-3, 3:-3, 3:-3] = 0.3 * torch.randn(n, 1, 24, 30, 24, generator=rng)
    masks = torch.zeros(n, 30, 36, 30, dtype=torch.uint8)
    known = torch.ones(n, dtype=torch.bool)
    nothing = torch.full((n,), -1)
    abnormal = torch.tensor([0, 0, 0, 0, 1, -1][:n], dtype=torch.int8)
    return Batch(images, masks, known, nothing, abnormal, [f"s{i}" for i in range(n)])


def test_normal_scans_alone_make_a_plan_that_implants(healthy: Index) -> None:
    plan = make_plan(healthy)
    assert plan.implant == 0.5
    assert plan.task.located
    assert plan.task.normal == "normal"
    assert plan.task.categories == ("lesion",)
    assert any("implanted" in reason for reason in learned_beside(asdict(plan)))


def test_labelled_data_are_left_alone_unless_asked(volumes: Index) -> None:
    assert make_plan(volumes).implant == 0
    assert make_plan(volumes, {"implant": 0.25}).implant == 0.25
    with pytest.raises(UsageError, match=r"0 to 1, got 1\.5"):
        make_plan(volumes, {"implant": 1.5})


def test_only_normal_scans_get_lesions_and_truth_follows_the_mask(healthy: Index) -> None:
    plan = replace(make_plan(healthy), implant=1.0)
    batch = _batch(plan)
    out = with_lesions(batch, plan, seed=3)
    ill = (out.masks > 0).flatten(1).any(1)
    assert ill[:4].any()
    assert not ill[4:].any()
    assert out.abnormal.tolist() == [int(i) for i in ill[:4]] + [1, -1]
    assert out.category.tolist() == [0 if i else -1 for i in ill]
    changed = (out.images != batch.images).flatten(1).any(1)
    assert torch.equal(changed, ill)
    again = with_lesions(batch, plan, seed=3)
    assert torch.equal(out.images, again.images)
    assert not batch.masks.any()


def test_a_plan_without_implants_passes_batches_on(healthy: Index) -> None:
    plan = replace(make_plan(healthy), implant=0.0)
    batch = _batch(plan)
    (out,) = implanted([batch], plan, lambda _: 1)
    assert out is batch


def test_training_on_normal_scans_alone_gives_a_located_model(
    healthy: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[float, float]] = []

    def spy(batch: Batch, plan: Plan, seed: int, device: str, difficulty: tuple[float, float]) -> Batch:
        drawn.append(difficulty)
        return with_lesions(batch, plan, seed, device, difficulty)

    monkeypatch.setattr(implanting, "with_lesions", spy)
    train(healthy, tmp_path / "run", overrides={"epochs": 2, "samples": 6, "width": 8})
    hardest = [hard for easy, hard in drawn if easy < 1]  # validation has all there is
    assert hardest[0] == EASIEST
    assert hardest == sorted(hardest)
    assert hardest[-1] > 0.8
    assert (1.0, 1.0) in drawn
    promise = load_model(tmp_path / "run").spec.promise
    assert promise is not None
    assert not promise.abnormal.made  # no abnormal patient was ever seen
    assert "implanted into normal scans" in (tmp_path / "run" / "model" / "CARD.md").read_text()
    spec = load_model(tmp_path / "run").spec
    assert spec.task.located
    assert spec.task.categories == ("lesion",)
    history = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert history[0]["train"]["loss"] > 0
    assert len(history) == 2


@pytest.mark.parametrize(
    ("normal", "voxels", "implants"), [(True, 0, True), (None, 0, True), (False, 0, False), (None, 9, False)]
)
def test_validation_gets_lesions_only_where_it_has_none_of_its_own(
    healthy: Index, normal: bool | None, voxels: int, implants: bool
) -> None:
    plan = replace(make_plan(healthy), implant=1.0)
    batch = _batch(plan)
    stored: Any = SimpleNamespace(whole=lambda _: iter([batch]))
    facts = Facts((30, 36, 30), (True,), has_mask=False, mask_voxels=0, floor=(0,), points="")
    cases = [Case("b", n, f"s{n}", f"s{n}", None, True, "validation", facts) for n in range(2)]
    cases.append(replace(cases[0], normal=normal, facts=replace(facts, has_mask=voxels > 0, mask_voxels=voxels)))
    plain, *more = held_batches(stored, cases, replace(plan, implant=0.5), "cpu")
    assert not plain.masks.any()
    assert [bool(out.masks.flatten(1).any(1)[:4].all()) for out in more] == [True] * implants


def test_lesions_are_large_at_first(healthy: Index) -> None:
    plan = replace(make_plan(healthy), implant=1.0)
    easy, hard = (
        torch.cat([with_lesions(_batch(plan, 4), plan, seed, difficulty=(level, level)).masks for seed in range(6)])
        for level in (0.0, 1.0)
    )
    assert _smallest(easy) > 2 * _smallest(hard)


def _smallest(masks: torch.Tensor) -> int:
    sizes = (masks > 0).flatten(1).sum(1)
    return int(sizes[sizes > 0].min())
