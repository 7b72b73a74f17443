"""predictions.parquet: a row per study judged, and all that comparing two runs needs of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from secondread.errors import DataError, UsageError
from secondread.evaluate import metrics
from secondread.evaluate.alarms import ALARM_RATES, Alarm
from secondread.evaluate.judged import Classes, Judged

if TYPE_CHECKING:
    import polars as pl

PREDICTIONS = "predictions.parquet"


def read_predictions(folder: Path) -> pl.DataFrame:
    """The table of an evaluation. Raises UsageError where there is none, DataError where it is damaged or too old."""
    import polars as pl

    path = folder / PREDICTIONS
    if not path.is_file():
        raise UsageError(f"{folder} holds no {PREDICTIONS}; run secondread evaluate first")
    try:
        table = pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if missing := sorted({"study", "group", "label", "truth", "abnormal", "presence"} - set(table.columns)):
        raise DataError(f"{path} has no column {', '.join(missing)}; judge the run again with secondread evaluate")
    return table


def columns_to_compare(judged: Sequence[Judged], classes: Classes, alarms: Sequence[Alarm]) -> dict[str, Any]:
    """More columns of predictions.parquet: abnormal, alarm_<rate>fp, and per study what the figures are means or
    ratios of."""
    import polars as pl

    points = {alarm.rate: alarm.threshold for alarm in alarms}
    places = [j.located if classes.located else None for j in judged]
    several = len(classes.names) > 1
    surfaces = [None if p is None else p.surface for p in places]

    def floats(values: Sequence[float | None]) -> pl.Series:
        return pl.Series([None if v is None or math.isnan(v) else v for v in values], dtype=pl.Float64)

    def brier(j: Judged) -> float | None:
        if j.truth is None or not several:
            return None
        given = np.array([j.classes[name] for name in classes.names])
        return float(metrics.brier(np.array([[name == j.truth for name in classes.names]]), given[None])[0])

    known = [None if j.presence is None or j.abnormal is None else (j.presence, j.abnormal) for j in judged]
    out: dict[str, Any] = {"abnormal": pl.Series([j.abnormal for j in judged], dtype=pl.Boolean)}
    for rate in ALARM_RATES:
        raised = [None if k is None or rate not in points else k[0] > points[rate] for k in known]
        out[f"alarm_{rate}fp"] = pl.Series(raised, dtype=pl.Boolean)
    return out | {
        "brier": floats([brier(j) for j in judged]),
        "presence_brier": floats([None if k is None else (k[0] - k[1]) ** 2 for k in known]),
        "nsd": floats([None if s is None else s.nsd for s in surfaces]),
        "assd_mm": floats([None if s is None else s.assd for s in surfaces]),
        "peak_in_mask": floats([None if j.located is None else float(j.located.peak_in_mask) for j in judged]),
        "lesions": pl.Series([None if p is None else p.lesions.true for p in places], dtype=pl.Int64),
        "lesions_found": pl.Series([None if p is None else p.lesions.found for p in places], dtype=pl.Int64),
    }
