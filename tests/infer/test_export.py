"""The bundle says what the model says, or is not written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from secondread.errors import ChecksumError, RefusedError, UsageError
from secondread.infer import ModelSpec, load_model, open_model, save_model
from secondread.infer import export as room
from secondread.infer import runtime as runtimes
from secondread.infer.export import export_bundle
from secondread.infer.runtime import Exported, fastest
from secondread.models import NetworkSpec, Task, build
from secondread.volume import Picture, Recipe, Study

pytest.importorskip("onnxruntime", reason="the export extra is not installed")
pytest.importorskip("onnxscript", reason="the export extra is not installed")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    spec = ModelSpec(
        name="small",
        version="0",
        task=Task(("a", "b"), "normal", located=True),
        network=NetworkSpec("segresnet", 2, 1, 2, width=8),
        recipe=Recipe(("grey",), size=(64, 64)),
        patch=(64, 64),
    )
    torch.manual_seed(0)
    save_model(tmp_path / "model", spec, build(spec.network).state_dict(), "# card\n")
    return tmp_path / "model"


def test_a_bundle_is_a_model_with_onnx_beside(model: Path, tmp_path: Path) -> None:
    out = export_bundle(model, tmp_path / "bundle")
    assert "model.onnx" in json.loads((out / "manifest.json").read_text())
    assert open_model(out)[2] == open_model(model)[2], "the bundle is the same model"


def test_a_network_that_says_something_else_is_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "TOLERANCE", 0.0)
    with pytest.raises(RefusedError, match="differs"):
        export_bundle(model, tmp_path / "bundle")
    assert list((tmp_path / "bundle").iterdir()) == [], "nothing there that reads as a model"


def test_a_model_is_not_exported_onto_itself(model: Path) -> None:
    with pytest.raises(UsageError, match="another folder"):
        export_bundle(model, model)


def test_masks_that_change_are_refused(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MASK_CHANGE", -1.0)
    with pytest.raises(RefusedError, match="masks differ"):
        export_bundle(model, tmp_path / "bundle")


def test_a_bundle_is_read_with_another_runtime_to_the_same_findings(model: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (70, 60, 1)).astype(np.uint8)
    study = Study("one", picture=Picture(pixels))
    export_bundle(model, tmp_path / "bundle", [study])
    spec, network, _ = open_model(tmp_path / "bundle")
    runtime = fastest(tmp_path / "bundle", spec, network, "cpu")
    assert isinstance(runtime, Exported)
    ours, theirs = load_model(model).read(study), load_model(tmp_path / "bundle").read(study)
    assert np.abs(ours.evidence - theirs.evidence).max() < 1e-3
    assert ours.present == pytest.approx(theirs.present, abs=1e-3)
    assert fastest(model, spec, network, "cpu") is None, "a model without ONNX is read with torch"
    (tmp_path / "bundle" / "model.onnx").write_bytes(b"other")
    with pytest.raises(ChecksumError, match=r"model\.onnx"):
        load_model(tmp_path / "bundle")


@pytest.mark.parametrize("breaks", ["when it is loaded", "when it runs"])
def test_a_broken_openvino_is_left_out_with_a_warning(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, breaks: str
) -> None:
    def broken(_: object) -> list[np.ndarray]:
        raise RuntimeError("no plugin for this processor")

    export_bundle(model, tmp_path / "bundle")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr(runtimes, "openvino_session", broken if breaks == "when it is loaded" else lambda _: broken)
    spec, network, _ = open_model(tmp_path / "bundle")
    with pytest.warns(RuntimeWarning, match="OpenVINO cannot run"):
        runtime = fastest(tmp_path / "bundle", spec, network, "cpu")
    assert isinstance(runtime, Exported), "pictures go on to ONNX Runtime"
    assert runtime(torch.zeros(1, 1, 64, 64)).presence.shape == (1,)
