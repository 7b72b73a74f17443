"""The answer in three sentences: what was judged, the headline beside what costs nothing, the main caveat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from secondread.evaluate.audit import Audit
from secondread.evaluate.curves import Verdict
from secondread.evaluate.figures import Line
from secondread.evaluate.intervals import FEW_GROUPS
from secondread.index.words import counted

BASELINES = {
    "presence_auc": "tossing a coin",
    "accuracy": "always saying the most frequent class",
    "macro_f1": "always saying the most frequent class",
    "dice": "outlining the brightest connected voxels",
    "slice_presence_auc": "counting the brightest connected voxels per slice",
    "peak_in_mask": "pointing anywhere in the head",
    "presence_auprc": "calling everything abnormal",
    "brier": "always giving the shares of the classes",
    "presence_brier": "always giving the share of abnormals",
    "presence_sensitivity_at_1fp": "the share of normals that raise an alarm there",
    "presence_sensitivity_at_5fp": "the share of normals that raise an alarm there",
    "presence_sensitivity_at_10fp": "the share of normals that raise an alarm there",
}
"""What each baseline is, in words; the others have chance itself."""

HEADLINES = {
    "presence_auc": "tells abnormal from normal with an area under the ROC curve of",
    "accuracy": "names the right class with an accuracy of",
    "dice": "outlines lesions with a Dice of",
    "peak_in_mask": "puts its highest evidence inside the lesion in a share of",
}


@dataclass(frozen=True)
class Counts:
    """How many studies and groups were judged, how many could not be read; ``absent``: which of *normal* and *abnormal*
    studies a model that tells the two apart was not judged on, though the other are there."""

    studies: int
    groups: int
    unread: int
    absent: str | None = None


def headline_of(lines: Sequence[Line], has_normal: bool, categories: int) -> Line | None:
    """The figure the report leads with: accuracy where several classes are named, presence where one is, else Dice."""
    order = ["presence_auc", "accuracy"] if has_normal and categories == 1 else ["accuracy", "dice", "presence_auc"]
    by_name = {line.name: line for line in lines}
    names = [*order, "dice", "presence_auc", "peak_in_mask"]
    return next((by_name[name] for name in names if name in by_name), None)


def what_was_judged(model: str, counts: Counts, origin: str) -> str:
    unread = f"; {counts.unread} more could not be read and are listed below" if counts.unread else ""
    return (
        f"The model {model} was judged on {counted(counts.studies, 'study')} of "
        f"{counted(counts.groups, 'group')} (patients) from {origin}{unread}."
    )


def headline_words(line: Line | None) -> str:
    """The headline beside its baseline; where it does not beat it, that is what the sentence says."""
    if line is None:
        return (
            "No figure could be formed: the studies hold neither known classes nor masks to hold the answers against."
        )
    said = f"It {HEADLINES.get(line.name, line.title)} {line.figure.words}"
    return f"{said}{_beside(line)}."


def beaten_words(line: Line) -> str:
    """For the table: ``yes``, ``no``, or a dash where there is nothing to beat."""
    return {True: "yes", False: "no", None: "–"}[line.beats_baseline]


def main_caveat(
    leaks: Sequence[str],
    audit: Audit,
    verdict: Verdict | None,
    counts: Counts,
    headline: Line | None,
    *,
    epoch_chosen: bool = True,
) -> str:
    """The gravest reason to doubt the headline. ``epoch_chosen``: by validation, and not the last one."""
    if leaks:
        return leaks[0]
    if audit.grave:
        return audit.sentences[0]
    if counts.absent:
        return f"No {counts.absent} study was judged: whether the model tells abnormal from normal cannot be said."
    if counts.groups < FEW_GROUPS:
        return (
            f"With {counts.groups} group{'s' if counts.groups != 1 else ''} the intervals themselves are rough: judge "
            "more patients before relying on any figure."
        )
    if headline is not None and headline.beats_baseline is False:
        return "A model that does not beat what costs nothing has learned nothing that these studies can show."
    if verdict is not None and verdict.kind == "overfit" and not epoch_chosen:
        return (
            "By its validation patients the training overfits, and its last epoch was kept: they, or those with a "
            "lesion, are too few to choose one."
        )
    if verdict is not None and verdict.kind not in ("fits", "overfit"):
        # An overfit run whose epoch was chosen keeps its best; these leave doubt about the very model judged.
        return f"The training leaves room: {verdict.kind}, says the verdict on its curves below."
    return (
        "These studies come from the same data as the training, only from other groups: scanners, sites and patients "
        "unlike these are untested."
    )


def _beside(line: Line) -> str:
    if line.baseline is None:
        return ""
    what = BASELINES.get(line.name, "chance")
    trivial = f"{line.baseline:.2f}" if isinstance(line.baseline, float) else line.baseline.words
    if line.beats_baseline is None:
        return f"; {what} gives {trivial}"
    if line.beats_baseline:
        return f", where {what} gives {trivial}"
    return f" and does not beat the trivial baseline: {what} gives {trivial}"
