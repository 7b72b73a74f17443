"""A reader without a network, and small scans in every form that is taken."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import numpy as np
from PIL import Image

from secondread.formats import write_volume
from secondread.models.task import Task
from secondread.testcard import FRAMES, write_series
from secondread.volume import Category, Findings, Geometry, Location, ModelId, Presence, Recipe, Study, Volume

if TYPE_CHECKING:
    from secondread.infer import Reader


class FakeReader:
    """Finds a lesion in the brightest voxel. ``before`` runs first, and may raise."""

    sha256 = "f" * 64

    def __init__(self, recipe: Recipe, *, located: bool = True, before: Callable[[Study], None] | None = None) -> None:
        task = Task(("glioma", "meningioma"), "healthy", located)
        self.spec = SimpleNamespace(
            name="fake", version="1", task=task, categories=task.categories, normal=task.normal, recipe=recipe
        )
        self.seen: list[Study] = []
        self._before = before

    def read(self, study: Study) -> SimpleNamespace:
        self.seen.append(study)
        if self._before is not None:
            self._before(study)
        scan = study.picture.pixels.mean(axis=2) if study.picture else study.reference.voxels
        mask = (scan == scan.max()).astype(np.uint8)
        evidence = np.stack([mask, np.zeros_like(mask)]).astype(np.float32) * 0.9
        where = Location(0.9, 1, center_px=(1, 2), area_px=1) if study.picture else Location(0.9, 1, (1, 2, 3), 8.0)
        categories = {"glioma": 0.8, "meningioma": 0.2}
        findings = Findings(
            study.name,
            ModelId("fake", "1", self.sha256),
            Presence(0.97, "abnormal"),
            tuple(Category(name, p) for name, p in categories.items()),
            (where,),
        )
        return SimpleNamespace(findings=findings, evidence=evidence, mask=mask, present=0.97, categories=categories)


def volume_reader(*, located: bool = True, before: Callable[[Study], None] | None = None) -> Reader:
    recipe = Recipe(("t1", "flair"), spacing=(1.0, 1.0, 1.0))
    return cast("Reader", FakeReader(recipe, located=located, before=before))


def picture_reader() -> Reader:
    return cast("Reader", FakeReader(Recipe(("grey",), size=(32, 32))))


def volume() -> Volume:
    """8 x 9 x 10 voxels of 1 x 1.5 x 2 mm, the brightest at (2, 3, 4)."""
    voxels = np.random.default_rng(0).integers(0, 100, (8, 9, 10)).astype(np.int16)
    voxels[2, 3, 4] = 1000
    affine = np.diag([1.0, 1.5, 2.0, 1.0])
    affine[:3, 3] = -7, 11, 13
    return Volume(Geometry(voxels.shape, affine), voxels)


def volume_bytes(folder: Path, suffix: str = ".nii.gz") -> bytes:
    path = folder / f"made{suffix}"
    write_volume(volume(), path)
    return path.read_bytes()


def series_bytes(folder: Path) -> list[bytes]:
    """The files of one small DICOM series."""
    made = folder / "series"
    made.mkdir()
    write_series(next(frame for frame in FRAMES if frame.name == "RLE"), made)
    return [path.read_bytes() for path in sorted(made.iterdir())]


def picture_bytes(kind: str = "PNG") -> bytes:
    pixels = np.random.default_rng(0).integers(0, 200, (20, 24)).astype(np.uint8)
    pixels[5, 6] = 255
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()
