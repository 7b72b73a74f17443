"""The frozen split into train, validation and test: no patient and no cluster of near-duplicates on two sides.

A *unit* is what moves as one: all studies tied by a common group or a common cluster. Units are dealt, largest first,
to the side that lacks most of their labels; ties are broken by the seed. The same rows and seed give the same split.

Shape legend: U units, L labels (studies without a label count as one label more), S the three sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from secondread.errors import LeakError, UsageError
from secondread.index.duplicates import components
from secondread.index.table import SPLITS, Row
from secondread.index.words import counted

MIN_UNITS = len(SPLITS)
"""A label with at least this many units is on every side."""

MAX_SHOWN = 5
"""So many pairs stand in the message of a leak."""

SAME_PATIENT = "one patient"  # not which: a group may be what a hospital calls the patient
SAME_PICTURE = "the same or nearly the same picture"
TIED = "tied by copies and patients between them that the split leaves open"

TRAIN, VALIDATION, TEST = range(len(SPLITS))
FREE = -1


@dataclass(frozen=True)
class Leak:
    """Two studies of one patient, or near-duplicates of each other, on two sides of a given split."""

    study: str
    split: str
    other: str
    other_split: str
    why: str

    def __str__(self) -> str:
        return f"{self.study} ({self.split}) and {self.other} ({self.other_split}): {self.why}"


@dataclass
class _Deal:
    """The table on which units are dealt.

    Attributes:
        counts: (U, L) studies.
        side: (U) 0..S-1, or FREE.
        allowed: (U, S) where a unit may go; all false for one whose side is given.
        target: (S, L) studies aimed at.
    """

    counts: NDArray[np.int64]
    side: NDArray[np.int64]
    allowed: NDArray[np.bool_]
    target: NDArray[np.float64]
    units: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.units = (self.counts > 0).sum(axis=0)

    def on(self, side: int, label: int) -> int:
        """How many units of a label are on a side."""
        return int(((self.side == side) & (self.counts[:, label] > 0)).sum())


def freeze(
    rows: Sequence[Row],
    *,
    seed: int,
    fractions: tuple[float, float, float],
    repair: bool = False,
    accept: bool = False,
) -> tuple[list[str | None], list[str]]:
    """A side for every row, None for excluded ones; and notes.

    A side given by the data (``row.split``) is kept. Rows without one follow their unit, or are dealt. Where the data
    give train but no validation (or no test), that side is carved out of train.

    Args:
        fractions: of studies in train, validation and test.
        repair: deal the units that a given split divides anew, instead of refusing.
        accept: leave them divided, each part where the data put it.

    Raises:
        LeakError: the given split divides a patient or a cluster, and neither ``repair`` nor ``accept`` is true.
        UsageError: fractions that are negative, do not add up to 1, or leave nothing to train on.
    """
    shares = np.array(fractions, float)
    if shares.shape != (len(SPLITS),) or shares.min() < 0 or abs(shares.sum() - 1) > 1e-6 or shares[TRAIN] == 0:
        raise UsageError(
            f"the split's fractions {fractions} should be three shares that add up to 1, the first above 0"
        )
    if not (repair or accept):
        refuse_leaks(rows)
    included = [n for n, row in enumerate(rows) if not row.excluded]
    kept = [rows[n] for n in included]
    leaks = find_leaks(kept)
    unit = units(kept)
    labels = sorted({row.label or "" for row in kept})
    given = _sides(kept)
    present = np.bincount(given[given >= 0], minlength=len(SPLITS))
    notes: list[str] = []
    if leaks and accept:
        unit = _parts(unit, given)
    side = _given_sides(unit, given)
    if leaks and not accept:
        notes.append(
            f"The given split divided {patients_or_clusters(int((side == _DIVIDED).sum()))}: dealt anew, so that "
            f"this split is not the one that the data gave."
        )
        side[side == _DIVIDED] = FREE
        if present.all():
            shares = present / present.sum()
    allowed = np.tile(shares > 0, (len(side), 1)) & (side == FREE)[:, None]
    notes += _carve(side, allowed, present, shares)
    deal = _table(unit, kept, labels, side, allowed, shares)
    _deal_out(deal, np.random.default_rng(seed))
    _mend(deal)
    notes += _absences(deal, labels)
    out: list[str | None] = [None] * len(rows)
    for n, member in zip(included, unit, strict=True):
        out[n] = SPLITS[deal.side[member]]
    return out, notes


def _parts(unit: NDArray[np.int32], given: NDArray[np.int64]) -> NDArray[np.int32]:
    """Units, those that the given sides divide cut along them; what has no side goes with what is in train."""
    divided = np.flatnonzero(_given_sides(unit, given) == _DIVIDED)
    part = np.where(np.isin(unit, divided), np.maximum(given, TRAIN), 0)
    return np.asarray(np.unique(unit.astype(np.int64) * len(SPLITS) + part, return_inverse=True)[1], np.int32)


def pairs_across(rows: Sequence[Row]) -> list[Leak]:
    """Every study that is on another side than the first of its cluster or patient, with that first one; copies before
    patients."""
    groups, clusters = [row.group for row in rows], [row.cluster for row in rows]
    pairs = [*_pairs(rows, clusters, SAME_PICTURE), *_pairs(rows, groups, SAME_PATIENT)]
    once: dict[tuple[str, str], Leak] = {}
    for leak in pairs:
        once.setdefault((leak.study, leak.other), leak)
    # Sides that meet through a study without one have no pair of their own.
    through = [leak for leak in find_leaks(rows) if leak.why == TIED]
    return [*once.values(), *through]


def _pairs(rows: Sequence[Row], keys: Sequence[object], why: str) -> list[Leak]:
    first: dict[object, Row] = {}
    pairs = []
    for row, key in zip(rows, keys, strict=True):
        if row.split is None or key == -1:
            continue
        other = first.setdefault(key, row)
        if other.split is not None and other.split != row.split:
            pairs.append(Leak(other.study, other.split, row.study, row.split, why))
    return pairs


def find_leaks(rows: Sequence[Row]) -> list[Leak]:
    """Where the sides that rows carry divide a cluster or a group, copies before patients: one pair of studies for
    each. Excluded rows are on no side."""
    rows = [row for row in rows if not row.excluded]
    groups, clusters = [row.group for row in rows], [row.cluster for row in rows]
    leaks = [*_divisions(rows, clusters, SAME_PICTURE), *_divisions(rows, groups, SAME_PATIENT)]
    told = {study for leak in leaks for study in (leak.study, leak.other)}
    unit = units(rows)
    covered = {member for row, member in zip(rows, unit.tolist(), strict=True) if row.study in told}
    # Two sides may also meet through a study that has none: a copy of one, of the patient of the other.
    tied = [-1 if member in covered else member for member in unit.tolist()]
    return [*leaks, *_divisions(rows, tied, TIED)]


def refuse_leaks(rows: Sequence[Row]) -> None:
    """Raise LeakError where the sides that rows carry divide a group or a cluster."""
    if leaks := find_leaks(rows):
        raise LeakError(refusal(rows, leaks))


def divided(rows: Sequence[Row]) -> int:
    """How many units the sides that rows carry divide; a patient whose pictures have copies is one."""
    kept = [row for row in rows if not row.excluded]
    return int((_given_sides(units(kept), _sides(kept)) == _DIVIDED).sum())


def patients_or_clusters(count: int) -> str:
    """So many units, in words."""
    return f"{counted(count, 'patient or cluster', 'patients or clusters')} of near-duplicates"


def _sides(rows: Sequence[Row]) -> NDArray[np.int64]:
    return np.array([SPLITS.index(row.split) if row.split else FREE for row in rows], np.int64)


def _divisions(rows: Sequence[Row], keys: Sequence[object], why: str) -> list[Leak]:
    """One pair of studies for each key whose rows are on two sides."""
    key_of = {row.study: key for row, key in zip(rows, keys, strict=True)}
    leaks: dict[object, Leak] = {}
    for leak in _pairs(rows, keys, why):
        leaks.setdefault(key_of[leak.study], leak)
    return list(leaks.values())


_DIVIDED = -2


def units(rows: Sequence[Row]) -> NDArray[np.int32]:
    """The unit (n) of each row: what is tied by a common group or a common cluster, and so moves as one."""
    pairs = []
    for column in ("group", "cluster"):
        first: dict[object, int] = {}
        for n, row in enumerate(rows):
            key = getattr(row, column)
            if key != -1:
                pairs.append((first.setdefault(key, n), n))
    return components(len(rows), np.array(pairs, np.int64).reshape(-1, 2))


def _given_sides(unit: NDArray[np.int32], given: NDArray[np.int64]) -> NDArray[np.int64]:
    """The side of every unit: where its rows say one, that; where they say two, _DIVIDED; else FREE."""
    side = np.full(int(unit.max(initial=-1)) + 1, FREE, np.int64)
    for member, said in zip(unit, given, strict=True):
        if said != FREE and side[member] != said:
            side[member] = said if side[member] == FREE else _DIVIDED
    return side


def _carve(
    side: NDArray[np.int64], allowed: NDArray[np.bool_], present: NDArray[np.int64], shares: NDArray[np.float64]
) -> list[str]:
    """Free the units of a given train where the data give no validation or no test. Changes ``side``, ``allowed``."""
    missing = [s for s in (VALIDATION, TEST) if not present[s] and shares[s] > 0]
    if not missing or not present[TRAIN] or (side == FREE).any():
        return []
    from_train = side == TRAIN
    side[from_train] = FREE
    allowed[np.ix_(from_train, [TRAIN, *missing])] = True
    names = " and no ".join(SPLITS[s] for s in missing)
    return [f"The given split has no {names}: patients were moved there from its train studies."]


def _table(
    unit: NDArray[np.int32],
    rows: Sequence[Row],
    labels: Sequence[str],
    side: NDArray[np.int64],
    allowed: NDArray[np.bool_],
    shares: NDArray[np.float64],
) -> _Deal:
    counts = np.zeros((len(side), len(labels)), np.int64)
    column = {label: n for n, label in enumerate(labels)}
    np.add.at(counts, (unit, np.array([column[row.label or ""] for row in rows], np.int64)), 1)
    total = counts.sum(axis=0)
    # Half a study cannot be held out: round up from one half, so that 10 studies become 6, 2 and 2.
    target = np.floor(shares[:, None] * total + 0.5)
    enough = (counts > 0).sum(axis=0) >= MIN_UNITS
    target[1:] = np.where(enough & (shares[1:, None] > 0), np.maximum(target[1:], 1), target[1:])
    target[TRAIN] = total - target[1:].sum(axis=0)
    return _Deal(counts, side, allowed, target)


def _deal_out(deal: _Deal, rng: np.random.Generator) -> None:
    """Give every free unit a side: the one whose distance to its targets (chi-square) shrinks most."""
    have = np.zeros_like(deal.target)
    for s in range(len(SPLITS)):
        have[s] = deal.counts[deal.side == s].sum(axis=0)
    weight = 1 / np.maximum(deal.target, 0.5)
    free = rng.permutation(np.flatnonzero(deal.side == FREE))
    for u in free[np.argsort(-deal.counts[free].sum(axis=1), kind="stable")]:
        count = deal.counts[u]
        change = (weight * count * (count + 2 * (have - deal.target))).sum(axis=1)
        s = int(np.argmin(np.where(deal.allowed[u], change, np.inf)))
        deal.side[u] = s
        have[s] += count


def _mend(deal: _Deal) -> None:
    """Move units so that every label with MIN_UNITS units or more is on every side that dealing may fill."""
    for label in np.argsort(deal.units, kind="stable"):
        if deal.units[label] < MIN_UNITS:
            continue
        for s in range(len(SPLITS)):
            if deal.on(s, int(label)) == 0:
                _move_one(deal, int(label), s)


def _move_one(deal: _Deal, label: int, to: int) -> None:
    sizes = deal.counts.sum(axis=1)
    movable = np.flatnonzero((deal.counts[:, label] > 0) & deal.allowed[:, to])
    givers = sorted(movable, key=lambda u: (-deal.on(int(deal.side[u]), label), sizes[u], u))
    for u in givers:
        left_behind = [deal.on(int(deal.side[u]), int(other)) for other in np.flatnonzero(deal.counts[u])]
        if min(left_behind) > 1:
            deal.side[u] = to
            return


def _absences(deal: _Deal, labels: Sequence[str]) -> list[str]:
    notes = []
    for number, label in enumerate(labels):
        absent = [SPLITS[s] for s in range(len(SPLITS)) if deal.on(s, number) == 0 and deal.target[s].sum() > 0]
        if absent:
            what = f"label {label!r}" if label else "studies without a label"
            known = counted(int(deal.units[number]), "patient")
            notes.append(f"No {' and no '.join(absent)} study of {what}, with {known} that can be told apart.")
    return notes


def refusal(rows: Sequence[Row], leaks: Sequence[Leak]) -> str:
    patients = sum(leak.why == SAME_PATIENT for leak in leaks)
    shown = "\n  ".join(str(leak) for leak in leaks[:MAX_SHOWN])
    more = f"\n  and {len(leaks) - MAX_SHOWN:,} more" if len(leaks) > MAX_SHOWN else ""
    studies, count = sum(not row.excluded for row in rows), divided(rows)
    who, copies = counted(patients, "patient"), counted(len(leaks) - patients, "cluster")
    return (
        f"the given split leaks: of {studies:,} studies, {patients_or_clusters(count)} {'is' if count == 1 else 'are'} "
        f"divided between train, validation and test ({copies} and {who}, some tied to each other), so that any figure "
        f"on the test studies would be too good.\n  {shown}{more}\n"
        f"Mend the split in the data, or have these patients dealt anew: "
        f"`secondread index DATA --repair -o index.parquet`, then train on that file. "
        f"`secondread train DATA --accept-leak` trains all the same, and the report says so."
    )
