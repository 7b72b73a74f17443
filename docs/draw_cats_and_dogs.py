"""Draw cats and dogs: colour pictures to learn picture classification with, where no data set is at hand.

    python docs/draw_cats_and_dogs.py exercise                                     200 of each, and six new ones
    python docs/draw_cats_and_dogs.py few --each 12 --held 40                      a given split, few to learn from

OUT/pictures holds a folder per class (below ``train``, ``val`` and ``test`` with ``--held``), OUT/new pictures of both
kinds with the answers in ``answers.csv``. Same seed, same pictures.

Colour, size, pose, place, background, noise and JPEG quality are drawn in the same way for both kinds: only shape
tells them apart. Cats have upright ears (one in ten folded), a short muzzle, a long tail; dogs have hanging ears (one
in eight upright), a long muzzle, a short tail. No single trait decides.

Axes: x to the right, y down, in units of the head's radius with the head at the origin.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Points = NDArray[np.float64]
Colour = tuple[int, int, int]

KINDS = ("cat", "dog")
NEW = 9
"""Where the new pictures are drawn from; the parts of a split come before."""

FURS = ((205, 133, 63), (120, 80, 50), (128, 128, 128), (232, 215, 185), (60, 55, 55), (225, 225, 222))
OVERSAMPLING = 3
"""Lines are drawn this many times larger and shrunk, which smooths them."""

FOLDED_CAT, UPRIGHT_DOG = 1 / 10, 1 / 8


class Sketch:
    """A canvas that an animal is drawn on in its own units, turned, mirrored and scaled to where it stands."""

    def __init__(self, canvas: Image.Image, rng: Generator, reach: float) -> None:
        width, height = canvas.size
        radius = min(width, height) * rng.uniform(0.38, 0.48) / reach
        angle = np.deg2rad(rng.uniform(-15, 15))
        mirror = rng.choice((-1.0, 1.0))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        self._matrix = radius * turn @ np.diag([mirror, 1.0])
        self._origin = np.array([width, height]) * (0.5 + rng.uniform(-0.05, 0.05, 2))
        self._radius = radius
        self._pen = ImageDraw.Draw(canvas)

    def shift(self, x: float, y: float) -> None:
        """Move the head away from the middle, so that what hangs on it is in the picture."""
        self._origin = self._origin + self._matrix @ np.array([x, y])

    def shape(self, points: Points, colour: Colour) -> None:
        self._pen.polygon([tuple(p) for p in points @ self._matrix.T + self._origin], fill=colour)

    def line(self, points: Points, colour: Colour, width: float) -> None:
        placed = [tuple(p) for p in points @ self._matrix.T + self._origin]
        self._pen.line(placed, fill=colour, width=max(1, round(width * self._radius)), joint="curve")


def oval(x: float, y: float, rx: float, ry: float, turn: float = 0.0) -> Points:
    """The outline of an ellipse at (x, y), turned by ``turn`` degrees."""
    t, a = np.linspace(0, 2 * np.pi, 48), np.deg2rad(turn)
    flat = np.stack([rx * np.cos(t), ry * np.sin(t)], axis=1)
    return flat @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) + (x, y)


def shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = (int(np.clip(c * factor, 0, 255)) for c in colour)
    return red, green, blue


def ears_upright(pen: Sketch, rng: Generator, fur: Colour, sides: tuple[int, ...]) -> None:
    tall, wide = rng.uniform(1.25, 1.6), rng.uniform(0.26, 0.38)
    for side in sides:
        x = side * rng.uniform(0.55, 0.68)
        outer = np.array([[x - wide, -0.5], [x + wide, -0.5], [x * 1.15, -tall]])
        pen.shape(outer, fur)
        pen.shape(outer * 0.55 + outer.mean(axis=0) * 0.45, shade(fur, 0.7))


def ears_hanging(pen: Sketch, rng: Generator, fur: Colour, sides: tuple[int, ...]) -> None:
    long, wide = rng.uniform(0.5, 0.75), rng.uniform(0.2, 0.32)
    for side in sides:
        x, y, turn = side * rng.uniform(0.82, 0.95), rng.uniform(-0.05, 0.2), -side * rng.uniform(0, 25)
        pen.shape(oval(x, y, wide, long, turn), shade(fur, 0.78))


def ears_folded(pen: Sketch, rng: Generator, fur: Colour, sides: tuple[int, ...]) -> None:
    tip = rng.uniform(-0.45, -0.3)
    for side in sides:
        x = side * rng.uniform(0.55, 0.68)
        pen.shape(np.array([[x - 0.3, -0.75], [x + 0.3, -0.75], [x, tip]]), shade(fur, 0.78))


def face(kind: str, pen: Sketch, rng: Generator, fur: Colour) -> None:
    """A head from the front."""
    odd = rng.random() < (FOLDED_CAT if kind == "cat" else UPRIGHT_DOG)
    behind = (kind == "cat") != odd
    if behind:
        ears_upright(pen, rng, fur, (-1, 1))
    pen.shape(oval(0, 0, rng.uniform(0.85, 1.0), rng.uniform(0.82, 0.98)), fur)
    light = shade(fur, rng.uniform(1.1, 1.35))
    if not behind:
        (ears_folded if kind == "cat" else ears_hanging)(pen, rng, fur, (-1, 1))
    if kind == "cat":
        for side in (-1, 1):
            pen.shape(oval(side * 0.17, 0.42, 0.24, 0.18), light)
        pen.shape(np.array([[-0.1, 0.24], [0.1, 0.24], [0.0, 0.36]]), (70, 50, 50))
        if rng.random() < 0.6:
            for side in (-1, 1):
                for rise in (-0.12, 0.05, 0.22):
                    pen.line(np.array([[side * 0.3, 0.42], [side * 1.15, 0.42 + rise]]), shade(fur, 0.5), 0.03)
    else:
        long = rng.uniform(0.42, 0.6)
        pen.shape(oval(0, 0.5, rng.uniform(0.36, 0.48), long), light)
        pen.shape(oval(0, 0.28 + 0.3 * long, 0.19, 0.14), (45, 38, 38))
    for side in (-1, 1):
        pen.shape(oval(side * 0.38, -0.15, 0.13, rng.uniform(0.1, 0.15)), (40, 40, 35))


def profile(kind: str, pen: Sketch, rng: Generator, fur: Colour) -> None:
    """A head from the side, looking right."""
    pen.shift(0.3, 0.0)
    odd = rng.random() < (FOLDED_CAT if kind == "cat" else UPRIGHT_DOG)
    pen.shape(oval(-1.1, 1.2, 1.1, 0.85, -20), shade(fur, 0.9))
    upright = (kind == "cat") != odd
    if upright:
        ears_upright(pen, rng, fur, (-1,))
    pen.shape(oval(0, 0, rng.uniform(0.8, 0.95), rng.uniform(0.75, 0.9)), fur)
    length = rng.uniform(0.1, 0.2) if kind == "cat" else rng.uniform(0.5, 0.75)
    pen.shape(oval(0.55 + length * 0.6, 0.28, length + 0.15, rng.uniform(0.26, 0.36), 6), shade(fur, 1.15))
    pen.shape(oval(0.6 + length * 1.55, 0.2, 0.11, 0.1), (45, 38, 38))
    if not upright:
        (ears_folded if kind == "cat" else ears_hanging)(pen, rng, fur, (-1,))
    pen.shape(oval(0.3, -0.2, 0.13, 0.12), (40, 40, 35))


def sitting(kind: str, pen: Sketch, rng: Generator, fur: Colour) -> None:
    """The whole animal from the front."""
    pen.shift(0.0, -1.2)
    bend = np.linspace(0, 1, 20)
    tail = rng.uniform(1.5, 2.1) if kind == "cat" else rng.uniform(0.6, 1.0)
    curve = np.stack([0.7 + 0.9 * np.sin(bend * np.pi * 0.6), 2.7 - tail * bend], axis=1)
    pen.line(curve, shade(fur, 0.85), 0.24 if kind == "cat" else 0.32)
    pen.shape(oval(0, 1.9, rng.uniform(0.85, 1.1), rng.uniform(1.15, 1.35)), shade(fur, 0.92))
    for side in (-1, 1):
        pen.shape(oval(side * 0.42, 2.6, 0.25, 0.65), fur)
    face(kind, pen, rng, fur)


POSES: tuple[tuple[Callable[[str, Sketch, Generator, Colour], None], float], ...] = (
    (face, 1.2),
    (face, 1.2),
    (profile, 1.5),
    (sitting, 2.2),
)
"""How to draw each pose (faces twice as often as the others), and its reach from the middle in radii of the head."""


def background(width: int, height: int, rng: Generator) -> Image.Image:
    """A slope between two colours with some shapes on it, as (height, width) RGB."""
    ends = rng.uniform(60, 210) + rng.uniform(-40, 40, (2, 3))
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    slope = np.clip(0.5 + (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle), 0, 1)[..., None]
    canvas = Image.fromarray((ends[0] * slope + ends[1] * (1 - slope)).astype(np.uint8))
    for _ in range(rng.integers(0, 4)):
        clutter(canvas, rng, 0.25)
    return canvas


def clutter(canvas: Image.Image, rng: Generator, largest: float) -> None:
    """One shape of any colour anywhere."""
    width, height = canvas.size
    centre, spread = rng.uniform(0, 1, 2), rng.uniform(0.05, largest, 2)
    corners = int(rng.choice((3, 4, 24)))
    t = np.linspace(0, 2 * np.pi, corners, endpoint=False) + rng.uniform(0, np.pi)
    points = (centre + np.stack([spread[0] * np.cos(t), spread[1] * np.sin(t)], axis=1)) * (width, height)
    red, green, blue = (int(c) for c in rng.uniform(60, 210) + rng.uniform(-30, 30, 3))
    ImageDraw.Draw(canvas).polygon([tuple(p) for p in points], fill=(red, green, blue))


def mottled(pixels: NDArray[np.float64], rng: Generator) -> NDArray[np.float64]:
    """Blotches of light and shade over all of a picture (height, width, 3), as coats and lawns have them: without them
    two drawings may be so much alike that they count as one picture twice."""
    height, width, _ = pixels.shape
    cells = rng.integers(7, 15, 2)
    coarse = Image.fromarray(rng.normal(0, 1, cells).astype(np.float32))
    fine = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    return pixels * np.exp(rng.uniform(0.12, 0.25) * fine)[..., None]


def draw(kind: str, rng: Generator) -> Image.Image:
    """One RGB picture of ``kind``, 96 to 160 pixels wide and high."""
    width, height = (int(n) for n in rng.integers(96, 161, 2))
    canvas = background(width * OVERSAMPLING, height * OVERSAMPLING, rng)
    fur = FURS[int(rng.integers(len(FURS)))]
    red, green, blue = (int(c) for c in np.clip(np.array(fur) * rng.uniform(0.8, 1.15, 3), 0, 255))
    pose, reach = POSES[int(rng.integers(len(POSES)))]
    pose(kind, Sketch(canvas, rng, reach), rng, (red, green, blue))
    if rng.random() < 0.2:
        clutter(canvas, rng, 0.12)
    small = np.asarray(canvas.resize((width, height), Image.Resampling.LANCZOS), np.float64)
    noisy = mottled(small, rng) * rng.uniform(0.75, 1.15) + rng.normal(0, rng.uniform(2, 10), small.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def write(folder: Path, kind: str, count: int, seed: int, part: int) -> None:
    """``count`` JPEGs of one kind. Each has a stream of its own: with more pictures the first stay as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        rng = np.random.default_rng([seed, part, KINDS.index(kind), number])
        draw(kind, rng).save(folder / f"{kind}{number + 1:03d}.jpg", quality=int(rng.integers(65, 95)))


def write_new(folder: Path, count: int, seed: int) -> None:
    """``count`` pictures of either kind under names that tell nothing, and ``answers.csv``."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["picture,answer"]
    for number in range(count):
        rng = np.random.default_rng([seed, NEW, number])
        kind = KINDS[int(rng.integers(2))]
        draw(kind, rng).save(folder / f"{number + 1}.jpg", quality=90)
        rows.append(f"{number + 1}.jpg,{kind}s")
    (folder / "answers.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw cats and dogs to learn picture classification with.")
    parser.add_argument("out", type=Path, help="folder for pictures/ and new/")
    parser.add_argument("--each", type=int, default=200, help="pictures of each kind (default: 200)")
    parser.add_argument("--held", type=int, default=0, help="so many of each in val/ and in test/ beside train/")
    parser.add_argument("--new", type=int, default=6, help="pictures without a label (default: 6)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    pictures = given.out / "pictures"
    parts = {"train": given.each, "val": given.held, "test": given.held} if given.held else {".": given.each}
    for part, (folder, count) in enumerate(parts.items()):
        for kind in KINDS:
            write(pictures / folder / f"{kind}s", kind, count, given.seed, part)
    write_new(given.out / "new", given.new, given.seed)
    print(f"drew {len(KINDS) * sum(parts.values())} pictures in {pictures}, {given.new} in {given.out / 'new'}")


if __name__ == "__main__":
    main()
