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
