"""The random part: a seed becomes a scene.

Head, lesions and scanner are drawn from streams of their own, so that for one seed the same head lies in the same
scanner whether or not it has a lesion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from secondread.errors import UsageError
from secondread.simulate.anatomy import section
from secondread.simulate.disease import draw_lesions
from secondread.simulate.looks import INDEX, KNOWN, LESIONS, looks_of, strange_looks
from secondread.simulate.scene import PIVOT, Grid, Head, Lesion, Scene, Series, Triple
from secondread.simulate.settings import NORMAL, BatchSettings, Settings

SITES = ("scanner-a", "scanner-b")

_LOOK_SPREAD = 0.18
_STRANGE = 0.3
"""Share of scans of the contrast ``any`` that look like none of the others."""

# Reach of head and neck, and of the brain, from PIVOT along x, y, z (MNI mm, low and high).
_HEAD_REACH = ((-80.0, 80.0), (-95.0, 105.0), (-95.0, 85.0))
_BRAIN_REACH = ((-68.0, 68.0), (-86.0, 88.0), (-62.0, 68.0))
# Each plane of pictures: where row, column and slice go, and the axes of the patient that they are.
_PLANES = {"axial": ("PLS", (1, 0, 2)), "coronal": ("ILP", (2, 0, 1)), "sagittal": ("IPL", (2, 1, 0))}


@dataclass(frozen=True)
class _Streams:
    choice: np.random.Generator
    body: np.random.Generator
    disease: np.random.Generator
    scanner: np.random.Generator


def draw_scene(seed: int, settings: Settings, label: str | None = None) -> Scene:
    """The scene of a whole study. ``label`` fixes what is otherwise drawn: NORMAL or one of the settings' categories.

    Raises:
        UsageError: a negative seed, an unknown label.
    """
    streams = _streams(seed)
    label = _label(streams.choice, settings, label)
    site = int(streams.scanner.integers(len(SITES)))
    skull = bool(streams.scanner.random() < settings.skull)
    return Scene(
        label=label,
        site=SITES[site],
        grid=_grid(streams.scanner, settings, site),
        head=_head(streams.body, settings.difficulty),
        skull=skull,
        window=(1.0, 1.0),
        lesions=() if label == NORMAL else draw_lesions(streams.disease, settings, label),
        series=_series(streams.scanner, settings, site),
    )


def draw_sample(seed: int, settings: BatchSettings, label: str | None = None) -> Scene:
    """The scene of one sample. Raises as :func:`draw_scene` does."""
    streams = _streams(seed)
    label = _label(streams.choice, settings, label)
    site = int(streams.scanner.integers(len(SITES)))
    skull = bool(streams.scanner.random() < settings.skull)
    head = _head(streams.body, settings.difficulty)
    # Drawn for normal samples, too, and then left out: where a sample looks must not tell whether there is something.
    kind = label if label != NORMAL else str(streams.choice.choice(settings.categories))
    lesions = draw_lesions(streams.disease, settings, kind)
    grid = _window_on(streams.scanner, settings, head, skull, lesions)
    cut = streams.scanner.random(2) < 0.08 * skull
    window = np.where(cut, streams.scanner.uniform(0.72, 0.98, 2), 1.0)
    return Scene(
        label=label,
        site=SITES[site],
        grid=grid,
        head=head,
        skull=skull,
        window=(float(window[0]), float(window[1])),
        lesions=() if label == NORMAL else lesions,
        series=_series(streams.scanner, settings, site, flat=len(settings.shape) == 2),
    )


def _streams(seed: int) -> _Streams:
    if seed < 0:
        raise UsageError(f"a seed is 0 or more, got {seed}")
    return _Streams(*(np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4)))


def _label(rng: np.random.Generator, settings: Settings, label: str | None) -> str:
    if label is not None and label not in settings.labels:
        raise UsageError(f"simulated scans are labelled {', '.join(settings.labels)}, not {label}")
    if label is None:
        label = NORMAL if rng.random() < settings.normal else str(rng.choice(settings.categories))
    return label


def _head(rng: np.random.Generator, difficulty: float) -> Head:
    return Head(
        seed=_seed(rng),
        turn=_triple(rng, -8, 8),
        scale=_triple(rng, 0.92, 1.07),
        shear=_triple(rng, -0.05, 0.05),
        bend_mm=rng.uniform(1.5, 3.5),
        gyri_mm=rng.uniform(0.8, 2.6),
        asymmetry=rng.uniform(-0.06, 0.06),
        ventricles=rng.uniform(-0.05, 0.3),
        sulci=rng.uniform(-0.2, 0.14),
        folds=rng.uniform(0.1, 0.35),
        texture=rng.uniform(0.0, 0.06),
        rim_mm=rng.uniform(0.5, 3.0),
        bone_mm=rng.uniform(4.0, 8.0),
        scalp_mm=rng.uniform(3.0, 9.0),
        strip_mm=rng.uniform(-3.0, 2.5),
        strip_fluid=rng.uniform(0.5, 1.5),
        spots=rng.uniform(0, 1) * (rng.random() < 0.6) * (0.3 + 0.7 * difficulty),
        caps=rng.uniform(0, 1),
        vessels=rng.uniform(0.3, 1.3),
        gland_mm=rng.uniform(-1.6, 0.8),
        bright_lobe=rng.uniform(0.3, 1.0) * (rng.random() < 0.75),
        base_fat=rng.uniform(0, 1),
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
        spacing=(settings.spacing,) * 3,
        centre=(float(head[0]) - PIVOT[0], float(head[1]) - PIVOT[1], top - extent[2] / 2),
        tilt=_triple(rng, -5, 5),
        # One scanner stores as most NIfTI do (towards right and front), the other as most DICOM do.
        axes="RAS" if site == 0 else "LPS",
        thick=thick,
    )


def _window_on(
    rng: np.random.Generator, settings: BatchSettings, head: Head, skull: bool, lesions: tuple[Lesion, ...]
) -> Grid:
    """A picture or a patch, as often as not with a lesion of ``lesions`` in it, wherever that may be."""
    flat = len(settings.shape) == 2
    plane = str(rng.choice(settings.planes)) if flat else ""
    axes, order = _PLANES[plane] if flat else ("LPS", (0, 1, 2))
    i, j, k = (*settings.shape, 1) if flat else settings.shape
    lesion = lesions[int(rng.integers(len(lesions)))]
    reach: tuple[tuple[float, float], ...] = _HEAD_REACH if skull else _BRAIN_REACH
    inside = rng.uniform([low + 8 for low, _ in _BRAIN_REACH], [high - 8 for _, high in _BRAIN_REACH]) + PIVOT
    near = np.array(lesion.centre) + rng.uniform(-0.4, 0.4, 3) * lesion.diameter_mm
    focus = near if rng.random() < 0.75 else inside
    stretch = rng.uniform(0.96, 1.04, 3)
    spacing = settings.spacing * rng.uniform(0.92, 1.08) * stretch
    if settings.fill:
        # What the slice shows decides where the picture is centred and how far it reaches.
        shown = section(order[2], round(float(focus[order[2]]) / 3), skull)
        sides = [shown[a][1] - shown[a][0] for a in order[:2]]
        fit = max(side / n for side, n in zip(sides, settings.shape, strict=True))
        spacing = max(0.4, fit) * rng.uniform(0.98, 1.2) * stretch
        reach = tuple((a - p, b - p) for (a, b), p in zip(shown, PIVOT, strict=True))
    middle = np.empty(3)
    for world in range(3):
        grid_axis = order.index(world)
        low, high = (edge + PIVOT[world] for edge in reach[world])
        half = (i, j, k)[grid_axis] * spacing[grid_axis] / 2
        if flat and grid_axis == 2:
            middle[world] = focus[world]
        elif settings.fill or 2 * half >= 0.9 * (high - low):
            middle[world] = (low + high) / 2 + rng.uniform(-5, 5)
        else:
            aside = focus[world] + rng.uniform(-0.6, 0.6) * half
            middle[world] = np.clip(aside, low + half - 8, high - half + 8)
    centre = head.to_lps(_floats(middle))
    return Grid((i, j, k), _floats(spacing), centre, axes, _triple(rng, -8, 8))


def _series(rng: np.random.Generator, settings: Settings, site: int, *, flat: bool = False) -> tuple[Series, ...]:
    # Fat is suppressed or not for a whole examination, so its brightness says nothing of one series.
    fat = rng.uniform(0.35, 1.05)
    return tuple(_one_series(rng, contrast, fat, site, settings, flat) for contrast in settings.contrasts)


def _one_series(
    rng: np.random.Generator, contrast: str, fat: float, site: int, settings: Settings, flat: bool
) -> Series:
    strange = rng.random() < _STRANGE
    known = looks_of(str(rng.choice(KNOWN)) if contrast == "any" else contrast)
    looks = strange_looks(rng) if contrast == "any" and strange else known * _spread(rng)
    looks[INDEX["fat"]] *= fat
    noisy, uneven, scale = ((0.012, 0.10, 320.0), (0.022, 0.16, 900.0))[site]
    worst = 0.4 + 0.6 * settings.difficulty
    coarse = rng.random() < 0.4 * settings.difficulty and isinstance(settings, BatchSettings)
    return Series(
        contrast=contrast,
        seed=_seed(rng),
        looks=tuple(float(v) for v in looks),
        scale=float(scale * np.exp(rng.uniform(-0.5, 0.5))),
        gamma=float(rng.uniform(0.85, 1.15)),
        bias=float(uneven * worst * rng.uniform(0.2, 2.5)),
        blur=float(rng.uniform(0.0, 0.75)),
        coarse=float(rng.uniform(1.5, 5.0)) if coarse else 1.0,
        coarse_axis=int(rng.integers(2 if flat else 3)),
        noise=float(noisy * worst * rng.uniform(0.4, 2.5)),
        ghost=float(rng.uniform(0.01, 0.06)) if rng.random() < 0.2 * worst else 0.0,
        ghost_axis=int(rng.integers(2)),
        spike=float(rng.uniform(0.01, 0.035)) if rng.random() < 0.1 * worst else 0.0,
        spike_cycles=(float(rng.uniform(4, 25)), float(rng.uniform(4, 25))),
    )


def _spread(rng: np.random.Generator) -> np.ndarray:
    """Factors on the looks, (T): lesions keep together, so that what is bright stays bright."""
    spread = rng.uniform(1 - _LOOK_SPREAD, 1 + _LOOK_SPREAD, len(INDEX)).astype(np.float32)
    # Grey and white matter differ by about as much as they should, whatever the sequence's details.
    spread[INDEX["gm"]] = spread[INDEX["wm"]] * rng.uniform(0.9, 1.07)
    spread[INDEX["vessel"]] = rng.uniform(0.5, 2.0)
    first = INDEX[LESIONS[0]]
    spread[first:] = spread[INDEX["wm"]] * rng.uniform(0.9, 1.25) * rng.uniform(0.93, 1.07, len(LESIONS))
    return spread


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**62))


def _triple(rng: np.random.Generator, low: float, high: float) -> Triple:
    return _floats(rng.uniform(low, high, 3))


def _floats(values: np.ndarray) -> Triple:
    a, b, c = (float(v) for v in values)
    return a, b, c
