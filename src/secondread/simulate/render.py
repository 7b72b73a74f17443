"""One study: a batch of one, as a scanner stores it."""

from __future__ import annotations

import numpy as np

from secondread.simulate.batch import render_signal
from secondread.simulate.draw import draw_scene
from secondread.simulate.scene import Scene
from secondread.simulate.settings import NORMAL, Settings
from secondread.volume import Mask, Study, Volume

_MAX_STORED = 32000


def render(scene: Scene, name: str) -> tuple[Study, Mask]:
    """The study ``name`` that ``scene`` describes, and what is abnormal in it; equal scenes give equal voxels.

    The mask holds 1 for core, 2 for oedema and 4 for enhancing tumour, on the grid that all series share.
    """
    signal, masks = render_signal((scene,))
    geometry = scene.grid.final_geometry()
    series = {}
    for one, values in zip(scene.series, signal[0], strict=True):
        stored = (values * one.scale).round().clamp(0, _MAX_STORED)
        series[one.contrast] = Volume(geometry, stored.numpy().astype(np.int16))
    return Study(name, series), Mask(geometry, masks[0].numpy())


def simulate_study(
    seed: int, settings: Settings | None = None, *, label: str | None = None, name: str = "sim"
) -> tuple[Study, Mask, str, bool]:
    """One simulated examination, the same for the same seed, settings and label.

    Args:
        seed: 0 or more.
        settings: what to draw; None for the defaults.
        label: "normal" or one of the settings' categories; None draws it.
        name: the study's name.

    Returns:
        ``(study, mask, label, normal)``: series of (i, j, k) int16 by contrast, all on one grid; the lesions on that
        grid (1 core, 2 oedema, 4 enhancing), empty for a normal study; the label; whether it means "nothing abnormal".

    Raises:
        UsageError: a negative seed, an unknown label.
    """
    scene = draw_scene(seed, settings or Settings(), label)
    study, mask = render(scene, name)
    return study, mask, scene.label, scene.label == NORMAL
