"""The pictures of the figures, each with the words below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from secondread.evaluate import froc, metrics, plots
from secondread.evaluate.alarms import Alarm
from secondread.evaluate.figures import Line, presence_arrays, reliability_arrays
from secondread.evaluate.intervals import drawn
from secondread.evaluate.judged import Classes, Judged
from secondread.evaluate.places import marks

THRESHOLDS = np.arange(1, 100) / 100
DRAWS = 200
"""Of the decision curve's band: a picture needs fewer than a figure."""


@dataclass(frozen=True)
class Panel:
    """One picture: inline SVG, and its caption."""

    svg: Markup
    caption: str


def panels(
    judged: Sequence[Judged], classes: Classes, lines: Sequence[Line], alarms: Sequence[Alarm] = ()
) -> dict[str, Panel]:
    """ROC, precision and recall, FROC, reliability, decision curve: those that the studies allow."""
    said = {line.name: line.figure.words for line in lines}
    out: dict[str, Panel] = {}
    if "presence_auc" in said:
        out |= _presence(judged, said, alarms)
    if "froc_score" in said:
        marked, groups = marks(judged)
        false, found = froc.curve(marked, metrics.once(len(groups)))
        out["froc"] = Panel(
            plots.froc_svg(false[0], found[0], said["froc_score"]),
            f"FROC: lesions found against false marks, over {len(groups)} studies, as fainter evidence becomes a mark.",
        )
    if "ece" in said:
        confidence, right = reliability_arrays(judged, classes)
        bins = metrics.reliability(confidence, right, metrics.once(len(right)))
        out["reliability"] = Panel(
            plots.reliability_svg(bins, said["ece"]),
            "Calibration. On the dashed line a probability means what it says; below it the model is too sure of "
            "itself. Larger dots hold more studies.",
        )
    return out


def _presence(judged: Sequence[Judged], said: dict[str, str], alarms: Sequence[Alarm]) -> dict[str, Panel]:
    truth, scores, groups = presence_arrays(judged)
    points = (
        " The dots are the working points meant for 1, 5 and 10 false alarms per 100 normals; their thresholds were "
        "chosen on the validation split, so that the dots show what came of them here."
    )
    draws = np.concatenate(
        [metrics.net_benefit(truth, scores, THRESHOLDS, w) for w in drawn(groups, DRAWS, cells=len(truth))]
    )
    share = float(truth.mean())
    return {
        "roc": Panel(
            plots.roc_svg(truth, scores, said["presence_auc"], alarms), "Presence, ROC." + (points if alarms else "")
        ),
        "pr": Panel(
            plots.pr_svg(truth, scores, said["presence_auprc"]),
            f"Presence, precision over recall. Both hang on the share of abnormals, {share:.2f} here: calling "
            "everything abnormal has that precision (dashed).",
        ),
        "decision": Panel(
            plots.decision_svg(
                THRESHOLDS,
                metrics.net_benefit(truth, scores, THRESHOLDS, metrics.once(len(truth)))[0],
                draws,
                share,
            ),
            "Decision curve. At a threshold of 0.1 one finds it worth looking at ten scans to see one abnormal; the "
            f"model helps where its line is the highest. It holds for {share:.2f} abnormals among the scans, as here.",
        ),
    }
