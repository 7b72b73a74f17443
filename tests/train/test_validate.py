"""Metrics watched during training, and the thresholds that follow from validation."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from secondread.infer import calibrated
from secondread.infer.brightness import WEIGHTS
from secondread.models import NetworkSpec, Output, Target, Task, build, loss_for
from secondread.store import Batch, Case
from secondread.train.checkpoint import Progress, State
from secondread.train.loop import FEWEST_GROUPS, close_epoch, too_few
from secondread.train.validate import Tally, score, validate

TASK = Task(("a", "b"), "normal", located=True)


def batch(presence: list[float], category: list[list[float]], abnormal: list[int], which: list[int]) -> Tally:
    n = len(presence)
    tally = Tally(TASK)
    tally.add(
        Output(torch.zeros(n, 2, 4, 4), torch.tensor(presence), torch.tensor(category)),
        Target(
            torch.tensor(abnormal), torch.tensor(which), torch.zeros(n, 4, 4, dtype=torch.uint8), torch.zeros(n).bool()
        ),
        1.0,
    )
    return tally


def test_accuracy_is_over_all_classes() -> None:
    # normal said normal; a said a; b said a; a said normal
    tally = batch([-5, 5, 5, -5], [[0, 0], [3, 0], [3, 0], [3, 0]], [0, 1, 1, 1], [-1, 0, 1, 0])
    assert tally.metrics()["accuracy"] == pytest.approx(0.5)
    assert tally.metrics()["presence_auc"] == pytest.approx((1 + 1 + 0.5) / 3)


def test_who_teaches_a_category_alone_is_not_asked_for_presence() -> None:
    # The second is of b for sure, and does not say whether something is there.
    tally = batch([5, -5], [[3, 0], [0, 3]], [1, -1], [0, 1])
    assert tally.metrics()["accuracy"] == 1.0
    assert len(tally.category) == 2


def test_loss_is_weighed_by_batch_size() -> None:
    tally = batch([0.0], [[0, 0]], [0], [-1])
    tally.losses.append((4.0, 3))
    assert tally.metrics()["loss"] == pytest.approx((1 + 12) / 4)


def test_dice_counts_only_lesions() -> None:
    tally = Tally(TASK)
    evidence = torch.full((2, 2, 4, 4), -20.0)
    evidence[0, 0, :2] = 20.0
    masks = torch.zeros(2, 4, 4, dtype=torch.uint8)
    masks[0, 1:3] = 1
    known = torch.tensor([True, True])
    tally.add(
        Output(evidence, torch.zeros(2), torch.zeros(2, 2)),
        Target(torch.tensor([1, 0]), torch.tensor([0, -1]), masks, known),
        0.0,
    )
    assert tally.metrics()["dice"] == pytest.approx(0.5)


def test_thresholds_leave_a_band_where_the_classes_cross() -> None:
    rng = np.random.default_rng(0)
    normal, abnormal = rng.normal(-1, 1, 200), rng.normal(1, 1, 200)
    presence = [*normal.tolist(), *abnormal.tolist()]
    tally = batch(presence, [[0.0, 0.0]] * 400, [0] * 200 + [1] * 200, [-1] * 400)
    limits, promise = tally.calibration(0.05)
    p = np.array([calibrated(z, limits) for z in presence])
    assert np.mean(p[200:] < limits.presence_low) == pytest.approx(0.05, abs=0.01)
    assert np.mean(p[:200] >= limits.presence_high) == pytest.approx(0.05, abs=0.01)
    assert promise is not None
    assert promise.normal.made
    assert promise.abnormal.made
    assert limits.presence_low < limits.presence_high


def test_separated_classes_leave_no_band() -> None:
    tally = batch([-4.0] * 10 + [4.0] * 10, [[0.0, 0.0]] * 20, [0] * 10 + [1] * 10, [-1] * 20)
    limits, _ = tally.calibration()
    assert limits.presence_low == limits.presence_high == pytest.approx(0.5, abs=0.01)


def test_too_few_studies_fit_nothing() -> None:
    limits = batch([-4.0, 4.0], [[9.0, 0.0]] * 2, [0, 1], [-1, 0]).calibration()[0]
    assert (limits.presence_low, limits.presence_high, limits.temperature) == (0.5, 0.5, 1.0)


def test_temperature_tempers_the_overconfident() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 300)
    right = rng.random(300) < 0.75
    said = np.where(right, truth, 1 - truth)
    logits = [[8.0, 0.0] if guess == 0 else [0.0, 8.0] for guess in said]
    temperature = batch([5.0] * 300, logits, [1] * 300, truth.tolist()).calibration()[0].temperature
    confidence = torch.tensor([8.0 / temperature, 0.0]).softmax(0)[0].item()
    assert temperature > 3
    # The bound on the search keeps it from going all the way to 0.75.
    assert 0.7 < confidence < 0.9


def test_the_best_epoch_is_chosen_by_what_matters() -> None:
    assert score({"loss": 2.0, "accuracy": 0.9}) > score({"loss": 0.1, "accuracy": 0.8})
    assert score({"loss": 0.1, "accuracy": 0.9}) > score({"loss": 2.0, "accuracy": 0.9})
    assert score({"loss": 0.1}) > score({"loss": 0.2})


@pytest.mark.parametrize(("last", "kept"), [(False, 1), (True, 3)])
def test_too_few_patients_choose_no_epoch(last: bool, kept: int) -> None:
    network = torch.nn.Linear(1, 1)
    state = State(network, network, torch.optim.SGD(network.parameters(), 0.1), {}, Progress())  # type: ignore[arg-type]
    for epoch, accuracy in enumerate((0.9, 0.5, 0.6), 1):
        with torch.no_grad():
            network.bias.fill_(epoch)
        close_epoch(state, {"loss": 1.0}, {"loss": 1.0, "accuracy": accuracy}, 1.0, torch.float32, last=last)
    assert state.best["bias"].item() == kept
    assert state.progress.best_epoch == kept
    assert [line["best"] for line in state.progress.history] == ([True] * 3 if last else [True, False, False])


def counts(*dice: float) -> dict[str, NDArray[np.int64]]:
    """Of one study, overlaps that come to these Dice."""
    return {"s": np.array([[round(10_000 * one), 10_000, 10_000] for one in dice])}


def test_slices_of_a_study_have_one_dice_to_which_false_marks_count() -> None:
    evidence = torch.full((3, 1, 8, 8), -9.0)
    masks = torch.zeros(3, 8, 8, dtype=torch.uint8)
    masks[0, :4], masks[1, :2] = 1, 1
    evidence[0, :, :4] = 9.0
    target = Target(torch.tensor([1, 1, 0]), torch.tensor([0, 0, -1]), masks, torch.ones(3).bool())
    task = Task(("lesion",), None, located=True)
    found = []
    for false_marks in (False, True):
        if false_marks:
            evidence[2] = 9.0
        tally = Tally(task)
        tally.add(Output(evidence, torch.zeros(3), torch.zeros(3, 1)), target, 0.0, studies=["a", "a", "a"])
        found.append(tally.metrics()["dice"])
    assert found == pytest.approx([2 * 32 / (32 + 48), 2 * 32 / (96 + 48)])
    # As studies of their own: one found, one missed, and nothing is said of the third.
    apart = Tally(task)
    apart.add(Output(evidence, torch.zeros(3), torch.zeros(3, 1)), target, 0.0)
    assert apart.metrics()["dice"] == pytest.approx(0.5)


def test_too_few_patients_choose_no_level_of_the_mask() -> None:
    tally = batch([3.0, -3.0], [[1.0, 0.0], [0.0, 1.0]], [1, 0], [0, -1])
    tally.overlaps[0.0] = counts(0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
    assert tally.calibration()[0].mask == 0.2
    assert tally.calibration(few_patients=True)[0].mask == 0.5


@pytest.mark.parametrize(("patients", "few"), [(FEWEST_GROUPS - 1, True), (FEWEST_GROUPS, False)])
def test_studies_of_one_patient_are_one_voice(patients: int, few: bool) -> None:
    assert too_few(held(50, patients, normal=False)) is few
    assert not too_few([])  # of simulated samples, each is a patient of its own


def test_few_patients_with_a_lesion_choose_no_epoch_among_many_without() -> None:
    healthy = held(40, 40, normal=True)
    assert too_few([*healthy, *held(90, 3, normal=False)])
    assert too_few([*healthy, *held(90, 3, normal=None, voxels=5)])
    assert not too_few([*healthy, *held(90, FEWEST_GROUPS, normal=False)])
    assert not too_few([*held(90, 90, normal=False), *held(1, 1, normal=True)])
    # Without a normal class a label alone says nothing of lesions.
    assert not too_few([*held(40, 40, normal=None, voxels=5), *held(3, 3, normal=None)])
    assert not too_few(held(40, 40, normal=None))
    # Who has a label and no mask counts, beside a few who are outlined.
    assert not too_few([*held(40, 40, normal=None), *held(3, 3, normal=None, voxels=5)])
    assert too_few([*healthy, *held(40, 40, normal=None, label=None), *held(3, 3, normal=None, voxels=5, label=None)])


def held(
    studies: int, patients: int, *, normal: bool | None, voxels: int = 0, label: str | None = "kind"
) -> list[Case]:
    cases = (
        SimpleNamespace(group=f"{normal}-{voxels}-{n % patients}", normal=normal, mask_voxels=voxels, label=label)
        for n in range(studies)
    )
    return list(cases)  # type: ignore[arg-type]


def test_what_came_apart_has_a_loss_and_no_other_figure() -> None:
    tally = batch([3.0, -3.0], [[1.0, 0.0], [0.0, 1.0]], [1, 0], [0, -1])
    assert "presence_auc" in tally.metrics()
    tally.presence.append((math.nan, 1, "other"))
    tally.losses.append((math.nan, 1))
    assert "presence_auc" not in tally.metrics()
    assert math.isnan(tally.metrics()["loss"])


def test_brightness_must_gain_over_the_best_level_of_evidence_alone() -> None:
    tally = Tally(TASK)
    tally.overlaps = {0.0: counts(0.6, 0.5, 0.5, 0.5, 0.5, 0.5), 4.0: counts(0.6001, 0.5, 0.5, 0.5, 0.5, 0.5)}
    assert tally.mask_rule() == (0.0, 0.2)
    tally.overlaps[4.0] = counts(0.5, 0.5, 0.5, 0.62, 0.5, 0.5)
    assert tally.mask_rule() == (4.0, 0.5)


@pytest.mark.parametrize("masks", [False, True])
def test_ways_of_making_masks_are_tried_where_asked(masks: bool) -> None:
    network = build(NetworkSpec("segresnet", 2, 1, 2, width=8))
    lesion = torch.zeros(1, 32, 32, dtype=torch.uint8)
    lesion[:, 8:16, 8:16] = 1
    known = torch.tensor([True])
    batch = Batch(torch.randn(1, 1, 32, 32), lesion, known, torch.tensor([0]), torch.tensor([1]), ["s"])
    tally = validate(network, [batch], loss_for("dice-bce"), TASK, (32, 32), "cpu", masks=masks)
    assert tuple(tally.overlaps) == (WEIGHTS if masks else (0.0,))


@pytest.mark.parametrize("few", [False, True])
def test_brightness_counts_where_it_makes_better_masks(few: bool) -> None:
    image = torch.full((1, 1, 48, 48), -2.0)
    image[..., 3:-3, 3:-3] = 1 + 0.2 * torch.randn(42, 42, generator=torch.Generator().manual_seed(0))
    masks, evidence = torch.zeros(1, 48, 48, dtype=torch.uint8), torch.full((1, 2, 48, 48), -3.0)
    masks[:, 10:30, 10:30] = 1
    image[0, 0, masks[0] > 0] += 3
    evidence[..., 14:26, 14:26] = 3.0
    tally = Tally(TASK)
    target = Target(torch.tensor([1]), torch.tensor([0]), masks, torch.tensor([True]))
    tally.add(Output(evidence, torch.zeros(1), torch.zeros(1, 2)), target, 0.0, images=image)
    fitted, _ = tally.calibration(few_patients=few)
    assert (fitted.brightness > 0) is not few
    rules = tally.dice_by_rule()
    assert rules[2.0, 0.5] > rules[0.0, 0.5] + 0.2
    assert tally.metrics()["dice"] == pytest.approx(rules[0.0, 0.5])
    assert tally.dice_of(fitted)["dice"] == pytest.approx(rules[0.0, 0.5] if few else max(rules.values()))
