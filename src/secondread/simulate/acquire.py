"""A head becomes a series: signal of its tissues, and everything a scanner adds. Shape legend: N the scan's grid."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.simulate.anatomy import TISSUES
from secondread.simulate.fields import Floats, smooth_noise
from secondread.simulate.scene import Grid, Series

_BIAS_LENGTH_MM = 75.0
_MAX_STORED = 32000

# Signal by tissue, white matter in T1 at 0.8, from the order of brightness that radiology textbooks give. Vessels are
# dark where blood flows out of the slice, and bright with contrast agent.
LOOKS: dict[str, dict[str, float]] = {
    "t1": {
        "csf": 0.20, "gm": 0.56, "wm": 0.80, "bone": 0.06, "marrow": 0.45, "fat": 1.10, "muscle": 0.45,
        "vitreous": 0.20, "vessel": 0.45, "dura": 0.30, "necrosis": 0.30, "oedema": 0.50, "enhancing": 0.48,
        "meningioma": 0.56,
    },
    "t1c": {
        "csf": 0.20, "gm": 0.58, "wm": 0.80, "bone": 0.06, "marrow": 0.48, "fat": 1.10, "muscle": 0.50,
        "vitreous": 0.20, "vessel": 1.25, "dura": 0.70, "necrosis": 0.32, "oedema": 0.54, "enhancing": 1.25,
        "meningioma": 1.20,
    },
    "t2": {
        "csf": 1.10, "gm": 0.66, "wm": 0.46, "bone": 0.06, "marrow": 0.35, "fat": 0.60, "muscle": 0.28,
        "vitreous": 1.10, "vessel": 0.12, "dura": 0.20, "necrosis": 1.00, "oedema": 0.92, "enhancing": 0.74,
        "meningioma": 0.70,
    },
    "flair": {
        "csf": 0.14, "gm": 0.60, "wm": 0.50, "bone": 0.06, "marrow": 0.35, "fat": 0.65, "muscle": 0.30,
        "vitreous": 0.14, "vessel": 0.20, "dura": 0.30, "necrosis": 0.72, "oedema": 1.05, "enhancing": 0.92,
        "meningioma": 0.72,
    },
    "pd": {
        "csf": 0.88, "gm": 0.82, "wm": 0.66, "bone": 0.06, "marrow": 0.45, "fat": 0.75, "muscle": 0.42,
        "vitreous": 0.88, "vessel": 0.20, "dura": 0.40, "necrosis": 0.95, "oedema": 0.95, "enhancing": 0.88,
        "meningioma": 0.88,
    },
}  # fmt: skip


def looks_of(contrast: str) -> Floats:
    """Mean signal of each tissue, (T) float32."""
    return np.array([LOOKS[contrast][name] for name in TISSUES], np.float32)


def acquire(weights: Floats, grid: Grid, series: Series) -> NDArray[np.int16]:
    """Voxels of one series, (i, j, k of the finished grid) int16, from ``weights`` (T, N)."""
    rng = np.random.default_rng(series.seed)
    signal = np.tensordot(np.array(series.looks, np.float32), weights, axes=1)
    signal = np.maximum(signal, 0) ** np.float32(series.gamma)
    signal *= np.exp(np.float32(series.bias) * smooth_noise(rng, grid.shape, grid.spacing, _BIAS_LENGTH_MM))
    if series.blur:
        signal = _blurred(signal, series.blur)
    if series.ghost:
        half = grid.shape[series.ghost_axis] // 2
        signal += np.float32(series.ghost) * np.roll(signal, half, axis=series.ghost_axis)
    if series.spike:
        turns = [np.linspace(0, 2 * np.pi * c, n) for c, n in zip(series.spike_cycles, grid.shape[:2], strict=True)]
        signal += np.float32(series.spike) * np.cos(np.add.outer(*turns)).astype(np.float32)[:, :, None]
    if grid.thick > 1:
        signal = thicken(signal, grid.thick).mean(axis=3, dtype=np.float32)
    # A magnitude image: noise in both channels of the receiver (Gudbjartsson and Patz, Magn Reson Med 1995).
    real = rng.standard_normal(signal.shape, dtype=np.float32) * np.float32(series.noise) + signal
    imaginary = rng.standard_normal(signal.shape, dtype=np.float32) * np.float32(series.noise)
    stored = np.sqrt(real**2 + imaginary**2) * np.float32(series.scale)
    return np.asarray(np.clip(np.rint(stored), 0, _MAX_STORED), np.int16)


def thicken(values: NDArray[Any], thick: int) -> NDArray[Any]:
    """(i, j, k) -> (i, j, k // thick, thick): slices in groups; what is left over at the end is cut."""
    i, j, k = values.shape
    return values[:, :, : k // thick * thick].reshape(i, j, k // thick, thick)


def _blurred(signal: Floats, sigma: float) -> Floats:
    from scipy.ndimage import correlate1d

    # Three taps with the variance of the Gaussian: exact enough below one voxel, and a fifth of its cost.
    side = sigma**2 / 2
    taps = np.array([side, 1 - 2 * side, side], np.float32)
    for axis in range(3):
        signal = correlate1d(signal, taps, axis=axis, mode="nearest", output=np.float32)
    return signal
