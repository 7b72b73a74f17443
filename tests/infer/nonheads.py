"""Pictures that are no head MRI, made from a seed: the set that the share of caught strangers is reported on.

Nothing is tuned on these. What was looked at while the score was made is in :mod:`tests.infer.strangers`, which draws
other things.
"""

from __future__ import annotations

import string
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

Grey = NDArray[np.uint8]
Floats = NDArray[np.float64]


def non_heads(each: int = 25, seed: int = 0) -> list[tuple[str, Grey]]:
    """``each`` pictures of every kind in :data:`KINDS`, as (kind, (rows, columns) uint8); 200 by default."""
    return [
        (kind, draw(np.random.default_rng([seed, number, i])))
        for number, (kind, draw) in enumerate(KINDS.items())
        for i in range(each)
    ]


def _noise(rng: np.random.Generator) -> Grey:
    shape = _shape(rng)
    kind = rng.integers(4)
    if kind == 0:
        return _grey(rng.normal(size=shape))
    if kind == 1:
        return _grey(rng.random(shape))
    if kind == 2:
        return _grey((rng.random(shape) < rng.uniform(0.02, 0.3)).astype(float))
    return _grey(rng.rayleigh(size=shape))


def _text(rng: np.random.Generator) -> Grey:
    rows, columns = _shape(rng)
    dark = rng.random() < 0.5
    page = Image.new("L", (columns, rows), 12 if dark else 240)
    pen, size = ImageDraw.Draw(page), int(rng.integers(10, 40))
    font = ImageFont.load_default(size)
    for y in range(8, rows - size, int(1.4 * size)):
        words = ["".join(rng.choice(list(string.ascii_letters), rng.integers(1, 10))) for _ in range(40)]
        line = " ".join(words)[: int(rng.uniform(0.5, 1.1) * columns / size * 2)]
        pen.text((8, y), line, fill=230 if dark else 20, font=font)
    return np.asarray(page)


def _shapes(rng: np.random.Generator) -> Grey:
    rows, columns = _shape(rng)
    page = Image.new("L", (columns, rows), int(rng.integers(0, 256)))
    pen = ImageDraw.Draw(page)
    for _ in range(int(rng.integers(1, 12))):
        x, y = rng.uniform(0, columns), rng.uniform(0, rows)
        r = rng.uniform(0.05, 0.35) * min(rows, columns)
        tone = int(rng.integers(0, 256))
        kind = rng.integers(3)
        if kind == 0:
            pen.ellipse((x - r, y - r * 0.7, x + r, y + r * 0.7), fill=tone)
        elif kind == 1:
            pen.rectangle((x - r, y - r * 0.6, x + r, y + r * 0.6), fill=tone)
        else:
            pen.polygon([(x + r * np.cos(t), y + r * np.sin(t)) for t in rng.uniform(0, 6.3, 3)], fill=tone)
    return np.asarray(page)


def _dead_leaves(rng: np.random.Generator) -> Grey:
    """Occluding discs with a power law of sizes: the statistics of photographs (Lee 2001)."""
    rows, columns = _shape(rng)
    page = Image.new("L", (columns, rows), 128)
    pen = ImageDraw.Draw(page)
    for _ in range(1500):
        r = 4 / rng.uniform(0.02, 1) ** 0.7
        x, y = rng.uniform(0, columns), rng.uniform(0, rows)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=int(rng.integers(0, 256)))
    return _grey(gaussian_filter(np.asarray(page, float), 0.7))


def _clouds(rng: np.random.Generator) -> Grey:
    """Noise with a spectrum of 1/f^a, as landscapes and skies have it."""
    shape = _shape(rng)
    f = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None])
    f[0, 0] = 1
    spectrum = np.fft.rfft2(rng.normal(size=shape)) / f ** rng.uniform(0.8, 2.0)
    return _grey(np.fft.irfft2(spectrum, s=shape))


def _knee(rng: np.random.Generator) -> Grey:
    """A sagittal knee: femur and tibia with dark cortex, patella, muscle and fat."""
    y, x, n = _plane(rng)
    leg = (np.abs(x - 0.05 * np.sin(3 * y)) < 0.62 + 0.06 * np.cos(4 * y)) * 0.85
    out = leg.copy()
    out[np.abs(x - 0.05) < 0.45] *= 0.5
    tilt = rng.uniform(-0.15, 0.15)
    for centre, sign in ((-0.06, -1), (0.09, 1)):
        shaft = (np.abs(x - tilt * y) < 0.2) & (sign * (y - centre) > 0)
        end = ((x - tilt * y) / 0.36) ** 2 + ((y - centre - sign * 0.16) / 0.2) ** 2 < 1
        bone = shaft | end
        out[gaussian_filter(bone.astype(float), n / 60) > 0.25] = 0.05
        out[gaussian_filter(bone.astype(float), n / 60) > 0.6] = rng.uniform(0.7, 0.95)
    patella = ((x + 0.48) / 0.1) ** 2 + ((y + 0.12) / 0.18) ** 2 < 1
    out[patella] = 0.8
    return _scanned(out, rng)


def _abdomen(rng: np.random.Generator) -> Grey:
    """An axial abdomen: fat, muscle, liver, kidneys, spine, bowel."""
    y, x, _ = _plane(rng)
    body = (x / 0.95) ** 2 + (y / 0.68) ** 2
    out = np.where(body < 1, 0.9, 0.0)
    out[body < rng.uniform(0.7, 0.9)] = 0.35
    out[((x + 0.4) / 0.4) ** 2 + ((y + 0.1) / 0.4) ** 2 < 1] = 0.55
    for side in (-1, 1):
        out[((x - side * 0.38) / 0.14) ** 2 + ((y - 0.28) / 0.18) ** 2 < 1] = rng.uniform(0.6, 0.8)
    out[(x / 0.16) ** 2 + ((y - 0.38) / 0.15) ** 2 < 1] = 0.15
    out[(x / 0.06) ** 2 + ((y - 0.55) / 0.06) ** 2 < 1] = 0.8
    for _ in range(int(rng.integers(6, 14))):
        a, b, r = rng.uniform(0, 0.6), rng.uniform(-0.45, 0.1), rng.uniform(0.04, 0.1)
        out[(x - a) ** 2 + (y - b) ** 2 < r**2] = rng.uniform(0.1, 0.9)
    return _scanned(out, rng)


def _hand(rng: np.random.Generator) -> Grey:
    """A hand in the coronal plane: five rays of bones in soft tissue."""
    y, x, _ = _plane(rng)
    out = np.zeros_like(x)
    palm = (np.abs(x) < 0.42) & (y > 0.05) & (y < 0.75)
    out[palm] = 0.5
    for finger, length in zip(np.linspace(-0.36, 0.36, 4), (0.7, 0.85, 0.8, 0.6), strict=True):
        axis = finger * (1 + 0.5 * (0.3 - y))
        out[(np.abs(x - axis) < 0.1) & (y < 0.2) & (y > 0.1 - length)] = 0.5
        for joint in np.linspace(0.6, 0.15 - length, 5)[:-1]:
            bone = ((x - axis) / 0.05) ** 2 + ((y - joint + 0.12) / 0.11) ** 2 < 1
            out[bone] = rng.uniform(0.75, 1)
    thumb = np.abs((x + 0.55) + 0.6 * (y - 0.25)) < 0.09
    out[thumb & (y > -0.05) & (y < 0.6)] = 0.6
    return _scanned(out, rng)


KINDS: dict[str, Callable[[np.random.Generator], Grey]] = {
    "noise": _noise,
    "text": _text,
    "shapes": _shapes,
    "dead leaves": _dead_leaves,
    "clouds": _clouds,
    "knee": _knee,
    "abdomen": _abdomen,
    "hand": _hand,
}


def _shape(rng: np.random.Generator) -> tuple[int, int]:
    return int(rng.integers(180, 420)), int(rng.integers(180, 420))


def _plane(rng: np.random.Generator) -> tuple[Floats, Floats, int]:
    """Rows and columns from -1 to 1 on a square grid, a little turned and moved; and the grid's side."""
    n = int(rng.integers(200, 400))
    y, x = np.mgrid[-1 : 1 : n * 1j, -1 : 1 : n * 1j]
    turn, zoom = rng.uniform(-0.15, 0.15), rng.uniform(0.9, 1.15)
    y, x = (y - rng.uniform(-0.05, 0.05)) * zoom, (x - rng.uniform(-0.05, 0.05)) * zoom
    return np.cos(turn) * y - np.sin(turn) * x, np.sin(turn) * y + np.cos(turn) * x, n


def _scanned(tones: NDArray[np.floating], rng: np.random.Generator) -> Grey:
    """Tones as a scanner would show them: blurred, under a smooth bias, with Rician noise, on black."""
    n = tones.shape[0]
    bias = gaussian_filter(rng.normal(size=tones.shape), n / 4)
    bias = np.exp(0.3 * bias / max(1e-9, float(np.abs(bias).max())))
    blurred = gaussian_filter(tones * bias + 0.08 * gaussian_filter(rng.normal(size=tones.shape), 3) * (tones > 0), 1.0)
    level = rng.uniform(0.01, 0.04)
    noisy = np.hypot(blurred + level * rng.normal(size=tones.shape), level * rng.normal(size=tones.shape))
    return _grey(noisy)


def _grey(values: Floats) -> Grey:
    low, high = float(values.min()), float(values.max())
    return np.asarray(255 * (values - low) / max(1e-9, high - low), np.uint8)
