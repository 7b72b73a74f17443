"""Windows, mirrors, thresholds and regions."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef

from secondread.errors import ChecksumError, DataError
from secondread.infer import ModelSpec, Reader, Thresholds, decide, load_model, open_model, predict, save_model
from secondread.infer.familiarity import Strangeness
from secondread.infer.predict import AIR_LOGIT
from secondread.models import NetworkSpec, Output, SecondReader, Task, build
from secondread.volume import Geometry, Picture, Recipe, Study, Volume


def volume_spec(**changes: object) -> ModelSpec:
    base = ModelSpec(
        name="small",
        version="0",
        task=Task(("a", "b"), "normal", located=True),
        network=NetworkSpec("segresnet", 3, 2, 2, width=8),
        recipe=Recipe(("t1", "flair"), spacing=(4.0, 4.0, 4.0)),
        patch=(32, 32, 32),
    )
    return base.model_copy(update=changes)


def picture_spec() -> ModelSpec:
    return ModelSpec(
        name="p",
        version="0",
        task=Task(("cat", "dog"), None, located=False),
        network=NetworkSpec("segresnet", 2, 3, 2, width=8, decoder=False),
        recipe=Recipe(("red", "green", "blue"), size=(64, 64)),
        patch=(64, 64),
    )


def network_of(spec: ModelSpec) -> SecondReader:
    torch.manual_seed(0)
    return build(spec.network).eval()


def head(shape: tuple[int, int, int] = (40, 44, 36), seed: int = 0) -> Volume:
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    inside = (grid**2).sum(0) < 0.8
    voxels = (inside * (400 + 50 * rng.normal(size=shape))).clip(0).astype(np.float32)
    return Volume(Geometry(shape, np.diag([-3.0, 3.0, 3.0, 1.0])), voxels)


def test_windows_agree_with_one_go_where_the_network_sees_enough() -> None:
    spec = volume_spec()
    network = network_of(spec)
    images = torch.randn(1, 2, 48, 32, 32)
    whole = predict(network, images, (48, 32, 32))
    windowed = predict(network, images, (32, 32, 32))
    assert windowed.evidence.shape == whole.evidence.shape
    assert torch.isfinite(windowed.evidence).all()
    # GroupNorm sees another neighbourhood in each window, so close and not equal.
    assert (windowed.evidence - whole.evidence).abs().mean() < 0.3


def test_windows_cover_every_voxel() -> None:
    network = network_of(volume_spec())
    out = predict(network, torch.zeros(1, 2, 70, 33, 81), (32, 32, 32))
    assert torch.isfinite(out.evidence).all()


def test_a_window_s_evidence_is_let_go_once_it_is_blended() -> None:
    held: list[StorageWeakRef] = []

    class Keeps(SecondReader):
        def forward(self, images: torch.Tensor, precision: torch.dtype = torch.float32) -> Output:
            # That of this window is not there yet; that of the one before may still be.
            assert sum(not one.expired() for one in held) <= 1
            out = super().forward(images, precision)
            held.append(StorageWeakRef(out.evidence.untyped_storage()))
            return out

    spec = volume_spec()
    predict(Keeps(spec.network).eval(), torch.randn(1, spec.network.channels, 64, 64, 64), (16, 32, 32))
    assert len(held) > 8


@pytest.mark.parametrize("dimensions", [2, 3])
def test_mirrored_scans_get_mirrored_evidence(dimensions: int) -> None:
    torch.manual_seed(0)
    network = build(NetworkSpec("segresnet", dimensions, 1, 1, width=8)).eval()
    images = torch.randn(1, 1, *[32] * dimensions)
    axis = 2 if dimensions == 3 else 3
    a = predict(network, images, [32] * dimensions, mirror=True)
    b = predict(network, images.flip(axis), [32] * dimensions, mirror=True)
    assert torch.allclose(a.evidence, b.evidence.flip(axis), atol=1e-4)
    assert torch.allclose(a.presence, b.presence, atol=1e-4)


def test_a_reading_lies_on_the_scan_s_own_grid() -> None:
    spec = volume_spec(thresholds=Thresholds(mask=0.01, presence_low=0.0, presence_high=0.0))
    reading = Reader(spec, network_of(spec), "0" * 64).read(Study("one", {"flair": head()}))
    assert reading.mask.shape == (40, 44, 36)
    assert reading.evidence.shape == (2, 40, 44, 36)
    assert reading.findings.presence is not None
    assert reading.findings.presence.decision == "abnormal"
    assert sum(reading.categories.values()) == pytest.approx(1)
    assert any("t1" in warning for warning in reading.findings.warnings)


def test_brightness_moves_evidence_and_not_presence() -> None:
    limits = Thresholds(presence_low=0.0, presence_high=0.0)
    plain, moved = (
        Reader(spec, network_of(spec), "0" * 64).read(Study("one", {"flair": head()}))
        for spec in (volume_spec(thresholds=limits.model_copy(update={"brightness": b})) for b in (0.0, 4.0))
    )
    assert np.abs(plain.evidence - moved.evidence).max() > 0.01
    assert plain.present == moved.present
    assert plain.categories == moved.categories


def test_location_is_in_lps_mm() -> None:
    spec = volume_spec(thresholds=Thresholds(mask=0.01, presence_low=0.0, presence_high=0.0))
    scan = head()
    reading = Reader(spec, network_of(spec), "0" * 64).read(Study("one", {"flair": scan}))
    assert reading.findings.locations, "evidence above 1 % is everywhere in an untrained network"
    for place in reading.findings.locations:
        inside = np.argwhere(reading.mask == place.label)
        assert place.center_mm is not None
        low, high = scan.geometry.to_mm(inside.min(0)), scan.geometry.to_mm(inside.max(0))
        assert (np.minimum(low, high) <= place.center_mm).all()
        assert (np.asarray(place.center_mm) <= np.maximum(low, high)).all()


def test_a_normal_decision_marks_nothing() -> None:
    spec = volume_spec(thresholds=Thresholds(mask=0.01, presence_low=1.0, presence_high=1.0))
    reading = Reader(spec, network_of(spec), "0" * 64).read(Study("one", {"flair": head()}))
    assert reading.findings.presence is not None
    assert reading.findings.presence.decision == "normal"
    assert not reading.mask.any()
    assert reading.findings.locations == ()


def test_an_unnamed_series_is_taken_for_the_only_contrast_with_a_warning() -> None:
    spec = volume_spec(
        recipe=Recipe(("t1",), spacing=(4.0, 4.0, 4.0)), network=NetworkSpec("segresnet", 3, 1, 2, width=8)
    )
    reading = Reader(spec, network_of(spec), "0" * 64).read(Study("one", {"image": head()}))
    assert any("'image'" in warning for warning in reading.findings.warnings)


def test_what_the_model_cannot_read_is_refused() -> None:
    reader = Reader(volume_spec(), network_of(volume_spec()), "0" * 64)
    with pytest.raises(DataError, match="reads t1, flair"):
        reader.read(Study("one", {"t2": head(), "pd": head()}))
    with pytest.raises(DataError, match="picture"):
        reader.read(Study("two", picture=Picture(np.zeros((32, 32, 1), np.uint8))))
    blank = Volume(head().geometry, np.zeros(head().voxels.shape, np.float32))
    with pytest.raises(DataError, match="nothing to read"):
        reader.read(Study("three", {"t1": blank}))


@pytest.mark.parametrize(("p", "word"), [(0.1, "normal"), (0.3, "unsure"), (0.69, "unsure"), (0.7, "abnormal")])
def test_decisions_follow_the_thresholds(p: float, word: str) -> None:
    assert decide(p, volume_spec(thresholds=Thresholds(presence_low=0.3, presence_high=0.7))) == word
    assert decide(None, volume_spec()) is None


def test_a_model_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    spec = volume_spec()
    network = network_of(spec)
    save_model(tmp_path / "m", spec, network.state_dict(), "# card\n")
    again, loaded, sha256 = open_model(tmp_path / "m")
    assert again == spec
    assert len(sha256) == 64
    for name, value in network.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name])


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors", "CARD.md", "manifest.json"])
def test_a_changed_byte_is_noticed(tmp_path: Path, name: str) -> None:
    spec = volume_spec()
    save_model(tmp_path, spec, network_of(spec).state_dict(), "# card\n")
    content = bytearray((tmp_path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(bytes(content))
    with pytest.raises((ChecksumError, DataError)):
        load_model(tmp_path)


@pytest.mark.parametrize("changed", [{"width": 16}, {"width": 800_000}, {"channels": 10**6}, {"name": "nope"}])
def test_a_description_that_its_weights_do_not_fit_is_bad_data(tmp_path: Path, changed: dict[str, object]) -> None:
    spec = volume_spec()
    save_model(tmp_path, spec, network_of(spec).state_dict(), "# card\n")
    told = spec.model_dump(mode="json")
    told["network"] |= changed
    (tmp_path / "model.json").write_text(json.dumps(told))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["model.json"] = hashlib.sha256((tmp_path / "model.json").read_bytes()).hexdigest()
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"not the weights|does not fit"):
        load_model(tmp_path)


def test_no_model_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no model"):
        load_model(tmp_path)


def test_thresholds_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValueError, match="above"):
        Thresholds(presence_low=0.8, presence_high=0.2)


def test_the_picture_path_gives_pixels() -> None:
    spec = picture_spec()
    pixels = np.random.default_rng(0).integers(0, 255, (50, 90, 3)).astype(np.uint8)
    reading = Reader(spec, network_of(spec), "0" * 64).read(Study("cat1", picture=Picture(pixels)))
    assert reading.present is None
    assert reading.findings.presence is None
    assert reading.mask.shape == (50, 90)
    assert not reading.mask.any()
    assert {c.name for c in reading.findings.categories} == {"cat", "dog"}
    assert replace(reading.findings, mask="x").to_json()["mask"] == "x"


def test_windows_of_air_are_not_read() -> None:
    network, calls = network_of(volume_spec()), []

    class Counting:
        spec = network.spec

        def __call__(self, images: torch.Tensor, /) -> Output:
            calls.append(images.shape)
            return network(images)  # type: ignore[no-any-return]

    images = torch.full((1, 2, 128, 32, 32), -2.0)
    images[:, :, :30] = torch.rand(1, 2, 30, 32, 32)
    out = predict(Counting(), images, (32, 32, 32))
    assert len(calls) == 2, "of seven windows along the first axis two hold tissue"
    assert (out.evidence[:, :, 64:] == AIR_LOGIT).all()
    assert torch.isfinite(out.evidence).all()
    assert out.features is not None


@pytest.mark.parametrize("version", [1, 2])
def test_a_model_of_an_earlier_format_still_loads(tmp_path: Path, version: int) -> None:
    spec = volume_spec()
    plain = spec.model_dump(mode="json") | {"format_version": version}
    del plain["thresholds"]["brightness"]
    if version == 1:
        del plain["promise"], plain["familiarity"]
        del plain["thresholds"]["presence_scale"], plain["thresholds"]["presence_shift"]
    save_model(tmp_path, spec, network_of(spec).state_dict(), "# card\n")
    content = json.dumps(plain).encode()
    (tmp_path / "model.json").write_bytes(content)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"model.json": hashlib.sha256(content).hexdigest()}))
    reader = load_model(tmp_path)
    assert reader.spec.familiarity is None
    assert reader.read(Study("one", {"flair": head()})).findings.presence is not None


def test_a_stranger_is_unsure_with_the_warning_first(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = volume_spec(thresholds=Thresholds(presence_low=0.0, presence_high=0.0))
    reader = Reader(spec, network_of(spec), "0" * 64)
    study = Study("one", {"flair": head()})
    sure = reader.read(study).findings.presence
    monkeypatch.setattr(Reader, "_strangeness", lambda *_: Strangeness(3.0, 1.5, "layout"))
    findings = reader.read(study).findings
    assert sure is not None
    assert findings.presence is not None
    assert (sure.decision, findings.presence.decision) == ("abnormal", "unsure")
    assert findings.presence.probability == sure.probability
    assert "does not look like" in findings.warnings[0]
    assert "outline" in findings.warnings[0]
