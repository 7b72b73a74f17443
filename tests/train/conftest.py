"""A small labelled set of pictures and of volumes, and plans that train on them in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from secondread.index import Index, build_index
from secondread.simulate import Settings, write_studies


def draw_pictures(folder: Path, n: int = 14, *, side: int = 48) -> Path:
    """Two classes that differ by shape alone: ``disc`` and ``cross``, in random place, size and colour."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    for name in ("cross", "disc"):
        (folder / name).mkdir(parents=True)
        for i in range(n):
            y, x = rng.uniform(0.35, 0.65, 2) * side
            r = rng.uniform(0.15, 0.3) * side
            if name == "disc":
                inside = (rows - y) ** 2 + (columns - x) ** 2 < r**2
            else:
                thin = r / 3
                inside = (abs(rows - y) < thin) & (abs(columns - x) < r) | (abs(columns - x) < thin) & (
                    abs(rows - y) < r
                )
            pixels = rng.normal(90, 12, (side, side, 3))
            pixels[inside] += rng.uniform(50, 110, 3)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name / f"{name}{i:02d}.png")
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return build_index([draw_pictures(tmp_path_factory.mktemp("pictures") / "shapes")])


@pytest.fixture(scope="session")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Index:
    settings = Settings(
        spacing=6.0,
        contrasts=("t1", "flair"),
        diameters=(25.0, 50.0),
        faintest=0.9,
        categories=("glioma", "meningioma"),
    )
    return build_index([write_studies(tmp_path_factory.mktemp("volumes") / "sim", 14, 3, settings)])
