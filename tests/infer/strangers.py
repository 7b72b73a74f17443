"""Pictures that are no head MRI, for development: other kinds than :mod:`tests.infer.nonheads` reports on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

Grey = NDArray[np.uint8]
Floats = NDArray[np.float64]
SIDE = 256


def strangers(each: int = 25, seed: int = 0) -> list[tuple[str, Grey]]:
    """``each`` pictures of every kind in :data:`KINDS`, as (kind, (rows, columns) uint8)."""
    return [
        (kind, draw(np.random.default_rng([seed, 99, number, i])))
        for number, (kind, draw) in enumerate(KINDS.items())
        for i in range(each)
    ]


def _plane() -> tuple[Floats, Floats]:
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    return y, x


def _grating(rng: np.random.Generator) -> Grey:
    y, x = _plane()
    a, b = rng.uniform(2, 30, 2)
    waves = np.sin(a * x + b * y) * (np.sin(b * x - a * y) if rng.random() < 0.5 else 1)
    return _grey((waves > 0) + rng.uniform(0, 0.2) * rng.normal(size=x.shape))


def _ramp(rng: np.random.Generator) -> Grey:
    y, x = _plane()
    a, b, c = rng.normal(size=3)
    return _grey(a * x + b * y + c * np.hypot(x, y) + 0.02 * rng.normal(size=x.shape))


def _chart(rng: np.random.Generator) -> Grey:
    page = Image.new("L", (SIDE, SIDE), 255)
    pen = ImageDraw.Draw(page)
    pen.line((20, 10, 20, 236, 246, 236), fill=0, width=2)
    if rng.random() < 0.5:
        for x in range(30, 240, int(rng.integers(8, 24))):
            pen.rectangle((x, int(rng.uniform(20, 220)), x + 6, 235), fill=int(rng.integers(0, 180)))
    else:
        walk = np.cumsum(rng.normal(size=220)) * 6 + 128
        pen.line([(20 + i, float(v)) for i, v in enumerate(walk)], fill=0, width=2)
    return np.asarray(page)


def _mosaic(rng: np.random.Generator) -> Grey:
    y, x = _plane()
    seeds = rng.uniform(-1, 1, (int(rng.integers(8, 80)), 2))
    which = ((y[..., None] - seeds[:, 0]) ** 2 + (x[..., None] - seeds[:, 1]) ** 2).argmin(-1)
    return _grey(rng.random(len(seeds))[which])


def _marble(rng: np.random.Generator) -> Grey:
    y, x = _plane()
    warp = gaussian_filter(rng.normal(size=x.shape), 12) * 30
    return _grey(np.sin(rng.uniform(5, 20) * (x + 0.4 * y) + warp))


def _blobs(rng: np.random.Generator) -> Grey:
    return _grey(gaussian_filter(rng.normal(size=(SIDE, SIDE)), rng.uniform(1.5, 12)))


def _spine(rng: np.random.Generator) -> Grey:
    y, x = _plane()
    bend = 0.15 * np.sin(2 * y + rng.uniform(-1, 1))
    out = np.where(np.abs(x) < 0.7, 0.3, 0.0) + np.where((x > 0.45) & (x < 0.7), 0.5, 0.0)
    for centre in np.linspace(-0.95, 0.95, int(rng.integers(6, 10))):
        out[(np.abs(x - bend) < 0.17) & (np.abs(y - centre) < 0.08)] = 0.75
    out[np.abs(x - bend - 0.28) < 0.05] = 0.55
    return _scan_like(out, rng)


def _thighs(rng: np.random.Generator) -> Grey:
    y, x = _plane()
    out = np.zeros_like(x)
    for side in (-0.48, 0.48):
        r = np.hypot(x - side, y * rng.uniform(0.9, 1.1))
        out[r < 0.45] = 0.9
        out[r < 0.36] = 0.4
        out[r < 0.1] = 0.05
        out[r < 0.06] = 0.8
    return _scan_like(out, rng)


def _cat(rng: np.random.Generator) -> Grey:
    page = Image.new("L", (SIDE, SIDE), int(rng.integers(100, 256)))
    pen, fur = ImageDraw.Draw(page), int(rng.integers(20, 160))
    for side in (-1, 1):
        pen.polygon([(128 + side * 80, 110), (128 + side * 70, 30), (128 + side * 20, 80)], fill=fur)
    pen.ellipse((45, 60, 211, 220), fill=fur)
    for side in (-1, 1):
        pen.ellipse((128 + side * 38 - 14, 115, 128 + side * 38 + 14, 140), fill=220)
        pen.line((128, 170, 128 + side * 90, 160 + 20 * float(rng.random())), fill=240, width=2)
    pen.polygon([(118, 158), (138, 158), (128, 170)], fill=250)
    rough = 25 * gaussian_filter(rng.normal(size=(SIDE, SIDE)), 1.0)
    return _grey(np.asarray(page, float) + rough)


KINDS: dict[str, Callable[[np.random.Generator], Grey]] = {
    "grating": _grating,
    "ramp": _ramp,
    "chart": _chart,
    "mosaic": _mosaic,
    "marble": _marble,
    "blobs": _blobs,
    "spine": _spine,
    "thighs": _thighs,
    "cat": _cat,
}


def _scan_like(tones: Floats, rng: np.random.Generator) -> Grey:
    level = rng.uniform(0.01, 0.05)
    soft = gaussian_filter(tones, 1.0) + 0.05 * gaussian_filter(rng.normal(size=tones.shape), 2) * (tones > 0)
    return _grey(np.hypot(soft + level * rng.normal(size=tones.shape), level * rng.normal(size=tones.shape)))


def _grey(values: NDArray[np.generic]) -> Grey:
    plain = np.asarray(values, float)
    low, high = float(plain.min()), float(plain.max())
    return np.asarray(255 * (plain - low) / max(1e-9, high - low), np.uint8)
