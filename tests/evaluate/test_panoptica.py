"""Figures of place against panoptica's, by a table; where definitions differ, by its distances and our reduction."""

from __future__ import annotations

import numpy as np
import pytest

from secondread.evaluate import metrics
from secondread.evaluate.lesions import count_lesions, lesions_of
from secondread.evaluate.surface import compare_surfaces

from .panoptica_table import SPACINGS, TABLE, TOLERANCE_MM, masks


@pytest.mark.parametrize("name", SPACINGS)
def test_dice_and_numbers_of_lesions_are_those_of_panoptica(name: str) -> None:
    predicted, truth = masks(name)
    count, told = count_lesions(predicted, lesions_of(truth)), TABLE[name]
    assert (count.true, count.marked) == (told["true"], told["marked"])
    assert metrics.dice(predicted, truth) == pytest.approx(told["dice"], abs=1e-6)


def test_lesions_are_found_as_by_panoptica_where_each_region_lies_within_its_lesion() -> None:
    """There the share covered, which decides here, is the IoU, which decides there: 1, 0.5, 0.3, 0.2, and 0.1 not."""
    predicted, truth = masks("parts of lesions")
    count = count_lesions(predicted, lesions_of(truth))
    assert sorted(count.hit) == [False, False, True, True, True, True]
    assert count.found == TABLE["parts of lesions"]["matched"]


@pytest.mark.parametrize("name", SPACINGS)
def test_distances_of_outlines_are_those_of_panoptica(name: str) -> None:
    """panoptica takes the mean of both directions' means, the percentile of both together and the mean of both shares;
    ours are those of Metrics reloaded. The distances themselves are the same."""
    predicted, truth = masks(name)
    found = compare_surfaces(predicted, truth, SPACINGS[name], TOLERANCE_MM)
    counts, means, percentiles, near = (np.array(column) for column in zip(*TABLE[name]["distances"], strict=True))
    assert found.assd == pytest.approx(float(counts @ means / counts.sum()), abs=1e-6)
    assert found.hd95 == pytest.approx(float(percentiles.max()), abs=1e-6)
    assert found.nsd == pytest.approx(float(near.sum() / counts.sum()), abs=1e-6)
