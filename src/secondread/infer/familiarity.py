"""How far a scan is from those that a model learned from: knees, cats, noise, heads the wrong way up.

Three views of a scan are held against the training studies, each by its Mahalanobis distance along the directions in
which those vary most (Lee et al., NeurIPS 2018, for the network's features; the other two need no network):

- ``tones``: statistics of grey values, spectrum, edges and symmetry, see :mod:`secondread.infer.appearance`;
- ``layout``: a thumbnail, which part of the frame is bright;
- ``features``: the mean and the maximum of the encoder's last feature map.

The fourth, ``order``, is a small classifier over all three that has seen training studies spoiled on purpose: upside
down, turned, their blocks shuffled, their phases scrambled.

Each is put on one scale (0 the median of the validation studies, 1 their 95th percentile), and the largest counts.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from secondread.infer.appearance import appearance

VIEWS = ("tones", "layout", "features")
ORDER = "order"
FARTHEST = 8.0
"""Standard deviations at which one number of a view stops counting for more."""

REASONS = {
    "tones": "its grey values, sharpness or symmetry",
    "layout": "its outline and where its parts lie",
    "features": "what the network finds in it",
    "order": "its orientation or the order of its parts",
}

Floats = NDArray[np.float32]


class Table(BaseModel):
    """An array in JSON: little-endian float32 in base64."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[int, ...]
    float32: str

    @model_validator(mode="after")
    def _fits(self) -> Table:
        if min(self.shape, default=1) < 0 or len(base64.b64decode(self.float32)) != 4 * int(np.prod(self.shape)):
            raise ValueError(f"the bytes of a table do not fit its shape {self.shape}")
        if not np.isfinite(self.array()).all():
            raise ValueError("a table holds numbers that are not finite")
        return self

    @classmethod
    def of(cls, values: NDArray[np.floating]) -> Table:
        """The table of an array."""
        plain = np.ascontiguousarray(values, "<f4")
        return cls(shape=plain.shape, float32=base64.b64encode(plain.tobytes()).decode())

    def array(self) -> Floats:
        """The array itself, float32."""
        return np.frombuffer(base64.b64decode(self.float32), "<f4").reshape(self.shape)


class View(BaseModel):
    """One view's training distribution: D numbers, of which J directions are kept.

    ``mean`` and ``deviation`` (D) standardise; ``directions`` (J, D), already divided by the standard deviation along
    each, take the standardised numbers, less ``centre`` (D), to white coordinates.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: Table
    deviation: Table
    centre: Table
    directions: Table


class Familiarity(BaseModel):
    """What training leaves behind for judging whether a scan is of its kind.

    Attributes:
        views: by name, see :data:`VIEWS`.
        hidden, hidden_bias, output, output_bias: of the classifier behind ``order``: (J, H), (H), (H), ().
        middle, width: (4) median of each score on the validation studies, and the way from there to their 95th
            percentile.
        threshold: above it a scan is unfamiliar.
        rate: share of the validation studies above the threshold that was asked for; ``studies``, how many there were.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    views: Mapping[str, View]
    hidden: Table
    hidden_bias: Table
    output: Table
    output_bias: float
    middle: Table
    width: Table
    threshold: float = Field(gt=0)
    rate: float = Field(gt=0, lt=1)
    studies: int = Field(gt=0)

    @model_validator(mode="after")
    def _whole(self) -> Familiarity:
        if set(self.views) != set(VIEWS):
            raise ValueError(f"views must be {', '.join(VIEWS)}; got {', '.join(self.views)}")
        return self


@dataclass(frozen=True)
class Strangeness:
    """How unfamiliar one scan is: above ``limit`` it is no scan of the model's kind. ``chiefly`` names the largest
    score."""

    value: float
    limit: float
    chiefly: str

    @property
    def unfamiliar(self) -> bool:
        return self.value > self.limit

    @property
    def warning(self) -> str:
        """For the person who reads the findings."""
        return (
            f"This does not look like the scans the model learned from, chiefly in {REASONS[self.chiefly]} "
            f"(unfamiliarity {self.value:.1f}, limit {self.limit:.1f}). It may show another part of the body, lie the "
            "wrong way round, be of another contrast, processed in another way, or damaged. Do not rely on what the "
            "model says of it."
        )


class Acquaintance:
    """:class:`Familiarity`, unpacked and ready to judge."""

    def __init__(self, fitted: Familiarity) -> None:
        self._fitted = fitted
        self._views = {name: Whitening.of(view) for name, view in fitted.views.items()}
        self._order = (fitted.hidden.array(), fitted.hidden_bias.array(), fitted.output.array(), fitted.output_bias)
        self._middle, self._width = fitted.middle.array(), fitted.width.array()

    def judge(self, array: Floats, features: Floats) -> Strangeness:
        """How unfamiliar is a scan?

        Args:
            array: (C, S), prepared.
            features: (2 F), see :class:`secondread.models.Output`.
        """
        rows = {name: row[None] for name, row in views_of(array, features).items()}
        parts = (raw_scores(rows, self._views, self._order)[0] - self._middle) / self._width
        chief = int(np.argmax(parts))
        return Strangeness(float(parts[chief]), self._fitted.threshold, (*VIEWS, ORDER)[chief])


@dataclass(frozen=True, eq=False)
class Whitening:
    """Numbers of a view (n, D) to white coordinates (n, J), in which the training studies have variance 1."""

    mean: Floats
    deviation: Floats
    centre: Floats
    directions: Floats

    @classmethod
    def of(cls, view: View) -> Whitening:
        return cls(view.mean.array(), view.deviation.array(), view.centre.array(), view.directions.array())

    def __call__(self, rows: Floats) -> Floats:
        standard = np.clip((rows - self.mean) / self.deviation, -FARTHEST, FARTHEST)
        return np.asarray((standard - self.centre) @ self.directions.T, np.float32)


def views_of(array: Floats, features: Floats) -> dict[str, Floats]:
    """The numbers of each view for one prepared scan (C, S) with the network's ``features`` (2 F)."""
    tones, layout = appearance(array)
    return {"tones": tones, "layout": layout, "features": np.nan_to_num(features.astype(np.float32))}


def classifier_input(white: Mapping[str, Floats]) -> Floats:
    """White coordinates of all views side by side (n, J), bounded: a classifier must not be led by one wild number."""
    return np.clip(np.hstack([white[name] for name in VIEWS]), -6, 6)


def raw_scores(
    rows: Mapping[str, Floats], views: Mapping[str, Whitening], order: tuple[Floats, Floats, Floats, float]
) -> Floats:
    """The four scores (n, 4), not yet on one scale, of rows (n, D) by view."""
    white = {name: views[name](rows[name]) for name in VIEWS}
    distances = [np.linalg.norm(white[name], axis=1) for name in VIEWS]
    hidden, hidden_bias, output, output_bias = order
    spoiled = np.maximum(classifier_input(white) @ hidden + hidden_bias, 0) @ output + output_bias
    return np.stack([*distances, spoiled], axis=1).astype(np.float32)
