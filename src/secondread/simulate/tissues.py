"""What each voxel of a head is made of, painted layer over layer.

Shape legend: B samples; C contrasts; T tissues in the order of ``TISSUES``; N the grid (i, j, k).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from secondread.simulate.anatomy import SELLA, SHELL, Atlas, Ellipsoid, outside
from secondread.simulate.fields import SIDE, noise_at
from secondread.simulate.looks import INDEX
from secondread.simulate.scene import Head
from secondread.simulate.warp import Warp

_FINE_MM = 5.0

# What every head has at the base of its skull, and what a lesion may look like. Places and sizes as anatomical atlases
# give them, to some millimetres.
_BASE: list[Ellipsoid] = [
    ((0.0, -3.0, -42.0), (10.0, 6.5, 9.0)),  # clivus, from the sella down
    ((0.0, -7.0, -49.0), (11.0, 6.5, 9.0)),
    ((0.0, -12.0, -57.0), (12.0, 6.5, 10.0)),
    ((17.0, -14.0, -46.0), (13.0, 6.0, 5.0)),  # tip of the petrous bone
]
_BASE_BONE_MM = 1.6
_GLAND: list[Ellipsoid] = [(SELLA, (6.0, 4.5, 3.2))]
_POSTERIOR_LOBE: list[Ellipsoid] = [((0.0, -1.0, -34.0), (2.6, 1.6, 2.2))]
_STALK: list[Ellipsoid] = [((0.0, 2.5, -26.0), (1.3, 1.5, 6.5))]
_CAROTIDS: list[Ellipsoid] = [((11.0, 3.0, -34.0), (3.0, 7.0, 3.0)), ((12.0, -4.0, -42.0), (2.6, 2.6, 8.0))]
_CAVERNOUS: list[Ellipsoid] = [((11.0, 2.0, -34.0), (4.5, 9.0, 6.0))]
_BASILAR: list[Ellipsoid] = [((0.0, -10.0, -36.0), (1.7, 1.7, 13.0))]


@dataclass(frozen=True, eq=False)
class Canvas:
    """Signal under the brush.

    Attributes:
        signal: (B, C, *N), 0 where there is air.
        looks: (B, C, T).
    """

    signal: Tensor
    looks: Tensor

    def cover(self, name: str, share: Tensor, gain: Tensor | None = None) -> None:
        """Let ``share`` (B, *N) of each voxel be tissue ``name``, over whatever was there; in place.

        ``gain`` (B, *N): its signal over its usual one.
        """
        look = self.looks[:, :, INDEX[name], None, None, None]
        self.signal.lerp_(look * gain[:, None] if gain is not None else look.expand_as(self.signal), share[:, None])

    def box(self, b: int, where: tuple[slice, ...]) -> Canvas:
        """A view of a box of sample ``b``."""
        return Canvas(self.signal[b : b + 1, :, *where], self.looks[b : b + 1])


@dataclass(frozen=True, eq=False)
class Body:
    """What lesions and the cut round the brain need to know of the head. All (B, *N).

    Attributes:
        white, fluid: share of white matter and of fluid, within the brain.
        above: mm outside the dura; negative inside.
        within: share of the voxel inside the dura.
        brain: mm outside the closed brain.
    """

    white: Tensor
    fluid: Tensor
    above: Tensor
    within: Tensor
    brain: Tensor


def paint_head(canvas: Canvas, heads: Sequence[Head], maps: Atlas, warp: Warp, voxel: Tensor) -> Body:
    """Heads without lesion on an empty canvas. ``voxel`` (B): mm between voxels."""
    shell = dict(zip(SHELL, warp.shell.unbind(1), strict=True))
    one = _per_head(heads, voxel.device)
    voxel = voxel.reshape(-1, 1, 1, 1)
    rim = one["rim_mm"] * (1 + 0.25 * warp.uneven)
    above = shell["depth"] - rim
    within = ramp(-above, voxel)
    shift = torch.stack([torch.rand(3, generator=torch.Generator().manual_seed(head.seed)) * SIDE for head in heads])
    length = torch.full((len(heads),), _FINE_MM, device=voxel.device)
    fine = noise_at(warp.outer, length, shift.to(voxel.device))
    _paint_skull(canvas, shell, one, warp, above, voxel)
    gain = 1 + one["texture"] * (fine[:, 2] * 0.5 + warp.mixed * 0.5)
    canvas.cover("csf", within)
    grey, white = _matter(maps, one, warp, fine, within)
    canvas.cover("gm", grey, gain)
    canvas.cover("wm", white, gain)
    ventricle = shell["ventricle"]
    caps = (1 - ventricle.clamp_min(0) / (2 + 4 * one["caps"])).clamp(0, 1) * (1 + 0.5 * warp.mixed).clamp(0, 1)
    canvas.cover("plaque", white * caps * one["caps"] * 0.5)
    plexus = ((warp.clutter[:, 0] - 0.9) * 2).clamp(0, 1) * ramp(-1 - ventricle, voxel)
    canvas.cover("choroid", plexus * (within - grey).clamp(0, 1))
    free = 1 - grey
    fluid = within * free * (1 - _paint_base(canvas, one, warp, free, voxel))
    _paint_vessels(canvas, one, warp, shell["depth"], above, within, fluid, voxel)
    spots = ((fine[:, 3] - 3.4 + 1.4 * one["spots"]) * 2).clamp(0, 1) * white * (one["spots"] > 0.05)
    canvas.cover("plaque", spots * 0.8)
    return Body(white, fluid, above, within, shell["depth"])


def ramp(mm: Tensor, voxel: Tensor) -> Tensor:
    """Share of a voxel that lies on the positive side of a surface ``mm`` away: 0 to 1 over one voxel."""
    return (mm / voxel + 0.5).clamp(0, 1)


def _per_head(heads: Sequence[Head], device: torch.device) -> dict[str, Tensor]:
    names = (
        "sulci", "folds", "texture", "rim_mm", "bone_mm", "scalp_mm", "spots", "caps", "vessels",
        "gland_mm", "bright_lobe", "base_fat",
    )  # fmt: skip
    return {
        name: torch.tensor([getattr(head, name) for head in heads], device=device).reshape(-1, 1, 1, 1)
        for name in names
    }


def _matter(maps: Atlas, one: dict[str, Tensor], warp: Warp, fine: Tensor, within: Tensor) -> tuple[Tensor, Tensor]:
    """Share of a voxel that is brain, and that is white matter; white lies over grey."""
    grey, white = maps.matter_at(warp.inner).unbind(1)
    matter = (grey + white).clamp(0, 1)
    part = white / matter.clamp_min(1e-3)
    # The maps are an average of many people, so borders are blurred: steepen them, and let a fold's noise decide where
    # within the blur this person's border lies.
    folds = one["folds"] * 4
    part = ((part - 0.5) * 1.8 + 0.5 + folds * fine[:, 0] * part * (1 - part)).clamp(0, 1)
    matter = ((matter - 0.45 - one["sulci"]) * 1.7 + 0.5 + folds * fine[:, 1] * matter * (1 - matter)).clamp(0, 1)
    matter = matter * within
    return matter, matter * part


def _paint_skull(
    canvas: Canvas, shell: dict[str, Tensor], one: dict[str, Tensor], warp: Warp, above: Tensor, voxel: Tensor
) -> None:
    """Scalp, face and neck, bone and dura. ``above`` (B, *N) is mm outside the dura."""
    bone = one["bone_mm"] * (1 - 0.25 * warp.uneven)
    skin = torch.minimum(above - bone - one["scalp_mm"], shell["skin"] + 4 * warp.uneven)
    soft = ramp(-skin, voxel)
    streaks, boned, pores, threads = warp.clutter.unbind(1)
    fat = (0.5 + 0.5 * warp.mixed + (6 + skin) / 5).clamp(0, 1) * ramp(-1.2 - skin, voxel)
    # Deep below the skin streaks of fat run between muscles, round bones with marrow in them.
    deep = ramp(-skin - one["scalp_mm"] - 2, voxel)
    fat = torch.lerp(fat, ((0.45 - streaks.abs()) * 4).clamp(0, 1), deep)
    canvas.cover("muscle", soft)
    canvas.cover("fat", soft * fat)
    canvas.cover("bone", ((boned - 0.35) * 4).clamp(0, 1) * deep)
    canvas.cover("marrow", ((boned - 1.1) * 4).clamp(0, 1) * deep * 0.9)
    canvas.cover("vessel", ((0.16 - torch.hypot(threads, streaks)) * 8).clamp(0, 1) * deep)
    canvas.cover("fat", ramp(-shell["orbit"], voxel) * soft, 0.8 + 0.2 * streaks.clamp(-1, 1))
    canvas.cover("vitreous", ramp(-shell["eye"], voxel) * soft)
    cavity = ramp(-shell["hollow"] - 3 * pores.clamp(-1, 2), voxel)
    # Mucosa lines the air, and fills some of it.
    canvas.cover("choroid", ramp(2 - shell["hollow"] - 3 * pores.clamp(-1, 2), voxel) * soft * 0.7)
    canvas.signal.mul_((1 - cavity * (0.6 + 0.8 * pores).clamp(0.4, 1))[:, None])
    canvas.cover("bone", ramp(bone - above, voxel))
    diploe = (1 - (above / bone - 0.5).abs() * 3).clamp(0, 1) * (0.4 + 0.5 * warp.mixed).clamp(0, 1)
    canvas.cover("marrow", diploe)
    canvas.cover("dura", ramp(0.8 - above, voxel) * (0.35 + 0.35 * warp.mixed).clamp(0, 0.8))


def _paint_base(canvas: Canvas, one: dict[str, Tensor], warp: Warp, free: Tensor, voxel: Tensor) -> Tensor:
    """The base of the skull round the sella, and the gland in it; ``free`` (B, *N): what is not brain. Returns how much
    of each voxel is base, (B, *N)."""
    x, y, z = warp.outer.unbind(1)
    at = x.abs(), y, z

    def inside(shapes: list[Ellipsoid], grown_mm: Tensor | float = 0.0) -> Tensor:
        return ramp(grown_mm - outside(at, shapes), voxel) * free

    base = outside(at, _BASE)
    marrow = ramp(-base, voxel) * free
    bone = ramp(_BASE_BONE_MM - base, voxel) * free
    canvas.cover("bone", bone)
    canvas.cover("marrow", marrow)
    canvas.cover("fat", marrow * (one["base_fat"] * (0.8 + 0.5 * warp.mixed)).clamp(0, 1))
    cavernous = inside(_CAVERNOUS)
    canvas.cover("dura", cavernous * 0.8)
    for shapes in (_CAROTIDS, _BASILAR):
        canvas.cover("vessel", inside(shapes))
    # Glands enhance as the choroid plexus does, and otherwise look much like grey matter.
    gland = torch.maximum(inside(_STALK), inside(_GLAND, one["gland_mm"]))
    canvas.cover("choroid", gland)
    canvas.cover("gm", gland * 0.3)
    canvas.cover("fat", inside(_POSTERIOR_LOBE) * one["bright_lobe"])
    return torch.maximum(torch.maximum(bone, cavernous), gland)


def _paint_vessels(
    canvas: Canvas,
    one: dict[str, Tensor],
    warp: Warp,
    depth: Tensor,
    above: Tensor,
    within: Tensor,
    fluid: Tensor,
    voxel: Tensor,
) -> None:
    """Falx, sagittal sinus, and wandering vessels where there is fluid."""
    x, y, z = warp.outer.unbind(1)
    falx = ramp(0.5 - x.abs(), voxel) * within * ((z > 22) | (y > 40) | (y < -60)) * (z > -15)
    canvas.cover("dura", falx * (0.5 + 0.4 * warp.mixed).clamp(0, 0.9))
    # The sagittal sinus widens on its way from the forehead to the back.
    width = (1.2 + 2.0 * ((40 - y) / 100).clamp(0, 1)) * (1 + 0.3 * warp.mixed)
    sinus = ramp(width - torch.hypot(x, depth - 0.5), voxel) * ((z > 0) | (y < -60))
    canvas.cover("vessel", sinus)
    # Where two smooth fields are both zero there is a curve: a vessel runs along it.
    tube = torch.hypot(*warp.strands.unbind(1)) * warp.strand_mm
    near = (above < 0) & (depth > -25)
    share = ramp(one["vessels"] - tube, voxel) * near * (0.25 + fluid).clamp(0, 1)
    canvas.cover("vessel", share * (one["vessels"] / voxel).clamp(0, 1))
