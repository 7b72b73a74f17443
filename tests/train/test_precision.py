"""In how many bits is trained: what the device has decides, and a model is told what it was trained in."""

from __future__ import annotations

import pytest
import torch

from secondread.errors import UsageError
from secondread.index import Index
from secondread.infer import load_model
from secondread.train import check_overrides, train
from secondread.train.precision import precision_of


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
    assert precision_of("auto", "cpu") == precision
    assert precision_of("float32", "cpu") == torch.float32
    assert precision_of("bfloat16", "cpu") == torch.bfloat16


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_model_is_told_what_it_was_trained_in(
    precision: str, pictures: Index, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = tmp_path_factory.mktemp("runs") / precision
    said: list[str] = []
    overrides = {"size": 48, "width": 8, "epochs": 1, "samples": 16, "precision": precision}
    train(pictures, run, overrides=overrides, say=said.append)
    reader = load_model(run)
    assert reader.spec.trained_on["precision"] == precision
    assert any("bfloat16" in line for line in said) == (precision == "bfloat16")
    assert precision in (run / "model" / "CARD.md").read_text()


def test_another_precision_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="auto, float32 or bfloat16"):
        check_overrides({"precision": "float16"})
