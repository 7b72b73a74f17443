"""Scans unlike those of training are noticed, and scans like them are not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from secondread.index import build_index
from secondread.infer import Familiarity, load_model
from secondread.infer.familiarity import Acquaintance
from secondread.models import NetworkSpec, build
from secondread.simulate import NORMAL, Settings, simulate_study
from secondread.store import Batch
from secondread.train import train
from secondread.train.acquaint import SPOILERS, fit_familiarity, spoil, upper_quantile
from secondread.volume import Picture, Recipe, Study, prepare
from tests.infer.nonheads import non_heads
from tests.infer.strangers import strangers

Floats = NDArray[np.float32]
RECIPE = Recipe(("grey",), size=(48, 48))


def head(rng: np.random.Generator) -> Floats:
    """A picture (rows, columns) with a top and a bottom: an egg with a bright rim, two dark eyes below the middle."""
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    r = np.hypot(x / rng.uniform(0.7, 0.8) * (1 + 0.25 * y), y / rng.uniform(0.85, 0.95))
    out = np.where(r < 1, 0.5 + 0.1 * np.sin(9 * x + rng.uniform(0, 6)) * np.cos(8 * y), 0) + 0.5 * (
        (r < 1) & (r > 0.9)
    )
    for side in (-0.3, 0.3):
        out[np.hypot(x - side, y - 0.4) < rng.uniform(0.1, 0.16)] = 0.1
    return np.asarray(out + rng.normal(0, 0.03, out.shape), np.float32)


def prepared(picture: NDArray[np.generic]) -> Floats:
    plain = np.asarray(picture, np.float64)
    grey = (255 * (plain - plain.min()) / np.ptp(plain)).astype(np.uint8)
    return prepare(Study("x", picture=Picture(grey[..., None])), RECIPE).array


def batches(arrays: list[Floats]) -> Iterator[Batch]:
    for first in range(0, len(arrays), 8):
        images = torch.from_numpy(np.stack(arrays[first : first + 8]))
        n = len(images)
        blank = torch.zeros(n, *images.shape[2:], dtype=torch.uint8)
        minus = torch.full((n,), -1)
        yield Batch(
            images, blank, torch.zeros(n).bool(), minus, minus.to(torch.int8), [str(first + i) for i in range(n)]
        )


def test_strangers_are_noticed_without_any_training() -> None:
    torch.manual_seed(0)
    network = build(NetworkSpec("segresnet", 2, 1, 1, width=8)).eval()
    rng = np.random.default_rng(0)
    seen, held, new = ([prepared(head(rng)) for _ in range(n)] for n in (120, 50, 60))
    fitted = fit_familiarity(network, batches(seen), batches(held), (48, 48), "cpu", 0)
    assert fitted is not None
    known = Acquaintance(Familiarity.model_validate_json(fitted.model_dump_json()))

    def share(arrays: list[Floats]) -> float:
        with torch.inference_mode():
            features = [network(torch.from_numpy(a)[None]).features for a in arrays]
        flags = [
            known.judge(a, f[0].numpy()).unfamiliar for a, f in zip(arrays, features, strict=True) if f is not None
        ]
        assert len(flags) == len(arrays)
        return float(np.mean(flags))

    assert share(new) <= 0.08
    assert share([np.ascontiguousarray(a[:, ::-1]) for a in new]) >= 0.9, "upside down"
    assert share([prepared(p) for _, p in strangers(5)]) >= 0.95


def test_too_few_studies_say_nothing() -> None:
    network = build(NetworkSpec("segresnet", 2, 1, 1, width=8)).eval()
    rng = np.random.default_rng(0)
    few, more = [prepared(head(rng)) for _ in range(6)], [prepared(head(rng)) for _ in range(20)]
    assert fit_familiarity(network, batches(more), batches(few), (48, 48), "cpu", 0) is None
    assert fit_familiarity(network, batches(more), batches(more), (48, 48), "cpu", 0) is None


@pytest.mark.parametrize("kind", range(len(SPOILERS)))
@pytest.mark.parametrize("shape", [(1, 48, 50), (2, 17, 20, 23), (1, 3, 9, 9)])
def test_spoiling_changes_a_scan_and_keeps_its_axes(kind: int, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    out = spoil(array, kind, np.random.default_rng(1))
    assert out.ndim == array.ndim
    assert out.shape[0] == shape[0]
    assert out.dtype == np.float32
    assert np.isfinite(out).all()
    assert out.shape != array.shape or not np.array_equal(out, array)


def test_the_upper_quantile_counts_the_new_one() -> None:
    values = np.arange(1, 100, dtype=float)
    assert upper_quantile(values, 0.02) == 98
    assert upper_quantile(values[:10], 0.02) == 10


def simulated_slices(folder: Path, heads: int) -> Path:
    """Axial slices of simulated heads as pictures, a class a folder and a patient a row of ``labels.csv``."""
    settings = Settings(spacing=3.0, contrasts=("t1",), diameters=(25.0, 50.0), faintest=0.9, skull=1.0, thick=0.0)
    lines = ["image,label,group"]
    folder.mkdir()
    for number in range(heads):
        label = (NORMAL, "glioma")[number % 2]
        study, mask, _, _ = simulate_study(number, settings, label=label)
        order, flips = study.reference.geometry.canonical_axes()
        voxels, labels = (np.transpose(a, order) for a in (study.reference.voxels, mask.labels))
        turned = tuple(a for a, flip in enumerate(flips) if flip)
        voxels, labels = np.flip(voxels, turned), np.flip(labels, turned)
        height = np.linspace(0, 1, labels.shape[2])
        area: NDArray[np.bool_] = np.asarray(labels.any((0, 1))) if label != NORMAL else np.ones(labels.shape[2], bool)
        middle = np.flatnonzero(area & (height > 0.4) & (height < 0.8))
        for place in middle[:: max(1, len(middle) // 2)][:2]:
            plane = voxels[:, :, place].T.astype(np.float64)
            top = max(1e-6, float(np.percentile(plane, 99.5)))
            name = f"h{number:03d}_{place}.png"
            Image.fromarray((255 * (plane / top).clip(0, 1)).astype(np.uint8)).save(folder / name)
            lines.append(f"{name},{label},h{number:03d}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder / "labels.csv"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_of_200_pictures_of_no_head_nearly_all_are_unsure(tmp_path: Path) -> None:
    index = build_index([simulated_slices(tmp_path / "slices", 240)], fractions=(0.5, 0.2, 0.3))
    train(index, tmp_path / "run", overrides={"size": 96, "width": 16, "epochs": 6})
    reader = load_model(tmp_path / "run")
    told = json.loads((tmp_path / "run" / "model" / "model.json").read_text())
    assert told["familiarity"] is not None
    assert told["promise"]["normal"]["made"]

    def unsure(pixels: NDArray[np.uint8]) -> bool:
        findings = reader.read(Study("x", picture=Picture(pixels[..., None]))).findings
        warned = any("does not look like" in warning for warning in findings.warnings)
        assert findings.presence is not None
        assert not warned or findings.presence.decision == "unsure"
        return warned

    true = [np.asarray(Image.open(row.images[0])) for row in index.rows("test")]
    strange = [unsure(pixels) for _, pixels in non_heads()]
    assert len(strange) == 200
    assert float(np.mean(strange)) >= 0.95
    # Of about 140 slices of 72 heads: 5 % and what chance adds.
    flagged = float(np.mean([unsure(pixels) for pixels in true]))
    assert flagged <= 0.05 + 0.04
    # Upside down, an axial slice is hard to tell: most are missed so far (docs/decisions/007-unsure.md).
    assert float(np.mean([unsure(np.ascontiguousarray(pixels[::-1])) for pixels in true])) >= max(0.15, 2 * flagged)
