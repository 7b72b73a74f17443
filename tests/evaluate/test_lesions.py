from __future__ import annotations

import numpy as np
import pytest
from monai.metrics.froc import compute_froc_curve_data, compute_froc_score
from numpy.typing import NDArray

from secondread.evaluate import froc, metrics
from secondread.evaluate.lesions import (
    NO_LESION,
    SPECK,
    LesionCount,
    Mark,
    count_lesions,
    diameter,
    lesions_of,
    marks_of,
)


def test_lesions_are_found_by_coverage_and_specks_do_not_count() -> None:
    truth = np.zeros((20, 20), bool)
    truth[1:6, 1:6] = True  # 25 voxels
    truth[12:17, 12:17] = True
    truth[19, 0] = True  # a speck
    predicted = np.zeros_like(truth)
    predicted[1, 1:4] = True  # 3 of 25: 12 %, found
    predicted[12, 12:14] = True  # 2 of 25: 8 %, missed, but it touches
    predicted[8:10, 18:20] = True  # touches nothing
    count = count_lesions(predicted, lesions_of(truth))
    assert count == LesionCount(sizes=(25, 25), hit=(True, False), marked=3, marked_right=2)
    assert (count.true, count.found) == (2, 1)


def test_a_mask_of_specks_alone_still_counts() -> None:
    truth = np.zeros((9, 9, 9), bool)
    truth[4, 4, 4] = True
    assert count_lesions(truth, lesions_of(truth)) == LesionCount((1,), (True,), 1, 1)
    assert count_lesions(~truth & truth, lesions_of(truth)).found == 0


def test_diameter_of_a_ball_and_a_disk() -> None:
    assert diameter(1000, np.pi / 6, 3) == pytest.approx(10)
    assert diameter(100, np.pi / 4, 2) == pytest.approx(10)


def bump(shape: tuple[int, int], at: tuple[int, int], height: float, width: float) -> NDArray[np.float32]:
    row, column = np.indices(shape)
    squared = (row - at[0]) ** 2 + (column - at[1]) ** 2
    return (height * np.exp(-squared / (2 * width**2))).astype(np.float32)


def test_each_peak_is_one_mark_and_its_rim_is_none() -> None:
    shape = (60, 60)
    evidence = np.maximum(bump(shape, (15, 15), 0.9, 4), bump(shape, (45, 40), 0.3, 3))
    evidence = np.maximum(evidence, bump(shape, (5, 50), 0.08, 3))  # below the least peak
    truth = np.zeros(shape, bool)
    truth[12:19, 12:19] = True
    truth[5, 50] = True
    marks = marks_of(evidence, lesions_of(truth))
    assert [round(mark.score, 3) for mark in marks] == [0.9, 0.3]
    assert [mark.lesion > 0 for mark in marks] == [True, False]
    assert marks_of(evidence, None)[0].lesion == NO_LESION
    assert marks_of(np.zeros(shape, np.float32), None) == ()


def test_a_mark_in_a_speck_is_no_false_mark() -> None:
    truth = np.zeros((30, 30), bool)
    truth[2:8, 2:8] = True
    truth[20, 20] = True
    (mark,) = marks_of(bump((30, 30), (20, 20), 0.8, 1), lesions_of(truth))
    assert mark.lesion == SPECK
    assert not len(froc.gather([(1, [mark])]).scores)


def made_marks(seed: int) -> list[tuple[int, list[Mark]]]:
    generator = np.random.default_rng(seed)
    studies = []
    for _ in range(25):
        lesions = int(generator.integers(0, 4))
        marks = [Mark(float(s), NO_LESION) for s in generator.integers(1, 40, generator.integers(0, 9)) / 41]
        for lesion in range(1, lesions + 1):
            marks += [Mark(float(s), lesion) for s in generator.integers(1, 41, generator.integers(0, 3)) / 41]
        studies.append((lesions, marks))
    return studies


@pytest.mark.parametrize("seed", range(5))
def test_froc_is_that_of_monai(seed: int) -> None:
    studies = made_marks(seed)
    false = np.array([m.score for _, marks in studies for m in marks if m.lesion == NO_LESION])
    highest = [
        max((m.score for m in marks if m.lesion == lesion), default=-1.0)
        for lesions, marks in studies
        for lesion in range(1, lesions + 1)
    ]
    # MONAI leaves the lowest score of all out: a mark below every other one takes that place.
    x, y = compute_froc_curve_data(np.append(false, -2.0), np.array(highest), len(highest), len(studies))
    keep = np.append(np.arange(len(x))[:-1][np.array(sorted({-2.0, *false, *highest})[1:]) > 0], len(x) - 1)
    marked = froc.gather(studies)
    mine_x, mine_y = froc.curve(marked, metrics.once(len(studies)))
    assert mine_x[0] == pytest.approx(x[keep][::-1], abs=1e-12)
    assert mine_y[0] == pytest.approx(y[keep][::-1], abs=1e-12)
    score = froc.sensitivity_at(marked, froc.RATES, metrics.once(len(studies)))
    assert score == pytest.approx([compute_froc_score(x[keep], y[keep], froc.RATES)], abs=1e-12)


def test_froc_counts_a_study_as_often_as_it_was_drawn() -> None:
    studies = made_marks(0)
    at = np.random.default_rng(1).integers(0, len(studies), len(studies))
    weights = np.bincount(at, minlength=len(studies))[None].astype(float)
    drawn = froc.sensitivity_at(froc.gather(studies), (1.0,), weights)
    again = froc.sensitivity_at(froc.gather([studies[k] for k in at]), (1.0,), metrics.once(len(studies)))
    assert drawn == pytest.approx(again, abs=1e-12)
    empty = froc.gather([(0, [Mark(0.5, NO_LESION)])])
    assert np.isnan(froc.sensitivity_at(empty, (1.0,), metrics.once(1))).all()
