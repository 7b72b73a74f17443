"""The deterministic part: a scene becomes a study and its mask."""

from __future__ import annotations

import numpy as np

from secondread.simulate.acquire import acquire, thicken
from secondread.simulate.anatomy import atlas, places_of
from secondread.simulate.draw import draw_scene
from secondread.simulate.lesions import paint
from secondread.simulate.scene import Scene
from secondread.simulate.settings import NORMAL, Settings
from secondread.simulate.tissues import tissues
from secondread.volume import Mask, Study, Volume


def render(scene: Scene, name: str) -> tuple[Study, Mask]:
    """The study ``name`` that ``scene`` describes, and what is abnormal in it; equal scenes give equal voxels.

    The mask holds 1 for core, 2 for oedema and 4 for enhancing tumour, on the grid that all series share.
    """
    grid, head = scene.grid, scene.head
    bulges = (head.ventricle_bulge(), *(lesion.bulge(head.size) for lesion in scene.lesions))
    outer, inner = places_of(grid, head, bulges)
    weights, within = tissues(grid, head, atlas(grid.spacing), outer, inner, scene.skull)
    labels = np.zeros(grid.shape, np.uint8)
    for lesion in scene.lesions:
        paint(weights, labels, lesion, grid, head, outer, within)
    geometry = grid.final_geometry()
    series = {s.contrast: Volume(geometry, acquire(weights, grid, s)) for s in scene.series}
    return Study(name, series), Mask(geometry, thicken(labels, grid.thick).max(axis=3))


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
