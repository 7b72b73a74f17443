from __future__ import annotations

import pytest
import torch

from secondread.simulate.fields import FIELDS, SIDE, Waves, bank, noise_at, sample, upsample, waves_at

CPU = torch.device("cpu")


def _line(n: int, step: float) -> torch.Tensor:
    """(1, 3, n, 1, 1): places along x."""
    places = torch.zeros(1, 3, n, 1, 1)
    places[0, 0, :, 0, 0] = torch.arange(n) * step
    return places


def test_the_bank_repeats_without_a_seam_and_has_unit_spread() -> None:
    values = bank(CPU)
    assert values.shape == (FIELDS, *[SIDE + 1] * 3)
    for axis in (1, 2, 3):
        assert torch.equal(values.select(axis, 0), values.select(axis, SIDE))
    inner = values[:, :-1, :-1, :-1]
    assert torch.allclose(inner.mean((1, 2, 3)), torch.zeros(FIELDS), atol=1e-3)
    assert torch.allclose(inner.std((1, 2, 3)), torch.ones(FIELDS), atol=1e-3)


@pytest.mark.parametrize("kind", ["noise", "waves"])
def test_longer_fields_change_more_slowly(kind: str) -> None:
    places = _line(4000, 1.0)

    def steepness(length: float) -> float:
        if kind == "noise":
            values = noise_at(places, torch.tensor([length]), torch.zeros(1, 3))
        else:
            values = waves_at([Waves(torch.Generator().manual_seed(1), 8, length, length)], places)
        assert 0.6 < float(values.std()) < 1.4
        return float(values.diff(dim=2).abs().mean())

    assert steepness(24.0) < 0.4 * steepness(8.0)


def test_samples_are_linear_between_voxels_and_shared_by_the_batch() -> None:
    values = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).reshape(2, 3, 4, 5)
    at = torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]).T.reshape(1, 3, 3, 1, 1)
    found = sample(values, torch.cat([at, at.flip(2)]))
    expected = torch.stack([values[:, 0, 0, 0], values[:, -1, -1, -1], (values[:, 1, 1, 2] + values[:, 1, 2, 2]) / 2])
    assert torch.allclose(found[0, :, :, 0, 0].T, expected)
    assert torch.allclose(found[1, :, :, 0, 0].T, expected.flip(0))


@pytest.mark.parametrize(("coarse", "fine"), [((3, 4, 1), (9, 13, 1)), ((3, 4, 2), (9, 13, 5))])
def test_a_lattice_keeps_straight_lines(coarse: tuple[int, int, int], fine: tuple[int, int, int]) -> None:
    def plane(shape: tuple[int, int, int]) -> torch.Tensor:
        i, j, k = (torch.linspace(0, 1 if n > 1 else 0, n) for n in shape)
        return (i[:, None, None] - 2 * j[None, :, None] + k[None, None, :])[None, None]

    assert torch.allclose(upsample(plane(coarse), fine), plane(fine), atol=1e-5)
