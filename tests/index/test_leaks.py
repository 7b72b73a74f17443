"""Planted leaks are found, and little else is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from secondread.index.candidates import candidates, describe, turned
from secondread.index.duplicates import SIDE, find_pairs, thumbprint
from secondread.index.likeness import likeness
from secondread.index.turns import turns_of
from secondread.volume import Picture
from tests.index.leaks import NEIGHBOUR, WAYS, Grey, Planted, cropped, plant, real, search, simulated
from tests.index.makers import SHARED

ASKED = [way for way in WAYS if way != "several"]
"""The ways that a split leaks by one at a time."""


def _check(found: dict[str, Any], ways: Sequence[str]) -> None:
    missed = {way: found["found"][way] for way in ways if found["found"][way] < 0.98}
    assert missed == {}
    assert found["false_share"] <= 0.005, found["false"]


@pytest.fixture(scope="module")
def heads() -> Planted:
    base, stacks = simulated(8, 900)
    return plant(base, stacks, 20, 0)


def test_leaks_planted_among_simulated_slices_are_found(heads: Planted) -> None:
    assert {len(pairs) for way, pairs in heads.pairs.items() if way != NEIGHBOUR} == {20}
    found = search(heads)
    _check(found, ASKED)
    assert found["found"]["several"] >= 0.9
    # So few stacks hold six pairs: one may be missed, as a slice full of stripes beside one without is.
    assert found["found"][NEIGHBOUR] >= 0.8


@pytest.mark.slow
def test_leaks_planted_among_many_simulated_slices_are_found() -> None:
    base, stacks = simulated(80, 9000)
    _check(search(plant(base, stacks, 60, 1)), [*ASKED, NEIGHBOUR])


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="the real scans are not here (../shared/data)")
@pytest.mark.parametrize("seed", [2, 3])
def test_leaks_planted_among_real_slices_are_found(seed: int) -> None:
    base, stacks = real(SHARED)
    _check(search(plant(base, stacks, 100, seed)), [*ASKED, NEIGHBOUR])


def _print(pixels: Grey) -> Grey:
    return np.frombuffer(thumbprint(Picture(np.ascontiguousarray(pixels)[..., None])), np.uint8).reshape(1, SIDE, SIDE)


@pytest.mark.parametrize("planes", [1, 3])
def test_the_description_of_a_turned_print_is_the_turned_description(planes: int) -> None:
    prints = np.random.default_rng(0).integers(0, 256, (2, planes, SIDE, SIDE)).astype(np.uint8)
    turns = turns_of(planes)
    assert len(turns) == {1: 8, 3: 48}[planes]
    seen = {turn.of(prints[:1].astype(np.float32)).tobytes() for turn in turns}
    assert len(seen) == len(turns)
    for turn in turns:
        direct = describe(turn.of(prints.astype(np.float32)).astype(np.uint8))
        np.testing.assert_allclose(turned(describe(prints), turn), direct, atol=1e-4)


def test_likeness_knows_a_crop_and_tells_two_persons_apart(heads: Planted) -> None:
    rng = np.random.default_rng(0)
    one = heads.samples[7]
    other = next(sample for sample in heads.samples if sample.person != one.person)
    prints = np.stack([_print(p) for p in (one.pixels, cropped(one.pixels, rng), one.pixels.T, other.pixels)])
    alike = likeness(prints, np.array([(0, 0), (0, 1), (0, 2), (0, 3)]))
    assert alike[0] == pytest.approx(1, abs=1e-3)
    assert alike[1] > 0.75
    assert alike[2] == pytest.approx(0.9, abs=1e-3)  # a turn costs a tenth
    assert alike[3] < 0.6


def test_the_grid_of_many_finds_what_the_comparison_with_all_does(
    heads: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    prints = np.stack([_print(sample.pixels) for sample in heads.samples])
    exact = {tuple(pair) for pair in candidates(prints, 8).tolist()}
    monkeypatch.setattr("secondread.index.candidates.FLAT", 10)
    gridded = {tuple(pair) for pair in candidates(prints, 8).tolist()}
    assert len(exact & gridded) > 0.6 * len(exact)


def test_pairs_are_told_once_and_in_order(heads: Planted) -> None:
    prints = np.stack([_print(sample.pixels) for sample in heads.samples])
    pairs, alike = find_pairs(prints)
    assert (pairs[:, 0] < pairs[:, 1]).all()
    assert len({tuple(pair) for pair in pairs.tolist()}) == len(pairs) == len(alike)
