"""The starter model: made again in small, what begins with it, and what is in the package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from secondread.errors import UsageError
from secondread.index import Index
from secondread.infer import Thresholds, begin_with_starter, calibrated, fits, open_model, starter
from secondread.infer.spec import open_description
from secondread.models import NetworkSpec, build
from secondread.simulate import BatchSettings, draw_batch, render_batch, simulate_study
from secondread.simulate.settings import Settings
from secondread.train import make_plan, replan, simulated
from secondread.train import starter as making
from secondread.train.checkpoint import Progress, load_checkpoint
from secondread.train.loop import new_state
from secondread.train.optimisers import OPTIMIZERS
from secondread.train.simulated import EASIEST, Pictures, Simulated, simulated_batch
from secondread.volume import Geometry, Picture, Study, Volume

MOST_BYTES = 20 << 20


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A starter of next to no training."""
    folder = tmp_path_factory.mktemp("starter")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "SLICE_MM", 8.0)
        curriculum = making.Curriculum(epochs=1, samples=16, held=16, heads=6)
        making.make_starter(curriculum, folder / "made", folder / "work")
    return folder / "made"


def test_pictures_are_the_same_for_the_same_seed_and_never_twice_in_a_run() -> None:
    source, pictures = Simulated(Pictures(64, 4, 3), 1), Pictures(64, 4, 3)
    rendered = list(source.epoch(1, 2))
    side = rendered[0].images.shape[-1]
    again = [simulated_batch(pictures, number, side, (EASIEST, 1.0)) for number in (2, 3)]
    for one, other in zip(rendered, again, strict=True):
        # One thread renders there and several here, so the last bits differ.
        torch.testing.assert_close(one.images, other.images, atol=1e-2, rtol=0)
    assert (rendered[0].images - rendered[1].images).abs().max() > 1
    held = [next(iter(source.whole())) for _ in range(2)]
    assert torch.equal(held[0].images, held[1].images)
    assert not any(torch.equal(held[0].images[0], image) for batch in rendered for image in batch.images)
    for batch in rendered:
        shown = (batch.masks > 0).flatten(1).any(1)
        assert torch.equal(shown, batch.abnormal == 1)
        assert torch.equal(shown, batch.category >= 0)


def test_a_starter_is_made_and_read_with(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starter, "STARTER", small)
    reader = starter.Starter()
    study, mask, _, _ = simulate_study(1, Settings(spacing=6.0, contrasts=("flair",)))
    reading = reader.read(study)
    assert reading.mask.shape == mask.labels.shape
    assert reading.findings.warnings[0] == starter.WARNING
    image = render_batch(draw_batch(BatchSettings(shape=(64, 64)), 1, 0)).images[0, 0].numpy()
    picture = Study("p", picture=Picture((image[..., None] * 40 + 100).clip(0, 255).astype("uint8")))
    assert reader.read(picture).mask.shape == (64, 64)
    low, high = (getattr(reader.volumes.spec.thresholds, f"presence_{side}") for side in ("low", "high"))
    assert 0 <= low <= high <= 1


def test_no_contrast_has_more_false_alarms_than_allowed() -> None:
    rng = np.random.default_rng(0)
    contrasts = ["t1", "t1c"] * 100
    abnormal = np.arange(200) % 4 > 1
    logits = rng.normal(size=200) + 3 * abnormal + np.array([0.0, 2.0] * 100)
    for kinds in ([], contrasts):
        fitted = making.with_presence(Thresholds(), logits, abnormal, kinds)
        called = np.array([calibrated(z, fitted) for z in logits]) > fitted.presence_high
        shares = [called[~abnormal & (np.array(contrasts) == kind)].mean() for kind in ("t1", "t1c")]
        assert bool(max(shares) <= making.FALSE_ALARMS) == bool(kinds)


def test_a_network_begins_with_what_is_alike(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starter, "STARTER", small)
    _, theirs, _ = open_model(small, starter.PICTURES)
    spec = NetworkSpec("segresnet", 2, 3, 2, width=32, stem=4)
    own = build(spec)
    begin_with_starter(own, ("Glioma_tumor", "stroke"), ("red", "green", "blue"))
    known, given = own.state_dict(), theirs.state_dict()
    body = [name for name in given if name.startswith("backbone.body")]
    assert body
    assert all(torch.equal(known[name], given[name]) for name in body)
    torch.testing.assert_close(known["backbone.stem.0.weight"].sum(1), given["backbone.stem.0.weight"].sum(1))
    torch.testing.assert_close(known["evidence.weight"][0], given["evidence.weight"][0])
    torch.testing.assert_close(known["evidence.weight"][1], given["evidence.weight"].mean(0))
    classifier = build(NetworkSpec("segresnet", 2, 1, 2, width=32, stem=4, decoder=False))
    begin_with_starter(classifier, ("a", "b"), ("grey",))
    encoder = "backbone.body.down_layers.1.1.conv1.conv.weight"
    assert torch.equal(classifier.state_dict()[encoder], given[encoder])
    several = build(NetworkSpec("segresnet", 2, 3, 1, width=32, stem=4))
    begin_with_starter(several, ("lesion",), ("t1", "t2", "flair"))
    first = several.state_dict()["backbone.stem.0.weight"]
    torch.testing.assert_close(first[:, 2:], given["backbone.stem.0.weight"])
    assert not bool(first[:, :2].any())


def test_another_network_does_not_fit(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starter, "STARTER", small)
    for other in (
        NetworkSpec("segresnet", 3, 1, 2, width=32, stem=4),
        NetworkSpec("segresnet", 2, 1, 2, width=16, stem=4),
        NetworkSpec("unet", 2, 1, 2, width=32, stem=4),
    ):
        assert not fits(other)
        with pytest.raises(UsageError, match="another network"):
            begin_with_starter(build(other), ("a", "b"), ("grey",))


def test_colour_pictures_begin_cold_and_who_asks_for_the_impossible_is_told(pictures: Index) -> None:
    assert make_plan(pictures).start == "cold"
    assert make_plan(pictures, {"start": "starter"}).start == "starter"
    with pytest.raises(UsageError, match="does not fit"):
        make_plan(pictures, {"start": "starter", "width": 8})


def test_the_packaged_starter_is_whole_small_and_says_what_it_is() -> None:
    reader = starter.Starter()
    assert sum(path.stat().st_size for path in starter.STARTER.iterdir()) <= MOST_BYTES
    assert reader.pictures.spec.trained_on["real_scans"] == 0
    card = (starter.STARTER / "CARD.md").read_text(encoding="utf-8")
    assert "no medical device" in card


def test_what_has_been_learned_is_gone_on_with_at_half_the_rate(pictures: Index) -> None:
    adamw, rmsprop = (OPTIMIZERS[name].learning_rate for name in ("adamw", "rmsprop"))
    assert make_plan(pictures).learning_rate == adamw
    assert make_plan(pictures, {"optimizer": "rmsprop"}).learning_rate == rmsprop
    plan = make_plan(pictures, {"start": "starter"})
    assert plan.learning_rate == adamw / 2
    assert replan(plan, {"seed": 4}).learning_rate == adamw / 2
    assert replan(plan, {"optimizer": "rmsprop"}).learning_rate == rmsprop / 2
    assert replan(plan, {"start": "cold"}).learning_rate == adamw
    assert replan(plan, {"width": 16}).learning_rate == adamw
    chosen = make_plan(pictures, {"start": "starter", "learning_rate": 0.3})
    assert chosen.learning_rate == 0.3
    for changes in ({"seed": 4}, {"start": "cold"}, {"width": 16}, {"network": "unet", "width": 16}):
        assert replan(chosen, changes).learning_rate == 0.3
    assert replan(chosen, {"optimizer": "rmsprop"}).learning_rate == rmsprop / 2


def test_a_training_that_begins_with_the_starter_has_its_weights(pictures: Index) -> None:
    plan = make_plan(pictures, {"start": "starter"})
    _, theirs, _ = open_model(starter.STARTER, starter.PICTURES)
    name = "backbone.body.down_layers.1.1.conv1.conv.weight"
    assert torch.equal(new_state(plan, "cpu").network.state_dict()[name], theirs.state_dict()[name])


def test_pictures_grow_and_get_harder_in_a_cold_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    cold, again = (Simulated(Pictures(100, 4, 3, cold=first), 10, device="meta") for first in (True, False))
    drawn: list[tuple[float, float]] = []
    monkeypatch.setattr(simulated, "simulated_batch", lambda *given: drawn.append(given[3]))
    for source in (cold, again):
        list(source.epoch(0, 1))
    assert drawn == [(EASIEST, EASIEST), (EASIEST, 1.0)]
    assert [cold.side_at(epoch) for epoch in (0, 3, 4, 6, 7, 9)] == [60, 60, 80, 80, 100, 100]
    assert [again.side_at(epoch) for epoch in (0, 9)] == [100, 100]


def test_what_a_starter_has_behind_it_is_counted_once_and_a_work_folder_is_one_trainings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = making.Curriculum(epochs=2, start="starter").plan()
    before = making._begun(tmp_path / "work", plan)
    assert before["simulated_pictures"] > 400_000
    line = {"precision": "float16"}
    progress = Progress(epoch=2, step=10, seconds=60.4, best_epoch=1, history=[line, line])
    facts = making.facts_of(progress, plan, before)
    assert facts["simulated_pictures"] == before["simulated_pictures"] + 10 * plan.batch
    assert facts["epochs"] - before["epochs"] == 2
    assert facts["best_epoch"] - before["epochs"] == 1
    assert facts["seconds"] - before["seconds"] == 60
    assert facts["precision"] == before["precision"] + " and float16"
    assert making.facts_of(progress, plan, {})["precision"] == "float16"
    # The packaged starter is another one by now.
    monkeypatch.setattr(making, "STARTER", tmp_path / "gone")
    assert making._begun(tmp_path / "work", plan) == before
    assert making._begun(tmp_path / "cold", making.Curriculum().plan()) == {}
    with pytest.raises(UsageError, match="another plan"):
        making._begun(tmp_path / "work", making.Curriculum(epochs=3, start="starter").plan())
    (tmp_path / "work" / making.BEGUN).rename(tmp_path / "work" / making.MADE)
    with pytest.raises(UsageError, match="is made"):
        making._begun(tmp_path / "work", plan)
    (tmp_path / "foreign" / "checkpoints").mkdir(parents=True)
    with pytest.raises(UsageError, match="nobody knows"):
        making._begun(tmp_path / "foreign", plan)


def test_what_is_gone_on_with_has_the_mean_of_the_weights_before_and_after(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "SLICE_MM", 8.0)
    for module in (making, starter):
        monkeypatch.setattr(module, "STARTER", small)
    taken: list[Mapping[str, Tensor]] = []

    def noted(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> dict[str, Tensor]:
        taken.extend((one, other))
        # Further from either than rounding is, so that nothing else can be what is written.
        return {name: value + 0.02 for name, value in making_mean(one, other).items()}

    making_mean = making.mean_of
    monkeypatch.setattr(making, "mean_of", noted)
    curriculum = making.Curriculum(epochs=1, samples=16, held=16, heads=6, start="starter")
    making.make_starter(curriculum, tmp_path / "made", tmp_path / "work")
    state = new_state(curriculum.plan(), "cpu")
    assert load_checkpoint(tmp_path / "work" / "checkpoints", state)
    before, after = (open_model(folder, starter.PICTURES)[1].state_dict() for folder in (small, tmp_path / "made"))
    name = "evidence.weight"
    assert not torch.equal(state.best[name], before[name])
    for one, other in zip(taken, (before, state.best), strict=True):
        torch.testing.assert_close(one[name].float(), other[name])
    torch.testing.assert_close(after[name], (state.best[name] + before[name]) / 2 + 0.02, atol=2e-3, rtol=0)
    there_and_back = making_mean({"w": torch.zeros(2).half()}, {"w": torch.full((2,), 2.0)})
    assert torch.equal(there_and_back["w"], torch.ones(2))
    facts = starter.Starter().pictures.spec.trained_on, open_description(tmp_path / "made", starter.PICTURES).trained_on
    assert facts[1]["simulated_pictures"] == 2 * facts[0]["simulated_pictures"]


def test_a_starter_that_is_gone_on_with_begins_as_it_was_and_slower() -> None:
    cold, again = (making.Curriculum(start=start).plan() for start in ("cold", "starter"))
    assert again.learning_rate == cold.learning_rate / 2
    _, theirs, _ = open_model(starter.STARTER, starter.PICTURES)
    own = new_state(again, "cpu").network.state_dict()
    assert all(torch.equal(own[name], value) for name, value in theirs.state_dict().items())
    assert not torch.equal(new_state(cold, "cpu").network.state_dict()["evidence.weight"], own["evidence.weight"])


@pytest.mark.parametrize(("shape", "judged"), [((20, 20, 20), False), ((60, 10, 20), False), ((60, 100, 6), True)])
def test_what_is_too_small_for_a_head_is_not_judged(
    shape: tuple[int, int, int], judged: bool, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starter, "STARTER", small)
    reader = starter.Starter()
    # So that whatever is read is called abnormal.
    thresholds = reader.volumes.spec.thresholds.model_copy(update={"presence_low": 0.0, "presence_high": 0.0})
    reader.volumes.spec = reader.volumes.spec.model_copy(update={"thresholds": thresholds})
    affine = np.diag([2.0, 1.0, 2.0, 1.0])
    voxels = np.random.default_rng(0).uniform(1, 2, shape).astype(np.float32)
    said = reader.read(Study("cube", {"t1": Volume(Geometry(shape, affine), voxels)})).findings
    assert said.presence is not None
    assert (said.presence.decision == "abnormal") is judged
    assert any("too little for a head" in warning for warning in said.warnings) is not judged
