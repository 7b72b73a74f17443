"""Small scans on disk, and the rows that an index would make of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

CONTRASTS = ("t1", "flair")


@dataclass(frozen=True)
class FakeRow:
    """What the store needs of a row of the index."""

    study: str
    images: tuple[Path, ...]
    contrasts: tuple[str, ...]
    sha256: str
    label: str | None = None
    normal: bool | None = None
    mask: Path | None = None
    group: str = "g"
    split: str = "train"


def write_nifti(path: Path, voxels: NDArray[np.generic]) -> Path:
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), path)
    return path


def head(rng: np.random.Generator, shape: tuple[int, int, int]) -> NDArray[np.int16]:
    """Tissue with texture and one rim of air."""
    voxels = np.zeros(shape, np.int16)
    inner = tuple(slice(1, n - 1) for n in shape)
    voxels[inner] = rng.integers(200, 1000, voxels[inner].shape)
    return voxels


def volume_row(
    folder: Path,
    name: str,
    *,
    shape: tuple[int, int, int] = (40, 36, 34),
    contrasts: tuple[str, ...] = CONTRASTS,
    label: str | None = None,
    normal: bool | None = None,
    lesion: bool | None = None,
) -> FakeRow:
    """``lesion`` None: no mask; False: an empty one; True: a cube of 5 voxels a side."""
    rng = np.random.default_rng(sum(map(ord, name)))
    folder.mkdir(parents=True, exist_ok=True)
    images = tuple(write_nifti(folder / f"{name}_{c}.nii.gz", head(rng, shape)) for c in contrasts)
    mask = None
    if lesion is not None:
        labels = np.zeros(shape, np.uint8)
        if lesion:
            labels[5:10, 20:25, 8:13] = 2
        mask = write_nifti(folder / f"{name}_mask.nii.gz", labels)
    digest = hashlib.sha256(b"".join(image.read_bytes() for image in images)).hexdigest()
    return FakeRow(name, images, contrasts, digest, label, normal, mask)


def picture_row(
    folder: Path, name: str, *, label: str | None = None, normal: bool | None = None, lesion: bool | None = None
) -> FakeRow:
    rng = np.random.default_rng(sum(map(ord, name)))
    folder.mkdir(parents=True, exist_ok=True)
    image, mask = folder / f"{name}.png", None
    Image.fromarray(rng.integers(50, 255, (24, 20, 3)).astype(np.uint8)).save(image)
    if lesion is not None:
        labels = np.zeros((24, 20), np.uint8)
        labels[4:10, 5:12] = 255 * lesion
        mask = folder / f"{name}_mask.png"
        Image.fromarray(labels).save(mask)
    return FakeRow(name, (image,), ("image",), hashlib.sha256(image.read_bytes()).hexdigest(), label, normal, mask)
