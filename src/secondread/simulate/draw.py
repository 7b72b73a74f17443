"""The random part: a seed becomes a scene.

Head, lesions and scanner are drawn from streams of their own, so that for one seed the same head lies in the same
scanner whether or not it has a lesion.
"""

from __future__ import annotations

import numpy as np

from secondread.errors import UsageError
from secondread.simulate.acquire import looks_of
from secondread.simulate.anatomy import INDEX, atlas
from secondread.simulate.scene import PIVOT, Grid, Head, Lesion, Scene, Series, Triple
from secondread.simulate.settings import NORMAL, Settings

SITES = ("scanner-a", "scanner-b")

_LOOK_SPREAD = 0.15
_LOOK_RANGE_TRIES = 20


def draw_scene(seed: int, settings: Settings, label: str | None = None) -> Scene:
    """The scene of ``seed``. ``label`` fixes what is otherwise drawn: NORMAL or one of the settings' categories.

    Raises:
        UsageError: a negative seed, an unknown label.
    """
    if seed < 0:
        raise UsageError(f"a seed is 0 or more, got {seed}")
    if label is not None and label not in settings.labels:
        raise UsageError(f"simulated scans are labelled {', '.join(settings.labels)}, not {label}")
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4)]
    choice, body, disease, scanner = streams
    if label is None:
        label = NORMAL if choice.random() < settings.normal else str(choice.choice(settings.categories))
    site = int(scanner.integers(len(SITES)))
    skull = bool(scanner.random() < settings.skull)
    return Scene(
        label=label,
        site=SITES[site],
        grid=_grid(scanner, settings, site),
        head=_head(body),
        skull=skull,
        lesions=() if label == NORMAL else _lesions(disease, settings, label),
        series=_series(scanner, settings, site),
    )


def _head(rng: np.random.Generator) -> Head:
    return Head(
        seed=_seed(rng),
        turn=_triple(rng, -7, 7),
        scale=_triple(rng, 0.93, 1.06),
        shear=_triple(rng, -0.04, 0.04),
        bend_mm=rng.uniform(1.5, 3.5),
        asymmetry=rng.uniform(-0.06, 0.06),
        ventricles=rng.uniform(-0.05, 0.25),
        sulci=rng.uniform(-0.08, 0.12),
        folds=rng.uniform(0.15, 0.4),
        rim_mm=rng.uniform(1.0, 3.5),
        bone_mm=rng.uniform(5.0, 9.0),
        scalp_mm=rng.uniform(5.0, 9.0),
        spots=int(rng.integers(3, 19)),
        vessels=int(rng.integers(8, 26)),
    )


def _grid(rng: np.random.Generator, settings: Settings, site: int) -> Grid:
    extent = (rng.uniform(174, 188), rng.uniform(208, 224), rng.uniform(156, 186))
    top = rng.uniform(94, 102)
    head = rng.uniform(-4, 4, 2)
    thick = 2 if rng.random() < settings.thick else 1
    shape = tuple(
        max(4 * thick, round(e / settings.spacing)) // thick * thick if a == 2 else round(e / settings.spacing)
        for a, e in enumerate(extent)
    )
    return Grid(
        shape=(shape[0], shape[1], shape[2]),
        spacing=settings.spacing,
        centre=(float(head[0]) - PIVOT[0], float(head[1]) - PIVOT[1], top - extent[2] / 2),
        tilt=_triple(rng, -5, 5),
        # One scanner stores as most NIfTI do (towards right and front), the other as most DICOM do.
        flips=(True, True, False) if site == 0 else (False, False, False),
        thick=thick,
    )


def _lesions(rng: np.random.Generator, settings: Settings, category: str) -> tuple[Lesion, ...]:
    wanted = int(rng.integers(settings.count[0], settings.count[1] + 1))
    lesions: list[Lesion] = []
    for _ in range(wanted * 10):
        if len(lesions) == wanted:
            break
        new = _lesion(rng, settings, category)
        if all(_apart(new, old) for old in lesions):
            lesions.append(new)
    return tuple(lesions)


def _apart(one: Lesion, two: Lesion) -> bool:
    gap = float(np.linalg.norm(np.subtract(one.centre, two.centre)))
    return gap > 0.45 * (one.diameter_mm + two.diameter_mm)


def _lesion(rng: np.random.Generator, settings: Settings, category: str) -> Lesion:
    maps = atlas(settings.spacing)
    diameter = float(rng.uniform(settings.least_diameter, settings.diameters[1]))
    large = diameter > 16
    if category == "meningioma":
        pick = int(rng.integers(len(maps.surface)))
        centre = maps.surface[pick] - maps.outward[pick] * rng.uniform(0.1, 0.22) * diameter
        solid = rng.uniform(0.75, 0.9) if large and rng.random() < 0.5 else 1.0
        core, rough, axes = 0.0, rng.uniform(0.03, 0.07), rng.uniform(0.88, 1.14, 3)
    else:
        pick = int(rng.integers(len(maps.deep_white)))
        centre = maps.deep_white[pick]
        solid = rng.uniform(0.5, 0.8)
        # One in six does not enhance, as low grades do not.
        core = 1.0 if rng.random() < 1 / 6 else rng.uniform(0.3, 0.75)
        rough, axes = rng.uniform(0.08, 0.17), rng.uniform(0.75, 1.3, 3)
    axes = axes / np.prod(axes) ** (1 / 3)
    return Lesion(
        seed=_seed(rng),
        category=category,
        centre=_floats(centre),
        diameter_mm=diameter,
        axes=_floats(axes),
        turn=_triple(rng, 0, 360),
        rough=float(rough),
        solid=float(solid),
        core=float(core),
        opacity=float(rng.uniform(settings.faintest, 1.0)),
        push=float(rng.uniform(0.1, 0.4)) if large else 0.0,
    )


def _series(rng: np.random.Generator, settings: Settings, site: int) -> tuple[Series, ...]:
    # Fat is suppressed or not for a whole examination, so its brightness says nothing of one series.
    fat = rng.uniform(0.35, 1.05)
    return tuple(_one_series(rng, contrast, fat, site) for contrast in settings.contrasts)


def _one_series(rng: np.random.Generator, contrast: str, fat: float, site: int) -> Series:
    looks = looks_of(contrast) * rng.uniform(1 - _LOOK_SPREAD, 1 + _LOOK_SPREAD, len(INDEX))
    looks[INDEX["fat"]] *= fat
    noisy, uneven, scale = ((0.012, 0.10, 320.0), (0.022, 0.16, 900.0))[site]
    return Series(
        contrast=contrast,
        seed=_seed(rng),
        looks=tuple(float(v) for v in looks),
        scale=float(scale * np.exp(rng.uniform(-0.5, 0.5))),
        gamma=float(rng.uniform(0.85, 1.15)),
        bias=float(uneven * rng.uniform(0.4, 1.3)),
        blur=float(rng.uniform(0.0, 0.75)),
        noise=float(noisy * rng.uniform(0.6, 2.0)),
        ghost=float(rng.uniform(0.01, 0.06)) if rng.random() < 0.2 else 0.0,
        ghost_axis=int(rng.integers(2)),
        spike=float(rng.uniform(0.01, 0.035)) if rng.random() < 0.1 else 0.0,
        spike_cycles=(float(rng.uniform(4, 25)), float(rng.uniform(4, 25))),
    )


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**62))


def _triple(rng: np.random.Generator, low: float, high: float) -> Triple:
    return _floats(rng.uniform(low, high, 3))


def _floats(values: np.ndarray) -> Triple:
    a, b, c = (float(v) for v in values)
    return a, b, c
