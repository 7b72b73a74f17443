"""A run on labels shuffled at random is reported as no better than chance, in words and by its intervals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from secondread.evaluate import words
from secondread.evaluate.figures import Line, tabulate
from secondread.evaluate.judged import Classes, Judged

CLASSES = Classes(("abnormal",), "normal", located=False)
REPEATS = 100
LEAST = 93


def shuffled(seed: int, groups: int, per_group: int, share: float, by_group: bool) -> list[Judged]:
    """Predictions that resemble each other within a patient, and labels that have nothing to do with them: shuffled
    over studies, or over patients."""
    generator = np.random.default_rng(seed)
    member = np.repeat(np.arange(groups), per_group)
    logit = 1.5 * generator.normal(size=groups)[member] + generator.normal(size=len(member))
    presence = 1 / (1 + np.exp(-logit))
    count = groups if by_group else len(member)
    labels = generator.permutation(np.arange(count) < share * count)
    abnormal = labels[member] if by_group else labels
    return [
        Judged(
            study=str(k),
            group=f"g{member[k]}",
            label=None,
            truth=None,
            abnormal=bool(abnormal[k]),
            decision=None,
            presence=float(presence[k]),
            categories={"abnormal": 1.0},
            classes=CLASSES.probabilities(float(presence[k]), {"abnormal": 1.0}),
            located=None,
        )
        for k in range(len(member))
    ]


def report(judged: list[Judged], monkeypatch: pytest.MonkeyPatch) -> Line:
    """The headline of the report."""
    monkeypatch.setattr("secondread.evaluate.intervals.DRAWS", 300)
    found = words.headline_of(tabulate(judged, CLASSES, {"normal": 1}), True, 1)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("groups", "per_group", "share", "by_group"),
    [(80, 1, 0.5, False), (37, 9, 0.85, True), (24, 3, 0.5, True), (60, 2, 0.15, False)],
)
def test_shuffled_labels_are_no_better_than_chance(
    groups: int, per_group: int, share: float, by_group: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, called_chance = 0, 0
    for seed in range(REPEATS):
        line = report(shuffled(seed, groups, per_group, share, by_group), monkeypatch)
        assert line.name == "presence_auc"
        held += line.figure.low <= 0.5 <= line.figure.high
        called_chance += "does not beat the trivial baseline" in words.headline_words(line)
    assert held >= LEAST
    assert called_chance >= LEAST


def test_a_run_that_learned_is_not_called_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness can tell: with labels that follow the predictions every repeat is better than chance."""
    for seed in range(10):
        judged = shuffled(seed, 80, 1, 0.5, False)
        order = np.argsort([-(j.presence or 0) + 0.2 * np.random.default_rng(seed).normal() for j in judged])
        learned = set(order[:40].tolist())
        told = [replace(j, abnormal=k in learned) for k, j in enumerate(judged)]
        line = report(told, monkeypatch)
        assert line.figure.low > 0.5
        assert "where tossing a coin gives 0.50" in words.headline_words(line)
