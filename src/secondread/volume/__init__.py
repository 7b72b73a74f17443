"""Types without I/O: where voxels lie, what a study is, what a reading says, and how a study becomes an array."""

from secondread.volume.finding import Category, Decision, Findings, Location, ModelId, Presence
from secondread.volume.geometry import RAS_TO_LPS, Geometry
from secondread.volume.prepare import Frame, Prepared, Recipe, extent, prepare, prepare_mask
from secondread.volume.volume import Mask, Picture, Study, Volume

__all__ = [
    "RAS_TO_LPS",
    "Category",
    "Decision",
    "Findings",
    "Frame",
    "Geometry",
    "Location",
    "Mask",
    "ModelId",
    "Picture",
    "Prepared",
    "Presence",
    "Recipe",
    "Study",
    "Volume",
    "extent",
    "prepare",
    "prepare_mask",
]
