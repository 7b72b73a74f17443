"""Figures about where: overlap, lesions found by size, outlines in mm, marks, the highest evidence."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from secondread.evaluate import froc
from secondread.evaluate.intervals import LOG
from secondread.evaluate.judged import Judged, Located
from secondread.evaluate.lines import Line, Measure, line, mean_of, ratio_of
from secondread.evaluate.surface import TOLERANCE_MM

SIZES_MM = (5.0, 10.0, 20.0, 40.0)
SIZES_PERCENT = (5.0, 10.0, 20.0)
"""Where lesions are divided by their diameter: in mm, and in % of the longer side of a picture, which has no mm."""


def location_lines(judged: Sequence[Judged], drawn: bool) -> list[Line | None]:
    """Every figure about where; ``drawn``: the model learned to draw masks, so that they are judged."""
    located = [(j.group, j.located) for j in judged if j.located is not None]
    groups = [group for group, _ in located]
    places = [place for _, place in located]

    def column(get: Callable[[Located], float]) -> Measure:
        return mean_of([get(place) for place in places], groups)

    sliced = [(g, p) for g, p in located if not math.isnan(p.slice_auc)]
    at = [g for g, _ in sliced]
    return [
        *(_mask_lines(located, column) if drawn else []),
        *_mark_lines(judged),
        line(
            "peak_in_mask",
            "Highest evidence lies in the lesion",
            column(lambda p: float(p.peak_in_mask)),
            column(lambda p: p.lesion_share),
        ),
        line(
            "slice_presence_auc",
            "Slices with against without lesion, AUC",
            mean_of([p.slice_auc for _, p in sliced], at),
            mean_of([p.baseline_slice_auc for _, p in sliced], at),
        ),
    ]


def _mask_lines(
    located: Sequence[tuple[str, Located]], column: Callable[[Callable[[Located], float]], Measure]
) -> list[Line | None]:
    groups = [group for group, _ in located]
    lesions = [place.lesions for _, place in located]
    found = ratio_of([c.found for c in lesions], [c.true for c in lesions], groups, sum(c.true for c in lesions))
    right = ratio_of(
        [c.marked_right for c in lesions], [c.marked for c in lesions], groups, sum(c.marked for c in lesions)
    )
    return [
        line("dice", "Dice, whole lesion", column(lambda p: p.dice), column(lambda p: p.baseline_dice)),
        *_surface_lines(located),
        line("lesion_sensitivity", "Lesions found", found),
        *_size_lines(located),
        line("region_precision", "Marked regions that touch a lesion", right),
    ]


def _surface_lines(located: Sequence[tuple[str, Located]]) -> list[Line | None]:
    measured = [(group, p.surface) for group, p in located if p.surface is not None]
    drawn = [(group, s) for group, s in measured if not math.isnan(s.assd)]
    only = "" if len(drawn) == len(measured) else f", of the {len(drawn)} with a mask drawn"
    at = [group for group, _ in drawn]
    return [
        line(
            f"nsd_{TOLERANCE_MM:g}mm",
            f"Outline within {TOLERANCE_MM:g} mm of the true one",
            mean_of([s.nsd for _, s in measured], [group for group, _ in measured]),
        ),
        *(
            line(name, title + only, _positive(mean_of(values, at)), better="low")
            for name, title, values in (
                ("assd_mm", "Mean distance of the outlines, mm", [s.assd for _, s in drawn]),
                ("hd95_mm", "95th percentile of the distance, mm", [s.hd95 for _, s in drawn]),
            )
        ),
    ]


def _size_lines(located: Sequence[tuple[str, Located]]) -> list[Line | None]:
    """Lesions found, by diameter; a size that no lesion has is left out."""
    pictures = all(place.surface is None for _, place in located)
    edges, unit, words = (SIZES_PERCENT, "pct", "% of the side") if pictures else (SIZES_MM, "mm", "mm")
    lines = []
    for low, high in zip((0.0, *edges), (*edges, math.inf), strict=True):
        rows = [
            (group, [h for d, h in zip(place.diameters, place.lesions.hit, strict=True) if low <= d < high])
            for group, place in located
        ]
        held = [(group, hits) for group, hits in rows if hits]
        count = sum(len(hits) for _, hits in held)
        name, title = _between(low, high, unit, words)
        measure = ratio_of(
            [sum(hits) for _, hits in held], [len(hits) for _, hits in held], [group for group, _ in held], count
        )
        lines.append(line(f"lesion_sensitivity_{name}", f"Lesions found, {title} across", measure))
    return lines


def _between(low: float, high: float, unit: str, words: str) -> tuple[str, str]:
    if low == 0:
        return f"under_{high:g}{unit}", f"under {high:g} {words}"
    if math.isinf(high):
        return f"from_{low:g}{unit}", f"{low:g} {words} or more"
    return f"{low:g}_to_{high:g}{unit}", f"{low:g} to {high:g} {words}"


def _mark_lines(judged: Sequence[Judged]) -> list[Line | None]:
    marked, groups = marks(judged)
    if not marked.lesions.any():
        return []
    carriers = len({g for g, count in zip(groups, marked.lesions, strict=True) if count})

    def at(rates: Sequence[float]) -> Measure:
        return Measure(
            lambda w: froc.sensitivity_at(marked, rates, w),
            groups,
            carriers=carriers,
            n=int(marked.lesions.sum()),
            cells=len(marked.scores),
        )

    return [
        line("froc_score", "Lesions found, mean over 1/4 to 8 false marks per study", at(froc.RATES)),
        line("froc_sensitivity_at_1", "Lesions found at 1 false mark per study", at((1.0,))),
    ]


def marks(judged: Sequence[Judged]) -> tuple[froc.Marked, list[str]]:
    """Marks of all studies in which it is known what there was to find, and their groups."""
    known = [j for j in judged if j.marks is not None]
    counted = [(j.located.lesions.true if j.located else 0, j.marks or ()) for j in known]
    return froc.gather(counted), [j.group for j in known]


def _positive(measure: Measure) -> Measure:
    return replace(measure, edge=None, scale=LOG)
