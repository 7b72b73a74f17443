"""Working points: the presence above which a study raises an alarm, chosen on the validation split alone.

A threshold chosen on the very studies it is judged by keeps its promise there by construction, and nowhere else. So the
run's validation studies choose it, and the test studies show what it brings: how many abnormals it finds, and how many
normals raise an alarm in fact.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from secondread.errors import ResourceError, writing
from secondread.evaluate.metrics import alarm_threshold
from secondread.files import write_whole

ALARM_RATES = (1, 5, 10)
"""False alarms per 100 normal studies at which sensitivity is given."""

KEPT = "validation.parquet"
"""In the run's folder, so that it can be judged on other data where its own scans are out of reach."""


@dataclass(frozen=True)
class Score:
    """Presence of one validation study."""

    study: str
    group: str
    abnormal: bool
    presence: float


@dataclass(frozen=True)
class Alarm:
    """One working point.

    Attributes:
        rate: false alarms per 100 normals that it was chosen for.
        threshold: more presence than this raises an alarm.
        normals: validation studies that it was chosen on.
    """

    rate: int
    threshold: float
    normals: int

    @property
    def note(self) -> str:
        few = self.rate * self.normals < 100
        return f"threshold {self.threshold:.3g}, from {self.normals} validation normals" + (
            ": too few to hold this rate" if few else ""
        )


def choose(scores: Sequence[Score]) -> tuple[Alarm, ...]:
    """A working point for each of ALARM_RATES; none without validation normals."""
    normals = np.array([score.presence for score in scores if not score.abnormal], np.float64)
    if not len(normals):
        return ()
    return tuple(Alarm(rate, alarm_threshold(normals, rate), len(normals)) for rate in ALARM_RATES)


def keep(run: Path, model_sha256: str, scores: Sequence[Score]) -> None:
    """Write the scores into the run's folder; a folder that cannot be written to is left as it is."""
    import polars as pl

    buffer = io.BytesIO()
    pl.DataFrame(
        {
            "study": pl.Series([s.study for s in scores], dtype=pl.String),
            "group": pl.Series([s.group for s in scores], dtype=pl.String),
            "abnormal": pl.Series([s.abnormal for s in scores], dtype=pl.Boolean),
            "presence": pl.Series([s.presence for s in scores], dtype=pl.Float64),
            "model": pl.Series([model_sha256] * len(scores), dtype=pl.String),
        }
    ).write_parquet(buffer)
    try:
        with writing(run):
            write_whole(run / KEPT, buffer.getvalue())
    except ResourceError:
        return


def kept(run: Path, model_sha256: str) -> list[Score] | None:
    """What :func:`keep` wrote for this very model, else None."""
    import polars as pl

    try:
        table = pl.read_parquet(run / KEPT)
        if set(table["model"]) != {model_sha256}:
            return None
        columns = (table["study"], table["group"], table["abnormal"], table["presence"])
    except (OSError, pl.exceptions.PolarsError):
        return None  # absent, or not ours: the scans themselves can be asked again
    return [Score(*values) for values in zip(*columns, strict=True)]
