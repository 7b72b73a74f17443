"""What a scan's own brightness adds to evidence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from secondread.infer.brightness import grown, with_brightness

SHAPE = (48, 48)
LESION, ELSEWHERE = (slice(10, 26), slice(10, 26)), (slice(38, 42), slice(38, 42))


def scan(bright: float = 3.0) -> NDArray[np.float32]:
    """A head of noise in air, with two bright places."""
    image = np.full(SHAPE, -2.0, np.float32)
    head = (slice(3, -3), slice(3, -3))
    image[head] = np.random.default_rng(0).normal(1, 0.2, SHAPE)[head]
    for place in (LESION, ELSEWHERE):
        image[place] += bright
    return image[None]


def found() -> NDArray[np.float32]:
    """The middle of one of them is seen, as blurred as networks see, and nothing else."""
    seen = np.zeros(SHAPE, np.float32)
    seen[13:23, 13:23] = 1.0
    return gaussian_filter(seen, 2.0) * 6 - 3


def test_a_lesion_grows_to_its_border_and_no_further() -> None:
    inside = grown(found(), scan(), 4.0) > 0
    assert (found() > 0)[LESION].mean() < 0.4 < 0.7 < inside[LESION].mean()
    assert inside.sum() <= 1.1 * inside[LESION].sum()
    assert not inside[ELSEWHERE].any()


def test_what_is_marked_too_far_is_taken_back() -> None:
    evidence = found()
    evidence[4:32, 4:32] = evidence[4:32, 4:32].clip(0.5)
    inside = grown(evidence, scan(), 2.0) > 0
    assert inside.sum() < 1.3 * inside[LESION].sum() < 1.3 * (evidence > 0).sum()


def test_nothing_changes_where_lesion_and_brain_are_alike() -> None:
    evidence, before = grown(found(), scan(bright=0.0), 2.0), found() > 0
    assert np.mean((evidence > 0) == before) > 0.98


def test_a_missing_channel_says_nothing() -> None:
    one = grown(found(), scan(), 1.0)
    both = grown(found(), np.concatenate([scan(), np.zeros((1, *SHAPE), np.float32)]), 1.0)
    np.testing.assert_array_equal(one, both)


@pytest.mark.parametrize("images", [np.zeros((2, *SHAPE), np.float32), scan()])
def test_air_and_weightless_brightness_change_nothing(images: NDArray[np.float32]) -> None:
    weight = 0.0 if images.any() else 2.0
    np.testing.assert_array_equal(grown(found(), images, weight), found())


def test_which_kind_it_is_stays() -> None:
    evidence = torch.from_numpy(np.stack([found(), found() - 1]))
    moved = with_brightness(evidence, torch.from_numpy(scan()), 2.0)
    torch.testing.assert_close(moved.softmax(0), evidence.softmax(0))
    here = grown(evidence.logsumexp(0).numpy(), scan(), 2.0)
    torch.testing.assert_close(moved.logsumexp(0), torch.from_numpy(here), atol=1e-4, rtol=0)
