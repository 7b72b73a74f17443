"""Lesions drawn: how many, where, how large and of what build, by kind."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from secondread.simulate.anatomy import SELLA, Places, places
from secondread.simulate.scene import Lesion, Triple
from secondread.simulate.settings import Settings

_TRIES = 12


@dataclass(frozen=True)
class Kind:
    """What lesions of a kind have in common.

    Attributes:
        diameters: mm across the solid part, least and most.
        count: in one head, least and most.
        oedema: reach in mm, least and most.
        dry: chance of no oedema at all.
        push: mass effect of a large one, least and most.
        rough: of the border, least and most.
    """

    diameters: tuple[float, float]
    count: tuple[int, int]
    oedema: tuple[float, float]
    dry: float
    push: tuple[float, float]
    rough: tuple[float, float]


KINDS = {
    "glioma": Kind((6.0, 60.0), (1, 2), (5.0, 32.0), 0.1, (0.05, 0.35), (0.12, 0.42)),
    "meningioma": Kind((6.0, 60.0), (1, 1), (4.0, 18.0), 0.6, (0.15, 0.45), (0.03, 0.12)),
    "pituitary": Kind((8.0, 42.0), (1, 1), (0.0, 0.0), 1.0, (0.15, 0.45), (0.03, 0.15)),
    "metastasis": Kind((3.0, 32.0), (1, 7), (3.0, 22.0), 0.2, (0.05, 0.25), (0.04, 0.2)),
    "ms": Kind((2.5, 16.0), (2, 10), (0.0, 0.0), 1.0, (0.0, 0.0), (0.08, 0.25)),
}


def draw_lesions(rng: np.random.Generator, settings: Settings, kind: str) -> tuple[Lesion, ...]:
    """All lesions of one head, of one ``kind``; none overlaps another by much."""
    low, high = settings.count or KINDS[kind].count
    wanted = int(rng.integers(low, high + 1))
    lesions: list[Lesion] = []
    for _ in range(wanted * _TRIES):
        if len(lesions) == wanted:
            break
        new = _lesion(rng, settings, kind)
        if all(_apart(new, old) for old in lesions):
            lesions.append(new)
    return tuple(lesions)


def _apart(one: Lesion, two: Lesion) -> bool:
    gap = math.dist(one.centre, two.centre)
    return gap > 0.45 * (one.diameter_mm + two.diameter_mm)


def diameters_of(settings: Settings, kind: str) -> tuple[float, float]:
    """Least and most mm across a lesion of ``kind``; at a low difficulty only the larger ones."""
    low, high = np.clip(KINDS[kind].diameters, settings.least_diameter, settings.diameters[1])
    easy = max(low, 0.5 * high)
    return float(math.exp(math.log(low) * settings.difficulty + math.log(easy) * (1 - settings.difficulty))), float(
        high
    )


def _lesion(rng: np.random.Generator, settings: Settings, kind: str) -> Lesion:
    of = KINDS[kind]
    low, high = diameters_of(settings, kind)
    # Between even in size and even in its logarithm: small ones are common, and large ones are not rare.
    share = rng.random()
    diameter = low + (high - low) * share if rng.random() < 0.5 else low * (high / low) ** share
    large = diameter > 14
    wet = rng.random() >= of.dry
    faintest = 1 - (1 - settings.faintest) * settings.difficulty
    return Lesion(
        seed=int(rng.integers(2**62)),
        kind=kind,
        centre=_centre(rng, places(), kind, diameter),
        diameter_mm=float(diameter),
        axes=_axes(rng, kind),
        turn=_turn(rng, kind),
        rough=float(rng.uniform(*of.rough)),
        core=_core(rng, kind, diameter),
        patchy=float(rng.random()),
        reach_mm=float(rng.uniform(*of.oedema) * min(1.0, 0.3 + diameter / 35)) if wet else 0.0,
        follow=float(rng.uniform(0.0, 0.8)),
        swell=float(rng.random()),
        opacity=float(rng.uniform(faintest, 1.0)),
        push=float(rng.uniform(*of.push)) if large else 0.0,
        tones=(float(rng.uniform(0.6, 1.4)), float(rng.uniform(0.8, 1.2)), float(rng.uniform(0.85, 1.15))),
    )


def _centre(rng: np.random.Generator, at: Places, kind: str, diameter: float) -> Triple:
    if kind == "pituitary":
        return _floats(np.array(SELLA) + rng.uniform(-3, 3, 3) + np.array([0, 0, 0.25 * max(0.0, diameter - 10)]))
    if kind == "meningioma":
        if rng.random() < 0.2:
            # On the falx: beside the midline, above the corpus callosum.
            side = rng.choice((-1.0, 1.0)) * 0.3 * diameter
            return _floats(np.array([side, rng.uniform(-85, 50), rng.uniform(30, 62)]))
        pick = int(rng.integers(len(at.surface)))
        return _floats(at.surface[pick] - at.outward[pick] * rng.uniform(0.15, 0.38) * diameter)
    spots = {"glioma": at.deep_white, "metastasis": at.border, "ms": at.ventricle}[kind]
    if kind == "ms" and rng.random() < 0.35:
        spots = at.deep_white
    return _floats(spots[int(rng.integers(len(spots)))] + rng.uniform(-1.5, 1.5, 3))


def _core(rng: np.random.Generator, kind: str, diameter: float) -> float:
    """As in Lesion: 0 all enhances, 1 nothing does."""
    chance = rng.random()
    if kind == "glioma":
        # A third does not enhance, as low grades do not.
        return 1.0 if chance < 0.33 else float(rng.uniform(0.35, 0.92))
    if kind == "ms":
        return 1.0 if chance < 0.8 else 0.5
    necrotic = {"metastasis": 0.55, "meningioma": 0.12, "pituitary": 0.3}[kind] if diameter > 8 else 0.0
    return float(rng.uniform(0.3, 0.85)) if chance < necrotic else 0.0


def _axes(rng: np.random.Generator, kind: str) -> Triple:
    spread = {"glioma": 0.3, "meningioma": 0.15, "pituitary": 0.15, "metastasis": 0.12, "ms": 0.2}[kind]
    axes = rng.uniform(1 - spread, 1 + spread, 3)
    if kind == "ms":
        axes *= (1.5, 0.9, 0.9)  # across the ventricle's wall, as veins run there
    return _floats(axes / np.prod(axes) ** (1 / 3))


def _turn(rng: np.random.Generator, kind: str) -> Triple:
    return _floats(rng.uniform(0, 360, 3) if kind != "ms" else rng.uniform(-30, 30, 3))


def _floats(values: np.ndarray) -> Triple:
    a, b, c = (float(v) for v in values)
    return a, b, c
