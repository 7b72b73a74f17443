"""Labelled head scans out of nothing: the MNI152 maps, bent into new people, with lesions and their masks.

A seed draws a :class:`Scene`, and :func:`render` turns a scene into voxels without any chance of its own. Everything
about head and scanner is drawn from other streams than the lesions, so that nothing but the lesion tells the label.
"""

from secondread.simulate.batch import Parameters, Samples, draw_batch, render_batch
from secondread.simulate.draw import SITES, draw_scene
from secondread.simulate.implant import Implants, ImplantSettings, draw_implants, implant
from secondread.simulate.render import render, simulate_study
from secondread.simulate.scene import Scene
from secondread.simulate.settings import CATEGORIES, CONTRASTS, NORMAL, PLANES, BatchSettings, Settings
from secondread.simulate.write import write_studies

__all__ = [
    "CATEGORIES",
    "CONTRASTS",
    "NORMAL",
    "PLANES",
    "SITES",
    "BatchSettings",
    "ImplantSettings",
    "Implants",
    "Parameters",
    "Samples",
    "Scene",
    "Settings",
    "draw_batch",
    "draw_implants",
    "draw_scene",
    "implant",
    "render",
    "render_batch",
    "simulate_study",
    "write_studies",
]
