"""Lesions painted into heads, box by box.

Shape legend: N the grid (i, j, k) of one sample; X the box of it that holds one lesion. Signed distances are in mm,
negative inside.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from secondread.simulate.fields import SIDE, box_mean, noise_at
from secondread.simulate.scene import Lesion, Scene, rotation
from secondread.simulate.tissues import Body, Canvas, ramp

CORE, OEDEMA, ENHANCING = 1, 2, 4
"""Values in the mask, as BraTS has them (Menze et al., IEEE TMI 2015)."""

_BEND_MM = 9.0
"""Bends move nothing further than this."""

_GYRUS_MM = 8.0
"""A gyrus with the sulcus beside it: what is narrower than that is no ventricle."""

_TAIL = 1.8
"""A dural tail ends this many radii from the middle of its meningioma."""

Box = tuple[slice, slice, slice]


class Parts(NamedTuple):
    """Share of each voxel (X) taken by a lesion's parts; together at most 1. ``solid`` names the tissue of the ring."""

    core: Tensor
    enhancing: Tensor
    oedema: Tensor
    solid: str


class Ground(NamedTuple):
    """What a lesion grows in; all (X) of one sample, mm where they are lengths.

    Attributes:
        places: (3, *X) MNI.
        away: (3, *X) from the lesion's middle, turned and stretched as the lesion is.
        ragged: outside the lesion's border.
        coarse, fine: (4, *X) noise over half and over a fifth of the lesion.
        white, fluid, above, within: as in Body.
        voxel: mm between voxels.
    """

    places: Tensor
    away: Tensor
    ragged: Tensor
    coarse: Tensor
    fine: Tensor
    white: Tensor
    fluid: Tensor
    above: Tensor
    within: Tensor
    voxel: float


def paint_lesions(canvas: Canvas, labels: Tensor, scenes: tuple[Scene, ...], outer: Tensor, body: Body) -> None:
    """Add each scene's lesions to the canvas and to ``labels`` (B, *N) uint8, in place."""
    for b, scene in enumerate(scenes):
        for lesion in scene.lesions:
            where = box_of(lesion, scene)
            if where is not None:
                ground = _ground(lesion, scene, b, where, outer, body)
                parts = grow(lesion, ground)
                box = canvas.box(b, where)
                for name, share, gain in layers(lesion, parts, ground):
                    box.cover(name, share[None], gain[None])
                write_labels(labels[(b, *where)], parts, ground)


def box_of(lesion: Lesion, scene: Scene) -> Box | None:
    """Where in the grid a lesion may show; None where it cannot."""
    grid, head = scene.grid, scene.head
    matrix = head.from_lps() @ grid.geometry().affine
    centre = np.linalg.solve(matrix[:3, :3], np.array(lesion.centre) - matrix[:3, 3])
    reach = lesion.diameter_mm / 2 * max(lesion.axes) * (1 + 1.5 * lesion.rough)
    reach = max(reach + lesion.reach_mm, _TAIL * lesion.diameter_mm / 2) + _BEND_MM
    found = []
    for at, spacing, n in zip(centre, grid.spacing, grid.shape, strict=True):
        low, high = int(np.floor(at - reach / spacing)), int(np.ceil(at + reach / spacing)) + 1
        if high <= 0 or low >= n:
            return None
        found.append(slice(max(0, low), min(n, high)))
    return found[0], found[1], found[2]


def _ground(lesion: Lesion, scene: Scene, b: int, where: Box, outer: Tensor, body: Body) -> Ground:
    places = outer[(b, slice(None), *where)]
    voxel = float(np.prod(scene.grid.spacing)) ** (1 / 3)
    here = (b, *where)
    fields = (body.white[here], body.fluid[here], body.above[here], body.within[here])
    return ground_of(lesion, places, lesion.diameter_mm / 2 / scene.head.size, fields, voxel)


def ground_of(
    lesion: Lesion, places: Tensor, radius: float, fields: tuple[Tensor, Tensor, Tensor, Tensor], voxel: float
) -> Ground:
    """The ground of a lesion of ``radius`` mm. ``fields``: white, fluid, above and within, as in :class:`Ground`."""
    device = places.device
    centre, axes = (torch.tensor(v, device=device).reshape(3, 1, 1, 1) for v in (lesion.centre, lesion.axes))
    turn = torch.tensor(rotation(lesion.turn), dtype=torch.float32, device=device)
    away = torch.einsum("rc,cijk->rijk", turn, places - centre) / axes
    rng = torch.Generator().manual_seed(lesion.seed)
    shift = (torch.rand(1, 3, generator=rng) * SIDE).to(device)
    length = torch.tensor([max(voxel, 0.9 * radius)], device=device)
    coarse = noise_at(places[None], length, shift)[0]
    fine = noise_at(places[None], (length * 0.35).clamp_min(voxel), shift + 11)[0]
    border = (coarse[0] + 0.4 * fine[0]).clamp(-2.5, 2.5)
    ragged = away.norm(dim=0) - radius + lesion.rough * radius * border
    white, fluid, above, within = fields
    return Ground(places, away, ragged, coarse, fine, white, fluid, above, within, voxel)


def grow(lesion: Lesion, ground: Ground) -> Parts:
    """The parts of ``lesion`` in its ground."""
    if lesion.kind == "meningioma":
        return _meningioma(lesion, ground)
    if lesion.kind == "pituitary":
        return _pituitary(lesion, ground)
    if lesion.kind == "ms":
        return _plaque(lesion, ground)
    return _glioma(lesion, ground)


def _glioma(lesion: Lesion, ground: Ground) -> Parts:
    """Necrotic core, enhancing ring, oedema. Metastases, too."""
    radius = lesion.diameter_mm / 2
    # What does not enhance has no wall, either: it seeps into its surroundings.
    seeping = 0.2 * radius * lesion.patchy if lesion.core >= 1 else 0.0
    solid = ramp(-ground.ragged, _mm(ground) + seeping) * ground.within * (1 - 0.8 * ground.fluid)
    core = _core(lesion, ground, solid)
    return Parts(core, solid - core, _oedema(lesion, ground, solid, 0.3 * radius), "enhancing")


def _core(lesion: Lesion, ground: Ground, solid: Tensor) -> Tensor:
    radius = lesion.diameter_mm / 2
    depth = ground.ragged + radius * (1 - lesion.core)
    mixed = ground.coarse[1] + 0.6 * ground.fine[1]
    inside = ramp(-(depth + lesion.patchy * 0.35 * radius * mixed), _mm(ground))
    return torch.minimum(inside, solid) if 0 < lesion.core < 1 else solid * float(lesion.core >= 1)


def _oedema(lesion: Lesion, ground: Ground, solid: Tensor, least: float) -> Tensor:
    """Spreads through white matter, more or less into grey matter, hardly over the midline.

    As it swells it closes sulci, and whatever fluid is as narrow as they are: the rim of a wide ventricle, too.
    """
    if lesion.reach_mm <= 0:
        return torch.zeros_like(solid)
    reach = lesion.reach_mm
    white = ground.white.lerp(_around(ground.white, _GYRUS_MM / 2, ground.voxel), 1 - lesion.follow)
    fluid = ground.fluid.lerp((2.5 * _around(ground.fluid, _GYRUS_MM, ground.voxel) - 1).clamp(0, 1), lesion.swell)
    barrier = lesion.follow * (0.85 - white).clamp_min(0) * (1.3 * reach + least)
    side = 1.0 if lesion.centre[0] > 0 else -1.0
    crossed = (-side * ground.places[0]).clamp_min(0)
    wander = reach * (0.35 * ground.coarse[2] + 0.05 * ground.fine[2])
    spread = reach - ground.ragged - barrier - crossed + wander
    # Its border is soft: water thins out over some millimetres.
    share = (spread / (0.25 * reach + ground.voxel) + 0.5).clamp(0, 1)
    return (share * (1 - fluid) * ground.within - solid).clamp(0, 1)


def _around(values: Tensor, mm: float, voxel: float) -> Tensor:
    """(*X): mean over a box of about ``mm``, as if voxels were cubes, and of an odd number of them."""
    reach = round(mm / voxel / 2)
    size = [2 * min(reach, (n - 1) // 2) + 1 for n in values.shape]  # a slice has one voxel across
    return box_mean(values[None], size)[0]


def _meningioma(lesion: Lesion, ground: Ground) -> Parts:
    """One compact mass with a broad base on the dura, a tail along it, at times oedema in the white matter beside."""
    radius = lesion.diameter_mm / 2
    inside = ramp(0.8 - ground.above, _mm(ground))
    solid = ramp(-ground.ragged, _mm(ground)) * inside
    near = ramp(_TAIL * radius * (1 + 0.2 * ground.coarse[1]) - ground.away.norm(dim=0), _mm(ground))
    thick = 2.2 * (1 - (ground.ragged / radius).clamp(0, 1) * 0.6)
    tail = near * ramp(thick + ground.above, _mm(ground)) * inside
    solid = torch.maximum(solid, tail if lesion.patchy > 0.4 else torch.zeros_like(tail))
    core = _core(lesion, ground, solid)
    return Parts(core, solid - core, _oedema(lesion, ground, solid, 0.3 * radius), "meningioma")


def _pituitary(lesion: Lesion, ground: Ground) -> Parts:
    """A ball in the sella; a large one grows up through a waist."""
    radius = lesion.diameter_mm / 2
    up = ground.away.clone()
    up[2] -= 0.85 * radius
    lobe = up.norm(dim=0) - 0.72 * radius + lesion.rough * radius * ground.coarse[0]
    ragged = torch.minimum(ground.ragged, lobe) if lesion.diameter_mm > 14 else ground.ragged
    solid = ramp(-ragged, _mm(ground))
    core = _core(lesion, ground._replace(ragged=ragged), solid)
    return Parts(core, solid - core, torch.zeros_like(solid), "pituitary")


def _plaque(lesion: Lesion, ground: Ground) -> Parts:
    """A patch of lost myelin: it replaces white matter, with a soft edge and without mass."""
    solid = (-ground.ragged / (1.5 * ground.voxel) + 0.5).clamp(0, 1) * (1 - ground.fluid) * ground.within
    ring = ramp(1.2 * ground.voxel - ground.ragged.abs(), _mm(ground)) * solid
    enhancing = ring if lesion.core < 1 else torch.zeros_like(solid)
    return Parts(solid - enhancing, enhancing, torch.zeros_like(solid), "enhancing")


def _mm(ground: Ground) -> Tensor:
    return torch.tensor(ground.voxel, device=ground.ragged.device)


def layers(lesion: Lesion, parts: Parts, ground: Ground) -> list[tuple[str, Tensor, Tensor]]:
    """(tissue, share of each voxel (X), its signal over its usual one (X)), in the order in which they are painted."""
    even = 0.3 if lesion.kind in ("meningioma", "pituitary") else 1.0
    grain = 1 + even * (0.06 * ground.fine[3] + 0.1 * ground.coarse[3])
    inner = "plaque" if lesion.kind == "ms" else "necrosis"
    named = (("oedema", parts.oedema), (inner, parts.core), (parts.solid, parts.enhancing))
    tones = (lesion.tones[2], lesion.tones[0], lesion.tones[1])
    return [
        (name, share * lesion.opacity, (grain * tone).clamp_min(0))
        for (name, share), tone in zip(named, tones, strict=True)
    ]


def write_labels(labels: Tensor, parts: Parts, ground: Ground) -> None:
    """Write into ``labels`` (X). A lesion too small to fill half a voxel still gets the voxel at its middle."""
    shares = torch.stack([parts.core, parts.enhancing, parts.oedema])
    names = torch.tensor([CORE, ENHANCING, OEDEMA], dtype=torch.uint8, device=labels.device)
    largest = names[shares.argmax(dim=0)]
    found = shares.sum(dim=0) >= 0.5
    distance = ground.away.norm(dim=0)
    nearest = (distance == distance.min()) & (distance <= ground.voxel)
    found = found | (nearest & ~found.any())
    # Where two lesions of a sample meet, tumour prevails over the other one's oedema.
    keep = found & ~((labels > 0) & (largest == OEDEMA))
    labels.copy_(torch.where(keep, largest, labels))
