from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondread.errors import LeakError, UsageError
from secondread.index import SPLITS, Row
from secondread.index.split import find_leaks, freeze
from tests.index.makers import row

FRACTIONS = (0.7, 0.15, 0.15)


def _rows(groups: list[tuple[str, int]]) -> list[Row]:
    """``groups``: a label and a size each."""
    out = []
    for n, (label, size) in enumerate(groups):
        out += [row(f"{label}-{n}-{i}", group=f"g{n}", label=label, cluster=n * 1000 + i) for i in range(size)]
    return out


def _sides(rows: list[Row], seed: int = 0) -> list[Row]:
    sides, _ = freeze(rows, seed=seed, fractions=FRACTIONS)
    return [replace(r, split=s) for r, s in zip(rows, sides, strict=True)]


def test_ten_studies_become_six_two_two() -> None:
    done = _sides([row(f"s{n}", cluster=n) for n in range(10)])
    assert [sum(r.split == split for r in done) for split in SPLITS] == [6, 2, 2]


def test_few_big_patients_come_near_the_fractions() -> None:
    done = _sides(_rows([("glioma", 88)] * 13 + [("normal", 1)] * 200))
    glioma = [r for r in done if r.label == "glioma"]
    assert [len({r.group for r in glioma if r.split == split}) for split in SPLITS] == [9, 2, 2]
    assert sum(r.split == "test" for r in done if r.label == "normal") == 30


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 6)), min_size=1, max_size=25),
    st.lists(st.tuples(st.integers(0, 24), st.integers(0, 24)), max_size=6),
    st.integers(0, 3),
)
def test_no_split_divides_and_every_label_is_everywhere(
    groups: list[tuple[str, int]], copies: list[tuple[int, int]], seed: int
) -> None:
    rows = _rows(groups)
    first = {r.group: n for n, r in reversed(list(enumerate(rows)))}
    for a, b in copies:
        if f"g{a}" in first and f"g{b}" in first:
            n, m = first[f"g{a}"], first[f"g{b}"]
            rows[m] = replace(rows[m], cluster=rows[n].cluster)
    done = _sides(rows, seed)
    assert find_leaks(done) == []
    assert done == _sides(rows, seed)
    pure = not copies
    units: dict[str, set[str]] = defaultdict(set)
    for r in done:
        units[r.label or ""].add(r.group)
    for label, members in units.items():
        if pure and len(members) >= 3:
            assert {r.split for r in done if r.label == label} == set(SPLITS)


def test_too_few_patients_of_a_label_are_told() -> None:
    _, notes = freeze(_rows([("a", 1)] * 20 + [("rare", 3)] * 2), seed=0, fractions=FRACTIONS)
    assert any("'rare'" in note and "No " in note for note in notes)


def test_seed_changes_the_split() -> None:
    rows = _rows([("a", 1)] * 40)
    assert [r.split for r in _sides(rows, 0)] != [r.split for r in _sides(rows, 1)]


def test_excluded_rows_are_on_no_side() -> None:
    rows = [*_rows([("a", 1)] * 5), row("broken", excluded=True, reason="torn")]
    assert _sides(rows)[-1].split is None


def test_clean_given_split_is_kept() -> None:
    given_sides = ["train"] * 6 + ["validation"] * 2 + ["test"] * 4
    rows = [row(f"s{n}", split=split, cluster=n) for n, split in enumerate(given_sides)]
    assert [r.split for r in _sides(rows)] == given_sides


def test_given_split_that_leaks_is_refused_by_name_and_repaired() -> None:
    rows = [row(f"s{n}", group=f"g{n // 2}", split="test" if n % 4 == 1 else "train", cluster=n) for n in range(16)]
    with pytest.raises(LeakError, match=r"s0 \(train\) and s1 \(test\): one patient") as caught:
        freeze(rows, seed=0, fractions=FRACTIONS)
    assert caught.value.exit_code == 4
    assert "4 patients" in str(caught.value)
    sides, notes = freeze(rows, seed=0, fractions=FRACTIONS, repair=True)
    assert find_leaks([replace(r, split=s) for r, s in zip(rows, sides, strict=True)]) == []
    assert any("dealt anew" in note for note in notes)
    assert {s for r, s in zip(rows, sides, strict=True) if int(r.group[1:]) % 2 == 1} >= {"train"}


def test_near_duplicates_on_two_sides_are_a_leak() -> None:
    rows = [row("a", split="train", cluster=1), row("b", split="test", cluster=1)]
    with pytest.raises(LeakError, match="nearly the same picture"):
        freeze(rows, seed=0, fractions=FRACTIONS)


def test_leak_through_a_study_without_a_side() -> None:
    rows = [
        row("a", split="train", group="p", cluster=0),
        row("between", group="p", cluster=1),
        row("c", split="test", cluster=1),
    ]
    with pytest.raises(LeakError, match="leaves open"):
        freeze(rows, seed=0, fractions=FRACTIONS)


def test_refusal_names_no_patient() -> None:
    rows = [row("a", group="Doe^Jane", split="train", cluster=0), row("b", group="Doe^Jane", split="test", cluster=1)]
    with pytest.raises(LeakError) as caught:
        freeze(rows, seed=0, fractions=FRACTIONS)
    assert "Doe" not in str(caught.value)


def test_validation_is_carved_out_of_train_by_patient() -> None:
    rows = [row(f"s{n}", group=f"g{n // 3}", split="train" if n < 60 else "test", cluster=n) for n in range(75)]
    sides, notes = freeze(rows, seed=0, fractions=FRACTIONS)
    assert sides[60:] == ["test"] * 15
    assert 6 <= sides.count("validation") <= 15
    assert any("no validation" in note for note in notes)
    assert find_leaks([replace(r, split=s) for r, s in zip(rows, sides, strict=True)]) == []


def test_rows_without_a_side_follow_their_patient() -> None:
    rows = [row(f"s{n}", split=SPLITS[n % 3], cluster=n) for n in range(9)]
    rows.append(row("new", group="s2", cluster=99))
    assert _sides(rows)[-1].split == "test"


def test_only_test_given_stays_test() -> None:
    assert {r.split for r in _sides([row(f"s{n}", split="test", cluster=n) for n in range(5)])} == {"test"}


@pytest.mark.parametrize("fractions", [(0.5, 0.6, 0.1), (0.0, 0.5, 0.5), (-0.5, 1.0, 0.5)])
def test_fractions_that_are_no_shares(fractions: tuple[float, float, float]) -> None:
    with pytest.raises(UsageError, match="add up to 1"):
        freeze([row("a")], seed=0, fractions=fractions)


def test_a_side_of_no_share_stays_empty() -> None:
    sides, _ = freeze(_rows([("a", 1)] * 10), seed=0, fractions=(0.8, 0.2, 0.0))
    assert "test" not in sides
