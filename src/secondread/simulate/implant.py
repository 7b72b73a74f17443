"""Lesions in real healthy scans, batchwise, on the device where they are.

    p = draw_implants(ImplantSettings(contrasts=("flair",), spacing=(2.0, 2.0, 2.0)), n=len(images), seed=7)
    images, masks = implant(images, p)

Nothing is known of such a scan but its voxels: what lies well inside the head, and which of it looks like the place
where a lesion begins. Brightness comes from the scan itself: air is 0, brain what is usual for the contrast, and a
lesion as far from that as it is in a simulated scan; the scan's own noise stays on top.

Shape legend: B scans; C contrasts; S space, (row, column) or (i, j, k); N the same with one slice along k.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from secondread.errors import UsageError
from secondread.simulate.disease import draw_lesions
from secondread.simulate.fields import box_mean
from secondread.simulate.lesions import Box, ground_of, grow, layers, write_labels
from secondread.simulate.looks import INDEX, KNOWN, looks_of, strange_looks
from secondread.simulate.scene import Lesion
from secondread.simulate.settings import Settings
from secondread.volume.foreground import foreground

KINDS = ("glioma", "meningioma", "metastasis", "ms")
"""Kinds that can be implanted: a sella is not found by brightness alone."""

HEAD_MM = 210.0
"""A picture's longer side, whose millimetres nobody knows."""

BRAIN_MM = 135.0
"""A brain ends no further than this below the top of a head."""

_INNER_MM = 24.0
_LIKE = 0.45
"""Tissue is like another that differs from it by less than this share of the brain's spread."""


@dataclass(frozen=True)
class ImplantSettings:
    """Which lesions go into which scans.

    Attributes:
        contrasts: channels of the images; a name that is none of the known contrasts gets lesions of any look.
        spacing: mm along i, j, k; None for pictures.
        chance: share of the scans that get a lesion.
        categories: kinds, out of KINDS.
        diameters, faintest, difficulty: as in Settings.

    Raises:
        UsageError: a value out of its range.
    """

    contrasts: tuple[str, ...]
    spacing: tuple[float, float, float] | None = None
    chance: float = 0.5
    categories: tuple[str, ...] = KINDS
    diameters: tuple[float, float] = (4.0, 60.0)
    faintest: float = 0.4
    difficulty: float = 1.0

    def __post_init__(self) -> None:
        if not self.contrasts or not 0 <= self.chance <= 1:
            raise UsageError(f"implanting needs a contrast and a chance of 0 to 1, got {self.contrasts}, {self.chance}")
        if strange := [kind for kind in self.categories if kind not in KINDS]:
            raise UsageError(f"{strange[0]} cannot be implanted; there are {', '.join(KINDS)}")
        self.scans(1.0)

    def scans(self, voxel: float) -> Settings:
        """What lesions are drawn from, in scans of ``voxel`` mm."""
        return Settings(
            spacing=voxel,
            categories=self.categories,
            diameters=self.diameters,
            faintest=self.faintest,
            difficulty=self.difficulty,
        )


@dataclass(frozen=True)
class Implants:
    """One draw for one batch.

    Attributes:
        lesions: per scan; centres are not MNI places but three shares from 0 to 1 that pick one in the scan.
        looks: per scan and contrast, (T) signal of each tissue as in ``Series``.
        spacing: as in ImplantSettings.
    """

    lesions: tuple[tuple[Lesion, ...], ...]
    looks: tuple[tuple[tuple[float, ...], ...], ...]
    spacing: tuple[float, float, float] | None


def draw_implants(settings: ImplantSettings, n: int, seed: int) -> Implants:
    """Parameters for ``n`` scans, from ``seed`` alone. Raises UsageError for a negative seed."""
    if seed < 0:
        raise UsageError(f"a seed is 0 or more, got {seed}")
    voxel = float(np.prod(settings.spacing)) ** (1 / 3) if settings.spacing else 1.3
    lesions, looks = [], []
    for one in np.random.SeedSequence([seed, 3]).spawn(n):
        rng = np.random.default_rng(one)
        kind = str(rng.choice(settings.categories))
        wanted = rng.random() < settings.chance
        drawn = draw_lesions(rng, settings.scans(voxel), kind) if wanted else ()
        lesions.append(tuple(_anywhere(rng, lesion) for lesion in drawn))
        looks.append(tuple(_looks(rng, contrast) for contrast in settings.contrasts))
    return Implants(tuple(lesions), tuple(looks), settings.spacing)


@torch.no_grad()
def implant(images: Tensor, p: Implants) -> tuple[Tensor, Tensor]:
    """The batch with the lesions of ``p``.

    Args:
        images: (B, C, *S) float32, as ``volume.prepare`` normalises them; a channel of zeros alone is missing and
            stays so.

    Returns:
        ``(images, masks)``: new images of the same shape, and (B, *S) uint8: 1 core, 2 oedema, 4 enhancing. A scan
        without drawn lesion, or without room for one, has an empty mask and is unchanged.
    """
    flat = images.ndim == 4
    volume = (images[..., None] if flat else images).clone()
    spacing = p.spacing or (HEAD_MM / max(images.shape[2:]),) * 3
    masks = torch.zeros(len(images), *volume.shape[2:], dtype=torch.uint8, device=images.device)
    for b, (lesions, looks) in enumerate(zip(p.lesions, p.looks, strict=True)):
        if lesions:
            _into(volume[b], masks[b], lesions, torch.tensor(looks, device=images.device), spacing)
    return (volume[..., 0], masks[..., 0]) if flat else (volume, masks)


def _anywhere(rng: np.random.Generator, lesion: Lesion) -> Lesion:
    x, y, z = (float(v) for v in rng.random(3))
    # No tail: where the dura is, is not known to the millimetre.
    return replace(lesion, centre=(x, y, z), patchy=0.0 if lesion.kind == "meningioma" else lesion.patchy)


def _looks(rng: np.random.Generator, contrast: str) -> tuple[float, ...]:
    known = contrast in KNOWN
    looks = looks_of(contrast if known else str(rng.choice(KNOWN)))
    if not known and rng.random() < 0.5:
        looks = strange_looks(rng)
    return tuple(float(v) for v in looks * rng.uniform(0.9, 1.12, len(looks)))


def _into(image: Tensor, mask: Tensor, lesions: tuple[Lesion, ...], looks: Tensor, spacing: tuple[float, ...]) -> None:
    """Paint into one scan, (C, *N) and (*N), in place."""
    inner = _inner(image, spacing)
    candidates = (inner > 0.92).nonzero()
    # A tall scan shows a neck below the brain.
    lowest = image.shape[3] - BRAIN_MM / spacing[2]
    candidates = candidates[candidates[:, 2] >= lowest]
    if not len(candidates):
        return
    present = image.flatten(1).any(1).float().reshape(-1, 1, 1, 1)
    noise = _residual(image)
    level, unit = _levels(image, inner, looks)
    plain = image - noise
    for lesion in lesions:
        picked = candidates[int(lesion.centre[0] * len(candidates))]
        at = [int(v) for v in picked]
        place = tuple((a + o - 0.5) * s for a, o, s in zip(at, (0.5, *lesion.centre[1:]), spacing, strict=True))
        here = replace(lesion, centre=(place[0], place[1], place[2]))
        box = _box(here, image.shape[1:], spacing)
        fields = _fields(plain, inner, unit, at, box)
        voxel = float(np.prod(spacing)) ** (1 / 3)
        ground = ground_of(here, _places(box, spacing, image.device), here.diameter_mm / 2, fields, voxel)
        parts = grow(here, ground)
        part, calm = image[(slice(None), *box)], noise[(slice(None), *box)]
        for name, share, gain in layers(here, parts, ground):
            # What is drawn replaces the scan's tissue; its noise, and a trace of its texture, stay.
            target = level + unit * (looks[:, INDEX[name], None, None, None] * gain)
            part.lerp_(target + calm, _softened(share)[None] * present)
        write_labels(mask[box], parts, ground)


def _places(box: Box, spacing: tuple[float, ...], device: torch.device) -> Tensor:
    """(3, *X): mm from the scan's first voxel."""
    axes = [torch.arange(b.start, b.stop, device=device) * s for b, s in zip(box, spacing, strict=True)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


def _box(lesion: Lesion, shape: torch.Size, spacing: tuple[float, ...]) -> Box:
    reach = lesion.diameter_mm * max(lesion.axes) * (1 + lesion.rough) + lesion.reach_mm
    low = [max(0, int((c - reach) / s)) for c, s in zip(lesion.centre, spacing, strict=True)]
    high = [min(n, int((c + reach) / s) + 2) for c, s, n in zip(lesion.centre, spacing, shape, strict=True)]
    i, j, k = (slice(a, b) for a, b in zip(low, high, strict=True))
    return i, j, k


def _inner(image: Tensor, spacing: tuple[float, ...]) -> Tensor:
    """(*N): near 1 well inside the head, falling to 0 in the air: the foreground, smoothed over some centimetres."""
    first = image[int(image.flatten(1).any(1).float().argmax())]
    inside = torch.from_numpy(foreground(first.numpy(force=True))).to(first)
    return _smooth(inside, _INNER_MM, spacing)


def _smooth(values: Tensor, mm: float, spacing: tuple[float, ...]) -> Tensor:
    """(*N) averaged over boxes of ``mm`` twice along each axis, which is nearly a Gaussian."""
    out = values[None, None]
    for axis in range(3):
        size = [1, 1, 1]
        size[axis] = 2 * min(round(mm / spacing[axis] / 2), (values.shape[axis] - 1) // 2) + 1
        for _ in range(2):
            out = functional.avg_pool3d(out, size, stride=1, padding=[n // 2 for n in size])
    return out[0, 0]


def _residual(image: Tensor) -> Tensor:
    """(C, *N): the noise of a scan, without its anatomy: what a small blur removes, edges cut off."""
    size = [3 if n > 1 else 1 for n in image.shape[1:]]
    rest = image - box_mean(image, size)
    some = rest.flatten(1)[:, :: max(1, rest[0].numel() // 20_000)]
    # 1.48 median deviations are a standard deviation, if it is noise.
    limit = (2 * 1.48 * some.abs().median(dim=1).values).reshape(-1, 1, 1, 1)
    return torch.minimum(torch.maximum(rest, -limit), limit)


def _levels(image: Tensor, inner: Tensor, looks: Tensor) -> tuple[Tensor, Tensor]:
    """(C, 1, 1, 1) each: brightness of air, and of signal 1."""
    brain = image.flatten(1)[:, (inner > 0.85).flatten()]
    air = image.flatten(1).amin(1)
    usual = (looks[:, INDEX["gm"]] + looks[:, INDEX["wm"]]) / 2
    unit = (brain.median(dim=1).values - air).clamp_min(0.1) / usual
    return air.reshape(-1, 1, 1, 1), unit.reshape(-1, 1, 1, 1)


def _fields(
    plain: Tensor, inner: Tensor, unit: Tensor, at: list[int], box: Box
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """White, fluid, above and within of ``Ground``, guessed from a scan without its noise."""
    around = tuple(slice(max(0, a - 1), a + 2) for a in at)
    start = plain[(slice(None), *around)].flatten(1).median(dim=1).values.reshape(-1, 1, 1, 1)
    apart = ((plain[(slice(None), *box)] - start) / (_LIKE * unit)).abs().amax(0)
    like = (1.5 - apart).clamp(0, 1)
    deep = inner[box]
    # Between the head's rim and its inside the smoothed foreground rises from a half to one.
    above = (0.85 - deep) * _INNER_MM
    return like, (apart - 2).clamp(0, 1), above, (deep > 0.8).float()


def _softened(share: Tensor) -> Tensor:
    """(*X): no border is sharper than a scanner draws it."""
    size = [3 if n > 1 else 1 for n in share.shape]
    return 0.5 * share + 0.5 * box_mean(share[None], size)[0]
