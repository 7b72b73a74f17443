from __future__ import annotations

from collections import Counter, defaultdict
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondread.errors import ConfoundedError, DataError
from secondread.store.layout import Case, Facts
from secondread.store.sampler import NORMAL, UNLABELLED, Sampler, class_of, positions

CHANNELS = ("t1", "t1c", "flair")


def case(name: str, label: str | None, present: tuple[bool, ...] = (True,) * 3, *, mask: int | None = None) -> Case:
    normal = None if label is None else label == "healthy"
    facts = Facts((8, 8, 8), present, mask is not None, mask or 0, (0, 0, 0), "")
    return Case(name, None, name, name, label, normal, "train", facts)


def cases(**sizes: int) -> list[Case]:
    return [case(f"{label}-{n}", label) for label, size in sizes.items() for n in range(size)]


def test_what_a_case_is_balanced_under() -> None:
    assert class_of(case("a", "healthy"), ["glioma"]) == NORMAL
    assert class_of(case("a", "glioma"), ["glioma"]) == "category 'glioma'"
    assert class_of(case("a", None, mask=5), ["glioma"]) == UNLABELLED
    assert class_of(case("a", None, mask=0), ["glioma"]) == NORMAL
    for useless in (case("a", "meningioma"), case("a", None)):
        with pytest.raises(DataError, match="'a' teaches nothing"):
            class_of(useless, ["glioma"])


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.integers(1, 7), st.integers(1, 3), st.integers(0, 2**40))
def test_blocks_hold_each_class_and_cycles_hold_each_case(glioma: int, healthy: int, pituitary: int, seed: int) -> None:
    everything = cases(glioma=glioma, healthy=healthy, pituitary=pituitary)
    sampler = Sampler(everything, ["glioma", "pituitary"], CHANNELS, seed=seed, drop=True)
    drawn = [sampler.draw(p).case for p in range(3 * 40)]
    assert all({c.label for c in drawn[n : n + 3]} == {"glioma", "healthy", "pituitary"} for n in range(0, 120, 3))
    for label, size in (("glioma", glioma), ("healthy", healthy), ("pituitary", pituitary)):
        mine = [c.study for c in drawn if c.label == label]
        assert all(len(set(mine[n : n + size])) == size for n in range(0, len(mine) - size + 1, size))


def test_a_position_says_it_all() -> None:
    everything = cases(glioma=5, healthy=3)
    one, two = (Sampler(everything, ["glioma"], CHANNELS, seed=3, drop=True) for _ in range(2))
    forward = {p: one.draw(p) for p in range(60)}
    for p in reversed(range(60)):
        draw = two.draw(p)
        assert (draw.case, draw.pattern) == (forward[p].case, forward[p].pattern)
        assert draw.rng.random() == forward[p].rng.random()
    other = Sampler(everything, ["glioma"], CHANNELS, seed=4, drop=True)
    assert [other.draw(p).case for p in range(60)] != [forward[p].case for p in range(60)]


def test_ranks_divide_a_step() -> None:
    alone = [p for step in range(5) for p in positions(2, 5, step, batch=6, rank=0, world=1)]
    shared = [p for step in range(5) for rank in range(3) for p in positions(2, 5, step, batch=2, rank=rank, world=3)]
    assert alone == shared == list(range(60, 90))


SETS = [present for present in product((True, False), repeat=3) if any(present)]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(SETS), min_size=1, max_size=4),
    st.lists(st.sampled_from(SETS), min_size=1, max_size=4),
    st.integers(0, 1000),
)
def test_contrasts_say_nothing_of_the_class(
    ill: list[tuple[bool, ...]], well: list[tuple[bool, ...]], seed: int
) -> None:
    """Exactly: each block has one pattern, and over a cycle each class shows each pattern the same number of times."""
    everything = [case(f"i{n}", "glioma", present) for n, present in enumerate(ill)]
    everything += [case(f"w{n}", "healthy", present) for n, present in enumerate(well)]
    common = {p for p in SETS if all(any(covers(h, p) for h in side) for side in (ill, well))}
    if not common:
        with pytest.raises(ConfoundedError, match=r"glioma.*t1"):
            Sampler(everything, ["glioma"], CHANNELS, seed=seed, drop=True)
        return
    sampler = Sampler(everything, ["glioma"], CHANNELS, seed=seed, drop=True)
    assert set(sampler.patterns) == common
    cycle = 12 if (True,) * 3 in common else len(common)
    seen: dict[str | None, Counter[tuple[bool, ...]]] = defaultdict(Counter)
    for block in range(2 * cycle):
        draws = [sampler.draw(2 * block + place) for place in range(2)]
        assert draws[0].pattern == draws[1].pattern
        for draw in draws:
            assert covers(draw.case.present, draw.pattern)
            seen[draw.case.label][draw.pattern] += 1
    assert seen["glioma"] == seen["healthy"]
    assert set(seen["glioma"]) == common
    if (True,) * 3 in common:
        assert seen["glioma"][True, True, True] == cycle
    usable = {c.study for c in everything if any(covers(c.present, p) for p in common)}
    assert {c.study for c in sampler.unused} == {c.study for c in everything} - usable


def covers(have: tuple[bool, ...], pattern: tuple[bool, ...]) -> bool:
    return all(h or not p for h, p in zip(have, pattern, strict=True))


def test_nothing_is_dropped_where_it_must_not_be() -> None:
    sampler = Sampler(cases(cat=2, dog=2), ["cat", "dog"], ("red", "green", "blue"), seed=0, drop=False)
    assert {sampler.draw(p).pattern for p in range(40)} == {(True, True, True)}
    single = [case("a", "glioma", (True,)), case("b", "healthy", (True,))]
    assert Sampler(single, ["glioma"], ("t1",), seed=0, drop=True).draw(5).pattern == (True,)


def test_confounded_says_who_has_what() -> None:
    ill = [case(f"i{n}", "glioma", (False, True, True)) for n in range(3)]
    well = [case("w", "healthy", (True, False, False))]
    with pytest.raises(ConfoundedError, match=r"3 with t1c\+flair; normal: 1 with t1"):
        Sampler(ill + well, ["glioma"], CHANNELS, seed=0, drop=True)


def test_no_cases() -> None:
    with pytest.raises(DataError, match="no cases"):
        Sampler([], ["glioma"], CHANNELS, seed=0, drop=True)
