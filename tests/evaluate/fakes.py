"""Small made-up scans, a reader that half knows the truth, and a run folder around them."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from secondread.formats import write_mask, write_volume
from secondread.index import Index, Row
from secondread.infer import Reading
from secondread.volume import Category, Decision, Findings, Geometry, Mask, ModelId, Presence, Study, Volume

SIDE = 48
CLASSES = ("no_tumor", "glioma", "meningioma")


def spec(categories: tuple[str, ...], normal: str | None, located: bool = True) -> Any:
    task = SimpleNamespace(located=located)
    return SimpleNamespace(name="fake", version="1", categories=categories, normal=normal, task=task)


def draw(label: str, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A grey disk; a lesion in it that is bright and round (glioma) or brighter and square (meningioma)."""
    generator = np.random.default_rng(seed)
    row, column = np.mgrid[:SIDE, :SIDE]
    grey = 80.0 * ((row - 24) ** 2 + (column - 24) ** 2 < 20**2)
    lesion = np.zeros((SIDE, SIDE), bool)
    if label != "no_tumor":
        r, c = generator.integers(16, 30, 2)
        if label == "glioma":
            lesion = (row - r) ** 2 + (column - c) ** 2 < 25
        else:
            lesion = np.maximum(abs(row - r), abs(column - c)) < 5
        grey = grey + 70.0 * lesion
    grey += generator.normal(0, 6, grey.shape)
    return grey.clip(0, 255).astype(np.uint8), lesion.astype(np.uint8)


@dataclass
class FakeReader:
    """Finds voxels above 110 and answers by them, with noise seeded by the study's name; ``skill`` 0 only guesses."""

    spec: Any
    skill: float = 1.0
    sha256: str = "0" * 64

    def read(self, study: Study) -> Reading:
        generator = np.random.default_rng(zlib.crc32(study.name.encode()))
        if study.picture is not None:
            scan = study.picture.pixels.mean(axis=2)
        else:
            scan = study.reference.voxels.astype(np.float64)
        bright = self.skill / (1 + np.exp(-(scan - 115) / 6))
        share = float((bright > 0.5).mean())
        logit = self.skill * 800 * (share - 0.01) + generator.normal(0, 2)
        present = float(1 / (1 + np.exp(-logit))) if self.spec.normal is not None else None
        names = self.spec.categories
        votes = generator.dirichlet(np.ones(len(names)) * 2)
        for k, name in enumerate(names):
            votes[k] += self.skill * float(study.name.startswith(name))
        votes /= votes.sum()
        categories = dict(zip(names, votes.tolist(), strict=True))
        evidence = (bright[None] * votes.reshape(-1, *[1] * scan.ndim)).astype(np.float32)
        presence = None if present is None else Presence(present, decide(present))
        findings = Findings(
            study.name,
            ModelId("fake", "1", self.sha256),
            presence,
            tuple(Category(n, p) for n, p in categories.items()),
        )
        return Reading(findings, evidence, (bright > 0.5).astype(np.uint8), present, categories)


def decide(present: float) -> Decision:
    if present > 0.6:
        return "abnormal"
    return "normal" if present < 0.4 else "unsure"


def write_pictures(folder: Path, per_class: int, classes: tuple[str, ...] = CLASSES) -> list[Row]:
    """``per_class`` pictures of each class, two to a group, a third of the groups in each split."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, label in enumerate(classes):
        for at in range(per_class):
            grey, lesion = draw(label, 1000 * number + at)
            image, mask = folder / f"{label}_{at}.png", folder / f"{label}_{at}_mask.png"
            Image.fromarray(grey).save(image)
            Image.fromarray(lesion * 255).save(mask)
            rows.append(
                Row(
                    study=f"{label}_{at}",
                    group=f"{label}-{at // 2}",
                    group_from="csv",
                    images=(image,),
                    contrasts=("image",),
                    label=label,
                    normal=label == "no_tumor",
                    mask=mask if lesion.any() else None,
                    shape=(SIDE, SIDE),
                    kind="picture",
                    bytes=image.stat().st_size,
                    sha256=f"{label}{at}",
                    split=("train", "validation", "test")[(at // 2) % 3],
                )
            )
    return rows


def write_volumes(folder: Path, count: int) -> list[Row]:
    """Volumes with a bright ball and its mask, no label, no normal; spacing (2, 2, 3) mm, the k axis head-foot."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    geometry = Geometry((24, 26, 18), np.diag([2.0, 2.0, 3.0, 1.0]))
    i, j, k = np.indices(geometry.shape)
    for at in range(count):
        generator = np.random.default_rng(at)
        centre = generator.integers(8, 12, 3)
        head = (i - 12) ** 2 + (j - 13) ** 2 + (k - 9) ** 2 < 64
        lesion = (i - centre[0]) ** 2 + (j - centre[1]) ** 2 + (k - centre[2]) ** 2 < 9
        voxels = (head * (80 + generator.normal(0, 5, head.shape)) + 70 * lesion).astype(np.float32)
        image, mask = folder / f"p{at}.nii.gz", folder / f"p{at}_seg.nii.gz"
        write_volume(Volume(geometry, voxels), image)
        write_mask(Mask(geometry, lesion.astype(np.uint8)), mask)
        rows.append(
            Row(
                study=f"p{at}",
                group=f"p{at}",
                group_from="study",
                images=(image,),
                contrasts=("flair",),
                mask=mask,
                shape=geometry.shape,
                spacing=geometry.spacing,
                kind="nifti",
                bytes=image.stat().st_size,
                sha256=f"v{at}",
                split=("train", "validation", "test")[at % 3],
            )
        )
    return rows


def history(epochs: int = 12, best: int = 8, noise: float = 0.0) -> list[dict[str, Any]]:
    """A run that learns, then overfits after epoch ``best``."""
    generator = np.random.default_rng(0)
    out = []
    for epoch in range(1, epochs + 1):
        train = 0.2 + 0.8 * np.exp(-epoch / 4)
        held = 0.3 + 0.8 * np.exp(-epoch / 4) + 0.06 * max(0, epoch - best) + generator.normal(0, noise)
        out.append(
            {
                "epoch": epoch,
                "step": 10 * epoch,
                "seconds": 3.0 * epoch,
                "learning_rate": 1e-3,
                "train": {"loss": float(train), "accuracy": float(1 - train / 2)},
                "validation": {"loss": float(held), "accuracy": float(1 - held / 2), "presence_auc": 0.8},
                "best": epoch <= best,
            }
        )
    return out


def write_run(folder: Path, rows: list[Row], epochs: list[dict[str, Any]] | None = None) -> Path:
    """A run folder without a model: the reader is handed in."""
    folder.mkdir(parents=True, exist_ok=True)
    Index.of(rows, ("Labels come from the folders.",)).save(folder / "index.parquet")
    lines = history() if epochs is None else epochs
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    plan = {"optimizer": "adamw", "learning_rate": 0.002, "network": {"name": "segresnet", "width": 16}, "seed": 0}
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    return folder


def moved(row: Row, **changes: Any) -> Row:
    return replace(row, **changes)
