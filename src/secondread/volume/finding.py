"""What a reading says of one study, in the form that ``findings.json`` keeps."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Decision = Literal["abnormal", "normal", "unsure"]


@dataclass(frozen=True)
class Category:
    name: str
    probability: float


@dataclass(frozen=True)
class Location:
    """One connected region. Volumes give ``center_mm`` (LPS) and ``volume_mm3``; pictures ``center_px`` [x, y] and
    ``area_px``. ``label`` is the region's value in the mask."""

    probability: float
    label: int
    center_mm: tuple[float, float, float] | None = None
    volume_mm3: float | None = None
    center_px: tuple[float, float] | None = None
    area_px: float | None = None


@dataclass(frozen=True)
class ModelId:
    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class Presence:
    """``probability`` that something abnormal is there; ``decision`` by the model's own thresholds."""

    probability: float
    decision: Decision


@dataclass(frozen=True)
class Findings:
    """All that a reading says of one study. ``presence`` is None where the model has no notion of normal (cat or
    dog); ``mask`` is the file name of the mask beside ``findings.json``, None where none was written."""

    study: str
    model: ModelId
    presence: Presence | None
    categories: tuple[Category, ...] = ()
    locations: tuple[Location, ...] = ()
    mask: str | None = None
    warnings: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON: numbers rounded to six digits, fields that do not apply left out of locations."""
        out: dict[str, Any] = asdict(self)
        out["locations"] = [{k: v for k, v in place.items() if v is not None} for place in out["locations"]]
        return {key: _plain(value) for key, value in out.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return round(float(value), 6) if isinstance(value, float) else value
