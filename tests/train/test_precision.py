"""In how many bits is trained: what the device has decides, and a model is told what it was trained in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from secondread.errors import UsageError
from secondread.index import Index
from secondread.infer import load_model
from secondread.models import precision_of
from secondread.train import check_overrides, train
from secondread.train.loop import trained_in


@pytest.mark.parametrize(
    ("units", "precision"),
    [
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": False, "avx2": True}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_it_is_half_where_the_processor_has_it(
    units: dict[str, bool], precision: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: units)
    assert precision_of("auto", "cpu", 2) == precision
    assert precision_of("auto", "cpu", 3) == torch.float32
    assert precision_of("float32", "cpu", 2) == torch.float32
    assert precision_of("bfloat16", "cpu", 2) == torch.bfloat16


def test_cards_graphics_are_asked_for_their_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    for has, precision in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has=has, **_: has)
        assert precision_of("auto", "cuda", 2) == precision
        assert precision_of("auto", "cuda", 3) == precision


def test_both_train_and_a_model_is_told_what_it_was_trained_in(pictures: Index, tmp_path: Path) -> None:
    weights = {}
    for precision in ("float32", "bfloat16"):
        run = tmp_path / precision
        train(pictures, run, overrides={"size": 48, "width": 8, "epochs": 1, "samples": 16, "precision": precision})
        assert load_model(run).spec.trained_on["precision"] == precision
        assert precision in (run / "model" / "CARD.md").read_text()
        assert json.loads((run / "history.jsonl").read_text())["precision"] == precision
        weights[precision] = load_file(run / "model" / "weights.safetensors")
    differing = [name for name, value in weights["float32"].items() if not value.equal(weights["bfloat16"][name])]
    assert len(differing) > len(weights["float32"]) / 2


def test_volumes_are_not_trained_in_half_on_a_processor(volumes: Index, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="gradients come out wrong"):
        train(volumes, tmp_path / "run", overrides={"epochs": 1, "samples": 2, "width": 8, "precision": "bfloat16"})
    assert not (tmp_path / "run" / "store").exists()


def test_a_run_that_went_on_elsewhere_has_both() -> None:
    history = [{"precision": "bfloat16"}, {"precision": "bfloat16"}, {"precision": "float32"}]
    assert trained_in(history) == "bfloat16 and float32"
    assert trained_in([{}]) == "float32"


def test_what_is_chosen_for_hardware_is_said(pictures: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    said: list[str] = []
    train(pictures, tmp_path / "run", overrides={"size": 48, "width": 8, "epochs": 1, "samples": 8}, say=said.append)
    assert any("trained in bfloat16" in line and "--precision float32" in line for line in said)


def test_another_precision_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="auto, float32 or bfloat16"):
        check_overrides({"precision": "float16"})
