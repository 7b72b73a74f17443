"""Small scans and rows for the tests of this room."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image

from secondread.index import Row

SHARED = Path(__file__).parents[2] / "../shared/data"


def picture(path: Path, seed: int, size: tuple[int, int] = (40, 40), *, colour: bool = False) -> Path:
    """A picture of smooth noise, which no other seed resembles."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (10, 10, 3) if colour else (10, 10), dtype=np.uint8)
    Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC).save(path)
    return path


def picture_mask(path: Path, size: tuple[int, int] = (40, 40)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros(size, np.uint8)
    values[5:10, 5:10] = 255
    Image.fromarray(values).save(path)
    return path


def nifti(path: Path, seed: int, shape: Sequence[int] = (12, 13, 14), *, mask: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    voxels: Any = (rng.random(shape) > 0.8).astype(np.uint8) if mask else rng.normal(100, 20, shape).astype(np.float32)
    nib.save(nib.Nifti1Image(voxels, np.diag([1.0, 1.0, 2.0, 1.0])), path)
    return path


def brats(folder: Path, name: str, seed: int) -> Path:
    for n, contrast in enumerate(("t1", "t1ce", "t2", "flair")):
        nifti(folder / name / f"{name}_{contrast}.nii.gz", 10 * seed + n)
    nifti(folder / name / f"{name}_seg.nii.gz", seed, mask=True)
    return folder / name


def row(study: str, **values: Any) -> Row:
    """A row that was read."""
    defaults: dict[str, Any] = {
        "group": study,
        "group_from": "study",
        "images": (Path("/data") / f"{study}.png",),
        "contrasts": ("image",),
        "shape": (40, 40),
        "kind": "picture",
        "sha256": study,
    }
    return Row(study=study, **(defaults | values))
