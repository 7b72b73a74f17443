"""Performance by subgroup: site, sex, age, contrast, spacing, size, lesion, and what a table says of people.

Every figure has its interval over groups, and a subgroup of fewer than FEW_GROUPS patients is marked as too small to
say. A subgroup is called worse where the interval of what it has less than all other studies, drawn together, lies
above 0: of many subgroups one in forty looks so by chance, which the report says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondread.evaluate import metrics
from secondread.evaluate.bands import AGES, DIAMETERS, Property, band, frequent, thirds_or_few
from secondread.evaluate.figures import auc_edge, groups_of, presence_arrays
from secondread.evaluate.intervals import FEW_GROUPS, Edge, Figure, Statistic, Weights, bootstrap, difference, wilson

if TYPE_CHECKING:
    from secondread.evaluate.judged import Classes, Judged
    from secondread.index import Row


@dataclass(frozen=True)
class Subgroup:
    """One line: studies that share a value, and the model's figures on them, None where they allow none."""

    trait: str
    value: str
    studies: int
    groups: int
    figures: dict[str, Figure]
    worse: tuple[str, ...] = ()

    @property
    def few(self) -> bool:
        return self.groups < FEW_GROUPS

    @property
    def verdict(self) -> str:
        if self.few:
            return "too few patients to say"
        return f"worse: {', '.join(self.worse)}" if self.worse else "no worse to be seen"

    def to_json(self) -> dict[str, Any]:
        return {
            "property": self.trait,
            "value": self.value,
            "studies": self.studies,
            "groups": self.groups,
            "figures": {name: figure.to_json() for name, figure in self.figures.items()},
            "verdict": self.verdict,
        }


@dataclass(frozen=True, eq=False)
class _Measure:
    """A figure that can be told of any part of the studies: the statistic, and study and group of each of its rows."""

    statistic: Statistic
    studies: list[str]
    groups: list[str]
    edge: Callable[[NDArray[np.bool_]], Edge]
    truth: NDArray[np.bool_] | None = None

    def carriers(self, part: NDArray[np.bool_]) -> int:
        """Groups that the figure of ``part`` rests on: of an AUC (its rows have a ``truth``) the rarer kind's."""
        groups = [self.groups[n] for n in np.flatnonzero(part)]
        return len(set(groups)) if self.truth is None else min(groups_of(self.truth[part], groups))

    def of(self, part: NDArray[np.bool_]) -> Figure | None:
        """The figure of the rows of ``part`` alone."""
        at = np.flatnonzero(part)

        def within(weights: Weights) -> NDArray[np.float64]:
            whole = np.zeros((len(weights), len(part)))
            whole[:, at] = weights
            return self.statistic(whole)

        return bootstrap(within, [self.groups[n] for n in at], edge=self.edge(part), carriers=self.carriers(part))

    def loss(self, part: NDArray[np.bool_], own: Figure) -> Figure | None:
        """What ``part``, whose figure is ``own``, has less than all others, drawn together."""
        return difference(
            lambda w: self.statistic(w * ~part) - self.statistic(w * part),
            self.groups,
            own,
            self.of(~part),
            carriers=min(self.carriers(part), self.carriers(~part)),
        )


def by_subgroup(judged: Sequence[Judged], classes: Classes, properties: Mapping[str, Property]) -> list[Subgroup]:
    """A line for each value of each property that at least two values of are known."""
    measures = _measures(judged, classes)
    out = []
    for name, values in properties.items():
        order = sorted(set(values.values()), key=lambda v: (_rank(v), v))
        for value in order if len(order) > 1 else ():
            mine = [j for j in judged if values.get(j.study) == value]
            if not mine:
                continue
            inside = {j.study for j in mine}
            figures: dict[str, Figure] = {}
            worse = []
            for title, measure in measures.items():
                part = np.array([study in inside for study in measure.studies], bool)
                figure = measure.of(part) if part.any() else None
                if figure is None:
                    continue
                figures[title] = figure
                lost = measure.loss(part, figure) if not part.all() else None
                if lost is not None and lost.low > 0:
                    worse.append(title)
            out.append(Subgroup(name, value, len(mine), len({j.group for j in mine}), figures, tuple(worse)))
    return out


def properties_of(
    judged: Sequence[Judged], rows: Sequence[Row], lesions: Mapping[str, float], about: Mapping[str, Property]
) -> dict[str, Property]:
    """What is known of the studies judged. ``lesions``: volume in mm³ (volumes) or area in pixels (pictures) of the
    true lesion, by study; ``about``: properties from a table, see :mod:`secondread.evaluate.about`."""
    row = {r.study: r for r in rows}
    known = [j.study for j in judged if j.study in row]
    volumes = {s: size for s, size in lesions.items() if s in row and row[s].spacing is not None}
    areas = {s: size for s, size in lesions.items() if s in row and row[s].spacing is None}
    spacing = {s: max(row[s].spacing or (0.0,)) for s in known if row[s].spacing}
    pixels = {s: float(row[s].shape[0] * row[s].shape[1]) for s in known if not row[s].spacing and row[s].shape}
    found: dict[str, Property] = {
        "site": frequent({s: row[s].site or "" for s in known if row[s].site}),
        "sex": {s: sex for s in known if (sex := row[s].sex) is not None},
        "age": {s: band(age, AGES) for s in known if (age := row[s].age) is not None},
        "contrast": frequent({s: " + ".join(row[s].contrasts) for s in known}),
        "coarsest spacing": thirds_or_few(spacing, "mm"),
        "picture size": thirds_or_few(pixels, "pixels"),
        "lesion": {
            **{s: band(2 * (3 * size / (4 * math.pi)) ** (1 / 3), DIAMETERS) for s, size in volumes.items()},
            **thirds_or_few(areas, "pixels"),
        },
        **about,
    }
    return {name: values for name, values in found.items() if len(set(values.values())) > 1}


def _measures(judged: Sequence[Judged], classes: Classes) -> dict[str, _Measure]:
    """What the studies allow: the share named right, presence AUC, Dice."""
    several = [j for j in judged if j.right is not None] if len(classes.names) > 1 else []
    right = np.array([float(bool(j.right)) for j in several])
    present = [j for j in judged if j.presence is not None and j.abnormal is not None]
    truth, score, groups = presence_arrays(judged)
    located = [j for j in judged if j.located is not None] if classes.located else []
    overlap = np.array([j.located.dice for j in located if j.located is not None])

    def of_auc(part: NDArray[np.bool_]) -> Edge:
        return partial(auc_edge, *groups_of(truth[part], [group for group, at in zip(groups, part, strict=True) if at]))

    found = {
        "accuracy": _Measure(partial(metrics.mean, right), *_named(several), lambda _: wilson),
        "presence AUC": _Measure(partial(metrics.auc, truth, score), *_named(present), of_auc, truth),
        "Dice": _Measure(partial(metrics.mean, overlap), *_named(located), lambda _: wilson),
    }
    return {name: measure for name, measure in found.items() if measure.studies}


def _named(judged: Sequence[Judged]) -> tuple[list[str], list[str]]:
    return [j.study for j in judged], [j.group for j in judged]


def _rank(value: str) -> float:
    """Order of bands: ``below`` first, then by the first number; words after that by themselves."""
    first = value.replace(",", "").split()
    if value.startswith("below"):
        return -math.inf
    try:
        return float(first[0])
    except (ValueError, IndexError):
        return math.inf
