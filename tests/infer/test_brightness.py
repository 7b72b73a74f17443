"""What a scan's own brightness adds to evidence."""

from __future__ import annotations

import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from secondread.infer.brightness import MOST, WEIGHTS, Brightness

SHAPE = (48, 48)
LESION, VESSEL = (slice(10, 26), slice(10, 26)), (slice(38, 42), slice(38, 42))


def scan(bright: float = 3.0) -> Tensor:
    """(1, *SHAPE): a head of noise in air, with two bright places."""
    image = torch.full((1, *SHAPE), -2.0)
    head = (0, slice(3, -3), slice(3, -3))
    image[head] = 1 + 0.2 * torch.randn(42, 42, generator=torch.Generator().manual_seed(0))
    for place in (LESION, VESSEL):
        image[(0, *place)] += bright
    return image


def found() -> Tensor:
    """(1, *SHAPE): the middle of the lesion is seen, as blurred as networks see, and nothing else."""
    seen = torch.zeros(SHAPE)
    seen[13:23, 13:23] = 1.0
    return torch.from_numpy(gaussian_filter(seen.numpy(), 3.0))[None] * 6 - 2.5


def marked(evidence: Tensor) -> Tensor:
    return evidence[0] > 0


def test_a_lesion_grows_to_its_border_and_no_further() -> None:
    inside = marked(Brightness.of(scan()).agreed(found(), 4.0))
    assert marked(found())[LESION].float().mean() < 0.4 < 0.5 < inside[LESION].float().mean()
    assert inside.sum() <= 1.1 * inside[LESION].sum()
    assert not inside[VESSEL].any()


@pytest.mark.parametrize("weight", WEIGHTS)
def test_what_is_bright_and_hardly_suspected_stays_unmarked(weight: float) -> None:
    evidence = torch.full((1, *SHAPE), -4.0)
    evidence[(0, *VESSEL)] = -1.5
    agreed = Brightness.of(scan()).agreed(evidence, weight)
    assert agreed.max() < -1.2


@pytest.mark.parametrize("weight", WEIGHTS)
def test_a_sure_lesion_that_is_not_bright_stays(weight: float) -> None:
    evidence = found()
    evidence[0, 36:42, 6:12] = 5.5
    agreed = Brightness.of(scan()).agreed(evidence, weight)
    assert marked(agreed)[36:42, 6:12].all()
    assert (agreed - evidence).abs().max() <= MOST + 1e-4


def test_what_is_marked_too_far_is_taken_back() -> None:
    evidence = found()
    evidence[0, 4:32, 4:32] = evidence[0, 4:32, 4:32].clip(0.5)
    inside = marked(Brightness.of(scan()).agreed(evidence, 2.0))
    assert marked(evidence).sum() > 3 * marked(evidence)[LESION].sum()
    assert inside.sum() < 1.3 * inside[LESION].sum()
    assert inside[LESION].float().mean() > 0.9


@pytest.mark.parametrize("weight", WEIGHTS)
def test_little_changes_where_lesion_and_brain_are_alike(weight: float) -> None:
    before = marked(found())
    after = marked(Brightness.of(scan(bright=0.0)).agreed(found(), weight))
    assert (before ^ after).sum() <= 0.2 * before.sum()


def test_a_missing_channel_says_nothing() -> None:
    one, both = Brightness.of(scan()), Brightness.of(torch.cat([scan(), torch.zeros(1, *SHAPE)]))
    torch.testing.assert_close(one.agreed(found(), 1.0), both.agreed(found(), 1.0))


def test_without_channels_or_weight_nothing_changes() -> None:
    torch.testing.assert_close(Brightness.of(torch.zeros(2, *SHAPE)).agreed(found(), 2.0), found())
    torch.testing.assert_close(Brightness.of(scan()).agreed(found(), 0.0), found())


def test_which_kind_it_is_stays() -> None:
    evidence = torch.cat([found(), found() - 1])
    agreed = Brightness.of(scan()).agreed(evidence, 2.0)
    torch.testing.assert_close(agreed.softmax(0), evidence.softmax(0))
    alone = Brightness.of(scan()).agreed(evidence.logsumexp(0)[None], 2.0)
    torch.testing.assert_close(agreed.logsumexp(0), alone[0], atol=1e-4, rtol=0)
