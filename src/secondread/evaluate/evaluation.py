"""Everything a report tells of one run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from secondread.evaluate import words
from secondread.evaluate.alarms import Alarm
from secondread.evaluate.audit import Audit
from secondread.evaluate.curves import Verdict
from secondread.evaluate.figures import Line
from secondread.evaluate.judged import Classes, Judged
from secondread.evaluate.labels import LabelErrors
from secondread.evaluate.sites import Sites
from secondread.evaluate.splitgap import SplitGap
from secondread.evaluate.subgroups import Subgroup

if TYPE_CHECKING:
    from secondread.index import Row


@dataclass(frozen=True)
class Unread:
    """A study that could not be read, by its number in the report, and why."""

    study: str
    reason: str


@dataclass(frozen=True)
class Evaluation:
    """Everything a report tells of one run.

    Attributes:
        run: name of the run's folder.
        origin: which studies were judged, in words.
        leaks: why figures may be too good, in words; empty where no leak was found.
        rows: all included rows of the index judged; ``excluded``: those it left out, with reasons.
        learned: the rows that the run learned from.
        own_data: the run's own test split was judged, and no other data.
        command: what makes this evaluation again.
        about_sha256: of the table of properties of patients, None without one.
        gap: what a split that divides patients claims; ``stamp``: words for every page where such a split was accepted.
        alarms: working points, chosen on the validation split.
        untold: what of a table about people is not told by subgroup, and why, in words.
        start: what beginning with the starter model gained, in words.
    """

    run: str
    origin: str
    model: dict[str, Any]
    classes: Classes
    judged: tuple[Judged, ...]
    unread: tuple[Unread, ...]
    lines: tuple[Line, ...]
    majority: str | None
    history: tuple[dict[str, Any], ...]
    verdict: Verdict | None
    audit: Audit
    leaks: tuple[str, ...]
    rows: tuple[Row, ...]
    excluded: tuple[Unread, ...]
    notes: tuple[str, ...]
    plan: dict[str, Any]
    index_sha256: str
    command: str
    about_sha256: str | None = None
    learned: tuple[Row, ...] = ()
    own_data: bool = True
    gap: SplitGap = field(default_factory=SplitGap)
    sites: Sites = field(default_factory=Sites)
    labels: LabelErrors = field(default_factory=LabelErrors)
    subgroups: tuple[Subgroup, ...] = ()
    untold: tuple[str, ...] = ()
    stamp: str | None = None
    start: str = ""
    alarms: tuple[Alarm, ...] = ()

    @property
    def counts(self) -> words.Counts:
        kinds = {j.abnormal for j in self.judged if j.abnormal is not None}
        lacking = {True: "normal", False: "abnormal"}[kinds.pop()] if len(kinds) == 1 else None
        return words.Counts(
            studies=len(self.judged),
            groups=len({j.group for j in self.judged}),
            unread=len(self.unread),
            absent=None if self.classes.normal is None else lacking,
        )

    @property
    def epoch_chosen(self) -> bool:
        """Whether validation chose the epoch; else the last one was kept."""
        return bool(self.model.get("trained_on", {}).get("epoch_chosen", True))

    @property
    def headline(self) -> Line | None:
        return words.headline_of(self.lines, self.classes.normal is not None, len(self.classes.categories))

    @property
    def summary(self) -> tuple[str, str, str]:
        """The answer in three sentences."""
        name = f"{self.model['name']} {self.model['version']}"
        return (
            words.what_was_judged(name, self.counts, self.origin),
            words.headline_words(self.headline),
            words.main_caveat(
                self.leaks,
                self.audit,
                self.verdict,
                self.counts,
                self.headline,
                epoch_chosen=self.epoch_chosen,
            ),
        )
