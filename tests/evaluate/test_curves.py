from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secondread.errors import DataError, UsageError
from secondread.evaluate.curves import read_history, smooth, verdict
from secondread.evaluate.plots import curves_svg

from .fakes import history


def made(train: Any, held: Any, accuracy: tuple[Any, Any] | None = None) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for at, (a, b) in enumerate(zip(train, held, strict=True)):
        line: dict[str, Any] = {"epoch": at + 1, "train": {"loss": float(a)}, "validation": {"loss": float(b)}}
        if accuracy is not None:
            line["train"]["accuracy"] = float(accuracy[0][at])
            line["validation"]["accuracy"] = float(accuracy[1][at])
        out.append(line)
    return out


T = np.arange(30)
FALL = 0.2 + 0.8 * np.exp(-T / 4)
NOISE = np.random.default_rng(1).normal(0, 0.4, 30)


def test_overfit_names_the_epoch_the_rise_and_the_points_lost() -> None:
    said = verdict(history(epochs=20, best=8))
    assert said.kind == "overfit"
    assert said.best_epoch is not None
    assert 7 <= said.best_epoch <= 9
    assert said.kept_epoch == 8
    assert "validation accuracy lost" in said.sentence
    assert "The model kept is that of epoch 8" in said.sentence
    assert "Try" in said.sentence


def test_overfit_is_told_through_noise() -> None:
    assert verdict(history(epochs=30, best=10, noise=0.03)).kind == "overfit"


def test_overfit_in_loss_alone_says_that_accuracy_did_not_suffer() -> None:
    held = FALL + 0.05 * np.maximum(0, T - 10)
    said = verdict(made(FALL, held, (0.5 + T / 100, 0.5 + T / 120)))
    assert said.kind == "overfit"
    assert "did not suffer" in said.sentence


def test_fits() -> None:
    said = verdict(made(FALL, FALL + 0.1, (np.full(30, 0.9), np.full(30, 0.88))))
    assert said.kind == "fits"
    assert "2.0 points apart" in said.sentence


def test_a_wide_gap_without_a_rise_fits_and_is_said() -> None:
    said = verdict(made(FALL - 0.19, FALL + 0.3, (np.full(30, 0.99), np.full(30, 0.75))))
    assert said.kind == "fits"
    assert "by heart" in said.sentence


@pytest.mark.parametrize(
    ("train", "held"),
    [
        (2 - T / 20, 2.1 - T / 20),  # falling to the end
        (np.full(30, 0.69), np.full(30, 0.693)),  # never learned
    ],
)
def test_underfit(train: Any, held: Any) -> None:
    assert verdict(made(train, held)).kind == "underfit"


def test_too_few_epochs() -> None:
    assert verdict(history(epochs=4)).kind == "too few epochs"
    assert verdict([]).kind == "too few epochs"


@pytest.mark.parametrize("seed", range(10))
def test_too_noisy(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 0.4, 30)
    assert verdict(made(FALL, 2 + noise)).kind == "too noisy to say"


def test_both_losses_rising_is_no_overfit() -> None:
    apart = np.concatenate([FALL[:15], FALL[14] + 0.1 * np.arange(15)])
    said = verdict(made(apart, apart + 0.1))
    assert said.kind == "too noisy to say"
    assert "came apart" in said.sentence


def test_a_loss_that_is_no_number() -> None:
    held = FALL.copy()
    held[20:] = np.nan
    said = verdict(made(FALL, held))
    assert said.kind == "too noisy to say"
    assert "epoch 21" in said.sentence


def curve(kind: str, epochs: int, generator: np.random.Generator) -> tuple[Any, Any]:
    """Losses of a run that fits, overfits, is still learning, learned nothing or jumps about; level, speed, noise and
    the epoch of the turn are drawn."""
    at = np.arange(epochs)
    noise = generator.normal(0, generator.uniform(0, 0.02), (2, epochs))
    fall = 0.2 + 0.8 * np.exp(-at / (epochs * generator.uniform(0.08, 0.15))) + noise
    if kind == "overfit":
        turn = int(epochs * generator.uniform(0.3, 0.6))
        return fall[0], fall[1] + 0.08 + generator.uniform(0.15, 0.6) * np.maximum(0, at - turn) / (epochs - turn)
    if kind == "underfit":
        return 1 - 0.5 * at / epochs + noise[0], 1.05 - 0.5 * at / epochs + noise[1]
    if kind == "nothing learned":
        return 0.69 + 0.3 * noise[0], 0.693 + 0.3 * noise[1]
    if kind == "too noisy to say":
        return fall[0], 1.5 + generator.normal(0, 0.4, epochs)
    return fall[0], fall[1] + 0.08


@pytest.mark.parametrize("epochs", [12, 30, 80])
@pytest.mark.parametrize(
    ("kind", "least"),
    [("fits", 90), ("overfit", 90), ("underfit", 95), ("nothing learned", 95), ("too noisy to say", 80)],
)
def test_the_rule_is_right_on_made_curves(kind: str, least: int, epochs: int) -> None:
    said = [verdict(made(*curve(kind, epochs, np.random.default_rng(seed)))).kind for seed in range(100)]
    assert said.count("underfit" if kind == "nothing learned" else kind) >= least  # type: ignore[arg-type]


def test_overfit_since_the_turn_by_the_points_lost() -> None:
    held = FALL + 0.05 * np.maximum(0, T - 12)
    accuracy = 0.9 - 0.01 * np.maximum(0, T - 12)
    said = verdict(made(FALL, held, (np.full(30, 0.95), accuracy)), {"optimizer": "adamw"})
    assert said.best_epoch is not None
    assert abs(said.best_epoch - 13) <= 1
    assert said.points == pytest.approx(16, abs=1.5)
    assert f"Overfit since epoch {said.best_epoch}" in said.sentence
    assert "overfit" in curves_svg(made(FALL, held), said)
    assert f"overfit since epoch {said.best_epoch}" in curves_svg(made(FALL, held), said)


PLAN: dict[str, Any] = {
    "optimizer": "rmsprop",
    "learning_rate": 0.003,
    "loss": "bce",
    "batch": 8,
    "epochs": 30,
    "minutes": None,
    "network": {"name": "segresnet", "width": 32},
    "recipe": {"size": [48, 48], "spacing": None},
    "task": {"located": False},
}


def test_advice_names_what_the_plan_has_not_used() -> None:
    held = FALL + 0.05 * np.maximum(0, T - 12)
    first = verdict(made(FALL, held), PLAN).steps
    assert first[0] == "weight decay (--optimizer adamw, not rmsprop)"
    assert first[1] == "softer labels (--loss label-smoothing)"
    assert first[2].startswith("fewer epochs (--epochs 1")
    second = verdict(made(FALL, held), PLAN | {"optimizer": "adamw", "loss": "label-smoothing"}).steps
    assert not set(second) & set(first[:2])
    assert "a smaller network (width: 16 in the plan, not 32)" in second
    masks = verdict(made(FALL, held), PLAN | {"task": {"located": True}}).steps
    assert not any("label-smoothing" in step for step in masks)


@pytest.mark.parametrize(
    ("curves", "plan", "step"),
    [
        ((2 - T / 20, 2.1 - T / 20), PLAN, "more epochs (--epochs 60, not 30)"),
        ((2 - T / 20, 2.1 - T / 20), PLAN | {"minutes": 9.0}, "more time (--minutes 18, not 9)"),
        ((np.full(30, 0.69), np.full(30, 0.69)), PLAN, "another optimizer (--optimizer adamw, not rmsprop)"),
        ((FALL, 2 + NOISE), PLAN, "a smaller learning rate (--learning-rate 0.001, not 0.003)"),
        ((FALL, 2 + NOISE), PLAN, "a larger batch (--batch 16, not 8)"),
        ((FALL, FALL + 0.1), PLAN, "larger pictures (--size 96, not 48)"),
        ((FALL, FALL + 0.1), PLAN | {"recipe": {"spacing": [3.0, 3.0, 4.0]}}, "a finer grid (--spacing 1.5, not 3)"),
        ((FALL, 2 + NOISE), {}, "a smaller learning rate"),
        ((FALL[:4], FALL[:4]), {}, "more epochs (--epochs 10, not 4)"),
    ],
)
def test_advice_for_each_verdict(curves: tuple[Any, Any], plan: dict[str, Any], step: str) -> None:
    said = verdict(made(*curves), plan)
    assert step in said.steps
    assert f"{step}" in said.sentence
    assert len(said.steps) <= 3


def test_advice_parses_as_a_command_line() -> None:
    from secondread.train.plan import check_overrides

    for name, value in (("optimizer", "adamw"), ("loss", "label-smoothing"), ("width", 16), ("size", 96)):
        check_overrides({name: value})


def test_smoothing_leaves_a_line_as_it_is_and_damps_the_last_epoch() -> None:
    line = np.linspace(3, 1, 27)
    assert smooth(line)[2:-2] == pytest.approx(line[2:-2])
    spike = np.zeros(27)
    spike[-1] = 3
    assert smooth(spike)[-1] == 1


def test_history_cut_short_by_a_kill_is_read(tmp_path: Path) -> None:
    text = "".join(json.dumps(line) + "\n" for line in history(3)) + '{"epoch": 4, "tra'
    (tmp_path / "history.jsonl").write_text(text)
    assert len(read_history(tmp_path)) == 3


def test_history_that_is_damaged_or_absent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"history\.jsonl"):
        read_history(tmp_path)
    (tmp_path / "history.jsonl").write_text('nonsense\n{"epoch": 1}\n')
    with pytest.raises(DataError, match="line 1"):
        read_history(tmp_path)
    (tmp_path / "history.jsonl").write_text("[1]\n")
    with pytest.raises(DataError, match="line 1"):
        read_history(tmp_path)


def test_picture_of_the_curves_speaks_and_follows_the_page() -> None:
    svg = curves_svg(history())
    assert svg.count("<svg") == 1
    assert 'role="img" aria-label="Training curves over 12 epochs' in svg
    assert "var(--series-1)" in svg
    assert "<text" in svg
    for colour in ("#0102", "#1000", "<metadata", "DejaVu"):
        assert colour not in svg
    assert svg == curves_svg(history())
