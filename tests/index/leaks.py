"""Known leaks, planted: pictures that stand among others once more, changed in each of the usual ways.

    python -m tests.index.leaks [--each 60] [--data DATA | --persons 60]

plants them among the pictures of ``slices.csv`` (simulated slices where that is absent), looks for them as ``index``
does, and prints what was found, what was missed, and what was paired wrongly, as one JSON object.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from secondread.formats import read_volume
from secondread.index.duplicates import SIDE, find_pairs, thumbprint
from secondread.simulate import CONTRASTS, Settings, simulate_study
from secondread.volume import Picture, Volume
from tests.index.makers import SHARED

Grey = NDArray[np.uint8]


@dataclass(frozen=True)
class Sample:
    """One picture, (row, column), and whose it is: pictures of two persons are never the same picture."""

    pixels: Grey
    person: str


@dataclass(frozen=True)
class Planted:
    """Samples, and by the way of planting the pairs (source, copy) of their numbers."""

    samples: list[Sample]
    pairs: dict[str, list[tuple[int, int]]]


def rescaled(pixels: Grey, rng: np.random.Generator) -> Grey:
    """0.35 to 1.7 times as large, the two sides up to a tenth apart."""
    scale = np.exp(rng.uniform(np.log(0.35), np.log(1.7))) * np.exp(rng.uniform(-0.05, 0.05, 2))
    rows, columns = (max(24, round(n * s)) for n, s in zip(pixels.shape, scale, strict=True))
    way = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)[rng.integers(3)]
    return np.asarray(Image.fromarray(pixels).resize((columns, rows), way))


def recompressed(pixels: Grey, rng: np.random.Generator) -> Grey:
    """JPEG of quality 25 to 90."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=int(rng.integers(25, 91)))
    return np.asarray(Image.open(buffer))


def flipped(pixels: Grey, rng: np.random.Generator) -> Grey:
    return np.flip(pixels, int(rng.integers(2)))


def rotated(pixels: Grey, rng: np.random.Generator) -> Grey:
    """By 90, 180 or 270 degrees."""
    return np.rot90(pixels, int(rng.integers(1, 4)))


def brightened(pixels: Grey, rng: np.random.Generator) -> Grey:
    """Gain 0.6 to 1.5, gamma 0.7 to 1.4, offset of up to 20 grey values either way; clipped."""
    values = 255 * (pixels / 255) ** rng.uniform(0.7, 1.4) * rng.uniform(0.6, 1.5) + rng.uniform(-20, 20)
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def cropped(pixels: Grey, rng: np.random.Generator) -> Grey:
    """Up to 8 % cut off each side."""
    (rows, columns), cut = pixels.shape, rng.uniform(0, 0.08, 4)
    top, left = round(cut[0] * rows), round(cut[1] * columns)
    return pixels[top : rows - round(cut[2] * rows), left : columns - round(cut[3] * columns)]


def several(pixels: Grey, rng: np.random.Generator) -> Grey:
    """Turned, cropped, brightened, rescaled and recompressed, all at once."""
    for way in (rotated, cropped, brightened, rescaled, recompressed):
        pixels = way(pixels, rng)
    return pixels


def same(pixels: Grey, _: np.random.Generator) -> Grey:
    return pixels


WAYS: dict[str, Callable[[Grey, np.random.Generator], Grey]] = {
    "copied": same,
    "rescaled": rescaled,
    "recompressed": recompressed,
    "flipped": flipped,
    "rotated": rotated,
    "brightened": brightened,
    "cropped": cropped,
    "several": several,
}
NEIGHBOUR = "neighbour"

SEEN_TO_BE_ONE: tuple[tuple[str, ...], ...] = (
    ("no_tumor/cluster010", "no_tumor/cluster033", "no_tumor/cluster046", "no_tumor/cluster049"),
    ("no_tumor/cluster129", "no_tumor/cluster142"),
    ("no_tumor/cluster143", "no_tumor/cluster151"),
    ("no_tumor/cluster147", "no_tumor/cluster153"),
    ("no_tumor/cluster150", "no_tumor/cluster155"),
    ("no_tumor/cluster071", "no_tumor/cluster223"),
    ("glioma/block19", "glioma/block20", "glioma/block24", "glioma/block23"),
    ("glioma/block28", "glioma/block31"),
    ("pituitary/block11", "pituitary/block12", "pituitary/block13"),
    ("pituitary/block15", "pituitary/block16", "pituitary/block17"),
)
"""Groups of slices.csv that hold copies or neighbouring slices of each other: the pairs found between them were looked
at. ``group`` there stands in for patients that nobody knows."""


def plant(base: Sequence[Sample], stacks: Sequence[Sequence[Sample]], each: int, seed: int) -> Planted:
    """``each`` copies a way, of pictures drawn from ``base``, and ``each`` pairs of neighbours drawn from ``stacks``,
    which hold slices of one volume and plane in order."""
    rng = np.random.default_rng(seed)
    samples = list(base)
    pairs: dict[str, list[tuple[int, int]]] = {}
    for name, change in WAYS.items():
        for source in rng.choice(len(base), each, replace=False):
            pairs.setdefault(name, []).append((int(source), len(samples)))
            samples.append(Sample(np.ascontiguousarray(change(base[source].pixels, rng)), base[source].person))
    for n in rng.permutation(len(stacks))[:each]:
        at = int(rng.integers(len(stacks[n]) - 1))
        pairs.setdefault(NEIGHBOUR, []).append((len(samples), len(samples) + 1))
        samples += stacks[n][at : at + 2]
    return Planted(samples, pairs)


def stacks_of(volume: Volume, person: str) -> list[list[Sample]]:
    """The slices of a volume in each of its three planes, in order, of the middle half of what is foreground."""
    order, flips = volume.geometry.canonical_axes()
    voxels = np.transpose(volume.voxels, order).astype(np.float32)
    voxels = np.flip(voxels, tuple(axis for axis, flip in enumerate(flips) if flip))
    grey = (np.clip(voxels / np.percentile(voxels, 99.7), 0, 1) * 255).astype(np.uint8)
    stacks = []
    for axis in range(3):
        planes = np.moveaxis(grey, axis, 0)
        held = np.flatnonzero((planes > 25).mean(axis=(1, 2)) > 0.05)
        quarter = (held[-1] - held[0]) // 4
        stacks.append([Sample(np.rot90(plane), person) for plane in planes[held[0] + quarter : held[-1] - quarter + 1]])
    return stacks


def real(data: Path) -> tuple[list[Sample], list[list[Sample]]]:
    """The pictures of ``slices.csv``, whose groups stand for persons; and stacks of the volumes beside it: healthy
    heads at 2 mm, patients (T1 with contrast) at 1 mm."""
    one = {group: groups[0] for groups in SEEN_TO_BE_ONE for group in groups}
    base = []
    with (data / "slices.csv").open(newline="") as file:
        for line in csv.DictReader(file):
            with Image.open(data / line["image"]) as image:
                group = f"{line['label']}/{line['group']}"
                base.append(Sample(np.asarray(image.convert("L")), one.get(group, group)))
    healthy, tumour = sorted((data / "volumes/healthy").iterdir()), sorted((data / "volumes/tumour").iterdir())
    files = [*healthy, *(folder / f"{folder.name}_t1ce.nii.gz" for folder in tumour)]
    return base, [stack for file in files for stack in stacks_of(read_volume(file), file.name)]


def simulated(persons: int, first_seed: int) -> tuple[list[Sample], list[list[Sample]]]:
    """Slices of simulated heads, five a plane; and stacks of other simulated heads, a third as many."""
    base: list[Sample] = []
    stacks: list[list[Sample]] = []
    for n in range(persons):
        contrast = CONTRASTS[n % len(CONTRASTS)]
        study, _, _, _ = simulate_study(first_seed + n, Settings(contrasts=(contrast,), thick=0.0))
        found = stacks_of(study.series[contrast], f"simulated {n}")
        if n % 4 == 3:
            stacks += found
        else:
            base += [stack[at] for stack in found for at in np.linspace(0, len(stack) - 1, 5).astype(int)]
    return base, stacks


def search(planted: Planted) -> dict[str, Any]:
    """What ``index`` finds among the planted: the share found by way, and the pairs of different persons."""
    began = time.monotonic()
    prints = np.stack([
        np.frombuffer(thumbprint(Picture(sample.pixels[..., None])), np.uint8).reshape(1, SIDE, SIDE)
        for sample in planted.samples
    ])  # fmt: skip
    pairs, alike = find_pairs(prints)
    persons = [sample.person for sample in planted.samples]
    wrong = [n for n, (a, b) in enumerate(pairs.tolist()) if persons[a] != persons[b]]
    direct = {tuple(pair) for pair in pairs.tolist()}
    found = {way: [tuple(sorted(pair)) in direct for pair in pairs] for way, pairs in planted.pairs.items()}
    return {
        "pictures": len(prints),
        "planted": {way: len(hits) for way, hits in found.items()},
        "found": {way: sum(hits) / len(hits) for way, hits in found.items()},
        "pairs": len(pairs),
        "of_two_persons": len(wrong),
        "false_share": len(wrong) / max(len(pairs), 1),
        "false": [(*pairs[n].tolist(), round(float(alike[n]), 3)) for n in wrong],
        "seconds": round(time.monotonic() - began, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=60, help="copies planted a way")
    parser.add_argument("--data", type=Path, default=SHARED, help="folder with slices.csv and volumes")
    parser.add_argument("--persons", type=int, default=0, help="simulate so many heads instead")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.persons:
        base, stacks = simulated(options.persons, 5000 + 1000 * options.seed)
    else:
        base, stacks = real(options.data)
    sys.stdout.write(json.dumps(search(plant(base, stacks, options.each, options.seed)), indent=1) + "\n")


if __name__ == "__main__":
    main()
