"""Performance by subgroup: site, sex, age, contrast, spacing, size, lesion, and what a table says of people.

Every figure has its interval over groups, and a subgroup of fewer than FEW_GROUPS patients is marked as too small to
say. A subgroup is called worse where the interval of what it has less than all other studies, drawn together, lies
above 0: of many subgroups one in forty looks so by chance, which the report says.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondread.discreet import discreet, hidden, stand_in
from secondread.errors import LabelError
from secondread.evaluate import metrics
from secondread.evaluate.figures import auc_edge, groups_of, presence_arrays
from secondread.evaluate.intervals import FEW_GROUPS, Edge, Figure, Statistic, Weights, bootstrap, difference, wilson

if TYPE_CHECKING:
    from secondread.evaluate.judged import Classes, Judged
    from secondread.index import Row

KEYS = ("study", "group", "participant_id")
"""Columns of a table about people that say whom a line is about; the first that is there is taken."""

AGES = ((18.0, "below 18"), (40.0, "18 to 39"), (65.0, "40 to 64"), (math.inf, "65 and above"))
DIAMETERS = ((10.0, "below 10 mm"), (20.0, "10 to 20 mm"), (40.0, "20 to 40 mm"), (math.inf, "40 mm and above"))
"""Lesions of volumes, by the diameter of a ball of their volume."""

MAX_VALUES = 12
"""A property with more values than this is told by its most frequent ones; numbers are told by thirds."""

Property = Mapping[str, str]
"""From a study's name to what it has of one property."""


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

    def of(self, part: NDArray[np.bool_]) -> Figure | None:
        """The figure of the rows of ``part`` alone."""
        at = np.flatnonzero(part)

        def within(weights: Weights) -> NDArray[np.float64]:
            whole = np.zeros((len(weights), len(part)))
            whole[:, at] = weights
            return self.statistic(whole)

        return bootstrap(within, [self.groups[n] for n in at], edge=self.edge(part))

    def loss(self, part: NDArray[np.bool_]) -> Figure | None:
        """What ``part`` has less than all others, drawn together."""
        sides = [len({self.groups[n] for n in np.flatnonzero(side)}) for side in (part, ~part)]
        return difference(
            lambda w: self.statistic(w * ~part) - self.statistic(w * part),
            self.groups,
            self.of(part),
            self.of(~part),
            carriers=min(sides),
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
                lost = measure.loss(part) if not part.all() else None
                if lost is not None and lost.low > 0:
                    worse.append(title)
            out.append(Subgroup(name, value, len(mine), len({j.group for j in mine}), figures, tuple(worse)))
    return out


def properties_of(
    judged: Sequence[Judged], rows: Sequence[Row], lesions: Mapping[str, float], about: Mapping[str, Property]
) -> dict[str, Property]:
    """What is known of the studies judged. ``lesions``: volume in mm³ (volumes) or area in pixels (pictures) of the
    true lesion, by study; ``about``: properties from a table, see :func:`read_about`."""
    row = {r.study: r for r in rows}
    known = [j.study for j in judged if j.study in row]
    volumes = {s: size for s, size in lesions.items() if s in row and row[s].spacing is not None}
    areas = {s: size for s, size in lesions.items() if s in row and row[s].spacing is None}
    spacing = {s: max(row[s].spacing or (0.0,)) for s in known if row[s].spacing}
    pixels = {s: float(row[s].shape[0] * row[s].shape[1]) for s in known if not row[s].spacing and row[s].shape}
    found: dict[str, Property] = {
        "site": _frequent({s: row[s].site or "" for s in known if row[s].site}),
        "sex": {s: sex for s in known if (sex := row[s].sex) is not None},
        "age": {s: _band(age, AGES) for s in known if (age := row[s].age) is not None},
        "contrast": _frequent({s: " + ".join(row[s].contrasts) for s in known}),
        "coarsest spacing": _thirds(spacing, "mm"),
        "picture size": _thirds(pixels, "pixels"),
        "lesion": {
            **{s: _band(2 * (3 * size / (4 * math.pi)) ** (1 / 3), DIAMETERS) for s, size in volumes.items()},
            **_thirds(areas, "pixels"),
        },
        **about,
    }
    return {name: values for name, values in found.items() if len(set(values.values())) > 1}


def read_about(path: Path, rows: Sequence[Row]) -> dict[str, Property]:
    """Properties of people from a CSV or TSV: a column of KEYS, and any others (sex, age, scanner), one line each.

    Ages come in bands, other numbers with more than MAX_VALUES values in thirds. Names in the table are those of the
    data, or what stands for them in the index.

    Raises LabelError: no key column, no other column, or no line about any of ``rows``.
    """
    from secondread.index.sheet import read_sheet

    sheet = read_sheet(path)
    key = next((column for column in KEYS if column in sheet.columns), None)
    columns = [column for column in sheet.columns if column not in KEYS]
    if key is None or not columns:
        raise LabelError(
            f"{path} needs a column {' or '.join(KEYS)} and at least one that says something; it has "
            f"{', '.join(sheet.columns)}"
        )
    by_name: dict[str, list[str]] = {}
    for row in rows:
        # A participant or a patient may have several studies; a study may be given by the end of its name.
        names = (row.study, row.study.rpartition("/")[2]) if key == "study" else (row.group,)
        for name in dict.fromkeys((*names, *map(hidden, names))):
            by_name.setdefault(name, []).append(row.study)
    out: dict[str, dict[str, str]] = {column: {} for column in columns}
    for line in sheet.lines:
        cell = line.get(key) or ""
        meant = (cell, discreet(cell), f"sub-{cell}", stand_in(cell), hidden(cell), hidden(f"sub-{cell}"))
        for study in next((by_name[name] for name in meant if name in by_name), []):
            for column in columns:
                if (value := line.get(column)) is not None:
                    out[column][study] = value
    if not any(out.values()):
        raise LabelError(f"no line of {path} is about any study judged: its column {key!r} names none of them")
    return {column: _told(column, values) for column, values in out.items()}


def _told(column: str, values: Mapping[str, str]) -> Property:
    try:
        numbers = {study: float(value) for study, value in values.items()}
    except ValueError:
        return _frequent(values)
    if column.startswith("age"):
        return {study: _band(number, AGES) for study, number in numbers.items()}
    return _thirds(numbers, "") if len(set(numbers.values())) > MAX_VALUES else dict(values)


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
        "presence AUC": _Measure(partial(metrics.auc, truth, score), *_named(present), of_auc),
        "Dice": _Measure(partial(metrics.mean, overlap), *_named(located), lambda _: wilson),
    }
    return {name: measure for name, measure in found.items() if measure.studies}


def _named(judged: Sequence[Judged]) -> tuple[list[str], list[str]]:
    return [j.study for j in judged], [j.group for j in judged]


def _band(value: float, bands: Sequence[tuple[float, str]]) -> str:
    return next(words for limit, words in bands if value < limit)


def _thirds(values: Mapping[str, float], unit: str) -> Property:
    """Numbers as thirds of those at hand, or as they are where only few differ."""
    kinds = sorted(set(values.values()))
    if not kinds:
        return {}
    if len(kinds) <= 4:
        return {study: f"{value:g} {unit}".strip() for study, value in values.items()}
    low, high = (float(q) for q in np.quantile(list(values.values()), [1 / 3, 2 / 3]))
    bands = [
        (low, f"below {_number(low)} {unit}"),
        (high, f"{_number(low)} to {_number(high)} {unit}"),
        (math.inf, f"{_number(high)} {unit} and above"),
    ]
    return {study: " ".join(_band(value, bands).split()) for study, value in values.items()}


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _frequent(values: Mapping[str, str]) -> Property:
    """Values, the rare ones of too many as ``other``."""
    counts = _counted(values.values())
    kept = set(counts[:MAX_VALUES])
    return {study: value if value in kept else "other" for study, value in values.items()}


def _counted(values: Iterable[str]) -> list[str]:
    return [value for value, _ in sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))]


def _rank(value: str) -> float:
    """Order of bands: ``below`` first, then by the first number; words after that by themselves."""
    first = value.replace(",", "").split()
    if value.startswith("below"):
        return -math.inf
    try:
        return float(first[0])
    except (ValueError, IndexError):
        return math.inf
