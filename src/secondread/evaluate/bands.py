"""Values of a property as few words: bands, thirds, the most frequent ones."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

Property = Mapping[str, str]
"""From a study's name to what it has of one property."""

AGES = ((18.0, "below 18"), (40.0, "18 to 39"), (65.0, "40 to 64"), (math.inf, "65 and above"))
DIAMETERS = ((10.0, "below 10 mm"), (20.0, "10 to 20 mm"), (40.0, "20 to 40 mm"), (math.inf, "40 mm and above"))
"""Lesions of volumes, by the diameter of a ball of their volume."""

MAX_VALUES = 12
"""A property with more values than this is told by its most frequent ones; numbers are told by thirds."""

OTHER = "other"


def band(value: float, bands: Sequence[tuple[float, str]]) -> str:
    """The words of the first band that ``value`` lies below the limit of."""
    return next(words for limit, words in bands if value < limit)


def thirds_or_few(values: Mapping[str, float], unit: str) -> Property:
    """Numbers as thirds of those at hand, or as they are where only few differ."""
    if len(set(values.values())) <= 4:
        return {study: f"{value:g} {unit}".strip() for study, value in values.items()}
    return thirds(values, unit)


def thirds(values: Mapping[str, float], unit: str = "") -> Property:
    """Finite numbers as thirds of those at hand; the limits as short as leaves no third empty that exact ones fill."""
    if not values:
        return {}
    exact = [float(q) for q in np.quantile(list(values.values()), [1 / 3, 2 / 3])]
    rounded = ([float(f"{q:.{digits}g}") for q in exact] for digits in range(3, 16))
    filled = _filled(values, exact)
    low, high = next((limits for limits in rounded if _filled(values, limits) == filled), exact)
    bands = [
        (low, f"below {low:,.15g} {unit}"),
        (high, f"{low:,.15g} to {high:,.15g} {unit}"),
        (math.inf, f"{high:,.15g} {unit} and above"),
    ]
    return {study: " ".join(band(value, bands).split()) for study, value in values.items()}


def _filled(values: Mapping[str, float], limits: Sequence[float]) -> set[int]:
    """Which of the bands that ``limits`` make hold a value."""
    return set(np.searchsorted(limits, list(values.values()), side="right").tolist())


def frequent(values: Mapping[str, str]) -> Property:
    """Values, the rare ones of too many as OTHER."""
    counts = sorted(Counter(values.values()).items(), key=lambda item: (-item[1], item[0]))
    kept = {value for value, _ in counts[:MAX_VALUES]}
    return {study: value if value in kept else OTHER for study, value in values.items()}
