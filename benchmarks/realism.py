"""How far simulated slices are from real ones: a yardstick that reads no label.

    python benchmarks/realism.py [--data FOLDER] [--seed N]

Both kinds of slice are prepared as pictures that are read, and described by what a texture is made of: quantiles of
intensity and of gradients, power by spatial frequency, roughness by scale. Two figures compare them:

- *distance*: Frechet distance of the two clouds of descriptions, in units of the real ones' spread (Dowson and Landau
  1982), per description. Two halves of the real patients give the floor.
- *auc*: how well a random forest tells a slice's side, out of bag of the patients it saw; 0.5 would be perfect.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from secondread.formats import read_volume
from secondread.simulate import BatchSettings, draw_batch, render_batch
from secondread.volume import Picture, Recipe, Study, prepare

Floats = NDArray[np.float32]

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "volumes"
SIDE = 128
PER_BRAIN = 14
PER_HEAD = 4
SIMULATED = 240


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with tumour/*/*_flair.nii.gz and healthy/*")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if not given.data.is_dir():
        print(json.dumps({"skipped": f"{given.data} is not there: name a folder of real scans with --data"}))
        return
    torch.set_num_threads(1)
    out = {}
    for name, real, settings in (
        ("flair, brains alone, axial", brains(given.data, "flair"), _settings("flair", 0.0)),
        ("t1c, brains alone, axial", brains(given.data, "t1ce"), _settings("t1c", 0.0)),
        ("t1, whole heads, three planes", heads(given.data), _settings("t1", 1.0)),
    ):
        slices, people = _stacked(real)
        samples = render_batch(draw_batch(settings, SIMULATED, given.seed))
        made = np.stack([prepared(image[0].numpy()) for image in samples.images])
        out[name] = compare(slices, people, made)
    print(json.dumps(out, indent=2))


def _settings(contrast: str, skull: float) -> BatchSettings:
    planes = ("axial", "coronal", "sagittal") if skull else ("axial",)
    normal, kinds = (1.0, ("glioma",)) if skull else (0.35, ("glioma",))
    return BatchSettings(
        contrasts=(contrast,),
        skull=skull,
        planes=planes,
        normal=normal,
        categories=kinds,
        shape=(SIDE, SIDE),
        fill=True,
        difficulty=0.6,
    )


def brains(data: Path, contrast: str) -> Iterator[tuple[str, Floats]]:
    """(patient, slice): axial slices of skull-stripped brains."""
    for path in sorted(data.glob(f"tumour/*/*_{contrast}.nii.gz")):
        voxels = _upright(path)
        full = np.flatnonzero((voxels > 0).mean(axis=(0, 1)) > 0.1)
        for k in np.linspace(full[0], full[-1], PER_BRAIN).astype(int):
            yield path.parent.name, prepared(voxels[:, :, k].T)


def heads(data: Path) -> Iterator[tuple[str, Floats]]:
    """(person, slice): slices of whole heads in three planes."""
    for path in sorted(data.glob("healthy/*.nii.gz")):
        voxels = _upright(path)
        for n, axis in enumerate((0, 1, 2, 2)):
            k = int(voxels.shape[axis] * (0.42 + 0.05 * n))
            plane = np.moveaxis(voxels, axis, 0)[k].T
            yield path.name, prepared(plane if axis == 2 else plane[::-1])


def prepared(pixels: Floats) -> Floats:
    """(SIDE, SIDE): as a picture that is read."""
    low, high = float(pixels.min()), float(np.percentile(pixels, 99.9))
    grey = (np.clip((pixels - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)
    study = Study("slice", {}, Picture(grey[..., None]))
    return np.asarray(prepare(study, Recipe(("grey",), size=(SIDE, SIDE))).array[0])


def describe(image: Floats) -> Floats:
    """What a slice is made of, some sixty numbers."""
    inside = image > image.min() + 0.1 * (np.percentile(image, 99) - image.min())
    shares = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
    out = [*np.quantile(image[inside], shares), inside.mean()]
    steep = np.hypot(*np.gradient(image))
    out += [*np.log(np.quantile(steep[inside], shares) + 1e-3)]
    power = np.abs(np.fft.fftshift(np.fft.fft2(image * np.hanning(SIDE)[:, None] * np.hanning(SIDE)))) ** 2
    radius = np.hypot(*np.mgrid[-SIDE // 2 : SIDE // 2, -SIDE // 2 : SIDE // 2]).astype(int)
    rings = np.bincount(radius.ravel(), power.ravel()) / np.bincount(radius.ravel())
    out += [float(np.log(rings[a:b].mean() + 1e-6)) for a, b in itertools.pairwise(EDGES)]
    for size in (2, 4, 8, 16):
        blocks = image[: SIDE // size * size, : SIDE // size * size]
        blocks = blocks.reshape(SIDE // size, size, SIDE // size, size).transpose(0, 2, 1, 3).reshape(-1, size * size)
        spread = blocks.std(axis=1)[(blocks > image.min() + 0.3).all(axis=1)]
        out += [*np.log(np.quantile(spread, (0.1, 0.5, 0.9)) + 1e-3)] if spread.size else [0.0] * 3
    return np.array(out, np.float32)


EDGES = (1, 2, 3, 4, 6, 8, 11, 15, 20, 26, 33, 41, 50, 60)


def compare(real: Floats, people: NDArray[np.str_], made: Floats) -> dict[str, float]:
    """The two figures, and the floor that the real ones set themselves."""
    a, b = (np.stack([describe(one) for one in images]) for images in (real, made))
    scale = a.std(axis=0) + 1e-3
    a, b = a / scale, b / scale
    half = np.isin(people, np.unique(people)[::2])
    return {
        "distance": round(frechet(a, b), 3),
        "floor": round(frechet(a[half], a[~half]), 3),
        "auc": round(auc(a, people, b), 3),
    }


def frechet(a: Floats, b: Floats) -> float:
    """Frechet distance of two normal clouds, (N, F) each, divided by F."""
    from scipy.linalg import sqrtm

    ca, cb = np.cov(a.T), np.cov(b.T)
    mixed = np.trace(np.real(sqrtm(ca @ cb)))
    return float((((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca) + np.trace(cb) - 2 * mixed) / a.shape[1])


def auc(a: Floats, people: NDArray[np.str_], b: Floats) -> float:
    """Of a forest that tells real from made, on people it has not seen."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold, cross_val_predict

    features = np.concatenate([a, b])
    truth = np.repeat([1, 0], [len(a), len(b)])
    groups = np.concatenate([people, [f"made {n // 8}" for n in range(len(b))]])
    forest = RandomForestClassifier(200, random_state=0, class_weight="balanced")
    said = cross_val_predict(forest, features, truth, groups=groups, cv=GroupKFold(5), method="predict_proba")
    return float(roc_auc_score(truth, said[:, 1]))


def _upright(path: Path) -> Floats:
    volume = read_volume(path)
    order, flips = volume.geometry.canonical_axes()
    voxels: Floats = np.transpose(volume.voxels.astype(np.float32), order)
    return np.asarray(np.flip(voxels, tuple(a for a, flip in enumerate(flips) if flip)), np.float32)


def _stacked(pairs: Iterator[tuple[str, Floats]]) -> tuple[Floats, NDArray[np.str_]]:
    people, slices = zip(*pairs, strict=True)
    return np.stack(slices), np.array(people)


if __name__ == "__main__":
    main()
