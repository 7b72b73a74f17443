"""The leaky figure beside the honest one: what a split that divides patients claims, and what is left without that.

Both figures are of the quick reader (:mod:`secondread.evaluate.quick`) on the very same test studies. For the leaky
one it learns from the training side of the split as it is; for the honest one, a fifth of the test patients at a time,
without any study tied to those (same patient, or near-duplicate). The leaky reader learns from a random part of its
training side of just the same size, so that the difference is made by whom it has seen and not by how many.

The split is the one that the data gave. Where they gave none, or a clean one, it is a split by study as many
publications use: a quarter of the studies, drawn at random, for the test.

Beside it, where the model under test was itself trained on a split that leaks: its figure on test studies that are
tied to its training, and on those that are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondread.evaluate import quick
from secondread.evaluate.intervals import FEW_GROUPS, Figure
from secondread.evaluate.lines import mean_of
from secondread.index.split import units

if TYPE_CHECKING:
    from secondread.evaluate.judged import Judged
    from secondread.index import Index, Row

TEST_SHARE = 0.25
MIN_TIED = 0.05
"""Where fewer test studies than this share are tied to the training side, a split by study hardly leaks."""


@dataclass(frozen=True)
class SplitGap:
    """Accuracies of the quick reader under a split that divides patients, and without what divides them.

    Attributes:
        given: the split came with the data; else it is one by study, drawn here.
        tied: share of test studies of whose patient, or near-duplicates, the training side holds others.
        leaky, honest, gap: on the same test studies; the gap is paired.
        studies: how many there were to learn from and to judge, both.
        model_tied, model_free: the model's own accuracy on test studies tied to its training and on the others, None
            where there are none.
        blocked: why there is nothing to show, in words, or None.
    """

    given: bool = False
    tied: float = 0.0
    leaky: Figure | None = None
    honest: Figure | None = None
    gap: Figure | None = None
    studies: int = 0
    model_tied: Figure | None = None
    model_free: Figure | None = None
    blocked: str | None = None

    def to_json(self) -> dict[str, Any]:
        figures = ("leaky", "honest", "gap", "model_tied", "model_free")
        return {
            "split": "given" if self.given else "by study, drawn here",
            "tied": round(self.tied, 6),
            "studies": self.studies,
            **{name: None if (f := getattr(self, name)) is None else f.to_json() for name in figures},
            "sentences": self.sentences,
            "blocked": self.blocked,
        }

    @property
    def sentences(self) -> list[str]:
        """What came of it, in words."""
        if self.leaky is None or self.honest is None or self.gap is None:
            return []
        split = "The split that came with the data" if self.given else "A split by study instead of by patient"
        claims = "claims" if self.given else "would claim"
        rests = self.gap.low > 0
        out = [
            f"{split} {claims} an accuracy of {self.leaky.words} for a quick reader; the same reader on the same "
            f"studies, without having seen their patients, reaches {self.honest.words}. "
            + (
                f"{100 * self.gap.value:.1f} points ({100 * self.gap.low:.1f} to {100 * self.gap.high:.1f}) of it are "
                "patients known again."
                if rests
                else "That is no difference that these studies can show."
            )
        ]
        return [*out, *self._of_model()]

    def _of_model(self) -> list[str]:
        if self.model_tied is None:
            return []
        tied = (
            f"The model itself reaches {self.model_tied.words} on the test studies of whose patients it has seen others"
        )
        if self.model_free is None:
            return [
                f"{tied}; there are no others to judge it on, so its honest figure is unknown: train on a mended split."
            ]
        few = f" of {self.model_free.groups} patients only" if self.model_free.groups < FEW_GROUPS else ""
        return [
            f"{tied}, and {self.model_free.words} on the others{few}. The second is honest, but of other studies, in "
            "which classes may come in other shares."
        ]


def split_gap(index: Index, judged: Sequence[Judged] = (), *, seed: int = 0) -> SplitGap:
    """Measure it on the index of a run. ``judged``: studies of its own test split, where that split leaks."""
    rows = quick.sampled(quick.readable(index.rows(None)), seed)
    given = _given(index)
    sides = given if given is not None and _divides(rows, given) else None
    tied, free = _model(index.rows(None), judged)
    if not rows:
        return SplitGap(model_tied=tied, model_free=free, blocked="no study with a class has a thumbprint in the index")
    if len({row.label if row.label is not None else str(row.normal) for row in rows}) < 2:
        return SplitGap(model_tied=tied, model_free=free, blocked="there are no two classes to name")
    unit = units(rows)
    test = _test_side(rows, sides, seed)
    shared = np.isin(unit[test], unit[~test])
    if not test.any() or test.all() or shared.mean() < MIN_TIED:
        return SplitGap(
            given=sides is not None,
            model_tied=tied,
            model_free=free,
            blocked="hardly a patient has several studies, so that a split by study divides almost none",
        )
    leaky, honest = _answers(rows, unit, test, seed)
    groups = [str(u) for u in unit[test]]
    seen, unseen = mean_of(leaky, groups), mean_of(honest, groups)
    return SplitGap(
        given=sides is not None,
        tied=float(shared.mean()),
        leaky=seen.figure,
        honest=unseen.figure,
        gap=seen.over(unseen),
        studies=len(rows),
        model_tied=tied,
        model_free=free,
    )


def _given(index: Index) -> dict[str, str] | None:
    """The split that came with the data: the index's own where it leaks (someone accepted that), else the one that the
    index remembers from before it was mended."""
    from secondread.index.split import find_leaks

    rows = index.rows(None)
    if find_leaks(rows):
        return {row.study: row.split for row in rows if row.split is not None}
    return dict(index.given_split) or None


def _divides(rows: Sequence[Row], sides: dict[str, str]) -> bool:
    unit = units(rows)
    test = np.array([sides.get(row.study) == "test" for row in rows], bool)
    train = np.array([sides.get(row.study) == "train" for row in rows], bool)
    return bool(np.isin(unit[test], unit[train]).any())


def _test_side(rows: Sequence[Row], sides: dict[str, str] | None, seed: int) -> NDArray[np.bool_]:
    if sides is not None:
        return np.array([sides.get(row.study) == "test" for row in rows], bool)
    return np.random.default_rng(seed).random(len(rows)) < TEST_SHARE


def _answers(
    rows: Sequence[Row], unit: NDArray[np.int32], test: NDArray[np.bool_], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Whether the leaky and the honest reader are right, (tests) each."""
    table, labels = quick.features(rows), quick.classes(rows)
    generator = np.random.default_rng(seed)
    fold = generator.permutation(int(unit.max()) + 1) % quick.FOLDS
    learn, judge = np.flatnonzero(~test), np.flatnonzero(test)
    leaky, honest = np.zeros(len(judge)), np.zeros(len(judge))
    for number in range(quick.FOLDS):
        mine = fold[unit[judge]] == number
        clean = learn[~np.isin(unit[learn], unit[judge][mine])]
        if not mine.any() or not len(clean):
            continue
        same_size = np.sort(generator.choice(learn, len(clean), replace=False))
        truth = labels[judge[mine]]
        leaky[mine] = quick.answers(table, labels, same_size, judge[mine], seed) == truth
        honest[mine] = quick.answers(table, labels, clean, judge[mine], seed) == truth
    return leaky, honest


def _model(rows: Sequence[Row], judged: Sequence[Judged]) -> tuple[Figure | None, Figure | None]:
    """The model's accuracy on studies tied to its training side, and on the others."""
    unit = dict(zip((row.study for row in rows), units(rows).tolist(), strict=True))
    seen = {unit[row.study] for row in rows if row.split in ("train", "validation")}
    known = [j for j in judged if j.right is not None and j.study in unit]
    found = []
    for kind in (True, False):
        mine = [j for j in known if (unit[j.study] in seen) is kind]
        found.append(mean_of([float(bool(j.right)) for j in mine], [j.group for j in mine]).figure)
    return found[0], found[1]
