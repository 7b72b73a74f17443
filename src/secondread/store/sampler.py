"""Which case, with which of its contrasts, comes at which position: index arithmetic, no data.

A *position* counts the samples of a whole training, over all epochs and ranks. What stands there follows from the seed
and the position alone, so that resuming, another number of ranks or of threads change nothing.

Balance: K classes; each block of K consecutive positions holds every class once, in shuffled order.

Contrasts: every block has one *pattern*, the set of contrasts that its samples keep. Patterns come from a fixed cycle
which no class has a part in, and a class only ever gives a case that has every contrast of the pattern. Whatever the
studies lack, the contrasts of a sample so say nothing of its class: within each block they are the same for all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from secondread.errors import ConfoundedError, DataError
from secondread.store.layout import Case

Pattern = tuple[bool, ...]

NORMAL = "normal"
UNLABELLED = "mask without label"
LESION = "lesion"
"""The one category of data that have masks and no labels."""

# What a stream of random numbers is for, so that no two uses share one.
_ORDER, _PATTERN, _TURN, _SAMPLE = range(4)


@dataclass(frozen=True)
class Draw:
    """One sample: the case, which channels it keeps, and random numbers of its own for whatever else is random."""

    case: Case
    pattern: Pattern
    rng: np.random.Generator


def class_of(case: Case, categories: Sequence[str]) -> str:
    """The class a case is balanced under: its label, NORMAL, or UNLABELLED.

    An empty mask without a label says that nothing is there, as NORMAL does.

    Raises:
        DataError: the case has neither mask nor a label among the categories.
    """
    if case.normal is True:
        return NORMAL
    if case.label is not None and case.label in categories:
        return f"category {case.label!r}"
    if case.label is None and case.has_mask:
        return UNLABELLED if case.mask_voxels else NORMAL
    raise DataError(
        f"study {case.study!r} teaches nothing: its label is {case.label!r}, the categories are "
        f"{', '.join(categories) or 'none'}, and it has {'a' if case.has_mask else 'no'} mask"
    )


def positions(epoch: int, steps: int, step: int, *, batch: int, rank: int, world: int) -> range:
    """The positions of one rank's batch: ranks divide a step's ``world * batch`` positions between them, in order."""
    first = ((epoch * steps + step) * world + rank) * batch
    return range(first, first + batch)


class Sampler:
    """Draws samples by position.

    Args:
        cases: to draw from.
        categories: of the task.
        channels: names of the contrasts, in channel order.
        seed: of everything random, not negative.
        drop: whether contrasts may be dropped. If not, every sample keeps what its case has.

    Attributes:
        classes: name -> cases, without classes that have none.
        patterns: those that are drawn: every set of contrasts that some case of every class has.
        unused: cases that have no contrasts that every class has, and that are therefore never drawn.

    Raises:
        DataError: no cases, or one that teaches nothing.
        ConfoundedError: no contrast is found in every class.
    """

    def __init__(
        self, cases: Sequence[Case], categories: Sequence[str], channels: Sequence[str], *, seed: int, drop: bool
    ) -> None:
        if not cases:
            raise DataError("there are no cases to draw from")
        groups: dict[str, list[Case]] = {}
        for case in cases:
            groups.setdefault(class_of(case, categories), []).append(case)
        self.classes = {name: groups[name] for name in sorted(groups)}
        self._seed = seed
        self.patterns = _achievable(self.classes, channels) if drop else ((True,) * len(channels),)
        self._slots = _pattern_cycle(self.patterns)
        self._classes = [_Class.build(members, self._slots, drop=drop) for members in self.classes.values()]
        drawn = {member.members[i].key for member in self._classes for pool in member.pools for i in pool}
        self.unused = tuple(case for case in cases if case.key not in drawn)
        # Neighbouring positions ask for the same permutations; the newest turn of every pool is worth keeping.
        self._shuffled = lru_cache(2 * sum(len(member.pools) for member in self._classes) + 8)(self._shuffle)

    def draw(self, position: int) -> Draw:
        """The sample at a position, the same whenever it is asked for."""
        block, place = divmod(position, len(self._classes))
        chosen = int(self._shuffled(len(self._classes), _ORDER, block)[place])
        cycle, slot = divmod(block, len(self._slots))
        order = self._shuffled(len(self._slots), _PATTERN, cycle)
        member = self._classes[chosen]
        pool = member.pool_of_slot[order[slot]]
        # How often this class went to this pool before: whole cycles, then this cycle's earlier slots.
        before = cycle * int((member.pool_of_slot == pool).sum())
        before += int((member.pool_of_slot[order[:slot]] == pool).sum())
        eligible = member.pools[pool]
        turn, index = divmod(before, len(eligible))
        permutation = self._shuffled(len(eligible), _TURN, chosen, int(pool), turn)
        case = member.members[eligible[permutation[index]]]
        return Draw(case, self._slots[order[slot]], self._generator(_SAMPLE, position))

    def _shuffle(self, n: int, *stream: int) -> NDArray[np.intp]:
        return self._generator(*stream).permutation(n)

    def _generator(self, *stream: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(np.random.SeedSequence([self._seed, *stream])))


@dataclass(frozen=True, eq=False)
class _Class:
    """The cases of a class, by what they can give.

    Attributes:
        members: the cases.
        pools: sets of members, as indices; patterns that the same members have share a pool, and with it one count, so
            that a member comes again only after all others of the pool have.
        pool_of_slot: for each slot of the pattern cycle, the pool that serves it.
    """

    members: list[Case]
    pools: list[NDArray[np.intp]]
    pool_of_slot: NDArray[np.intp]

    @classmethod
    def build(cls, members: list[Case], slots: Sequence[Pattern], *, drop: bool) -> _Class:
        present = np.array([case.present for case in members])
        numbers: dict[bytes, int] = {}
        pools: list[NDArray[np.intp]] = []
        pool_of_pattern: dict[Pattern, int] = {}
        for pattern in dict.fromkeys(slots):
            able = present[:, np.array(pattern)].all(axis=1) if drop else np.ones(len(members), bool)
            number = numbers.setdefault(able.tobytes(), len(pools))
            if number == len(pools):
                pools.append(np.flatnonzero(able))
            pool_of_pattern[pattern] = number
        return cls(members, pools, np.array([pool_of_pattern[pattern] for pattern in slots]))


def _achievable(classes: dict[str, list[Case]], channels: Sequence[str]) -> tuple[Pattern, ...]:
    """Every non-empty set of channels that, in every class, some case has; the full one, if it is among them, first."""
    held = [{case.present for case in members} for members in classes.values()]
    patterns = tuple(
        pattern
        for pattern in product((True, False), repeat=len(channels))
        if any(pattern) and all(any(_covers(have, pattern) for have in sets) for sets in held)
    )
    if not patterns:
        found = "; ".join(f"{name}: {_describe(members, channels)}" for name, members in classes.items())
        raise ConfoundedError(
            f"no contrast is found in every class, so contrasts alone would give the class away ({found}). "
            f"Add scans with a contrast that all classes have, or leave a class out"
        )
    return patterns


def _covers(have: Pattern, pattern: Pattern) -> bool:
    return all(h or not p for h, p in zip(have, pattern, strict=True))


def _describe(members: list[Case], channels: Sequence[str]) -> str:
    counts = Counter(
        "+".join(name for name, there in zip(channels, case.present, strict=True) if there) for case in members
    )
    return ", ".join(f"{n} with {which}" for which, n in counts.most_common(4))


def _pattern_cycle(patterns: tuple[Pattern, ...]) -> list[Pattern]:
    """One cycle, before shuffling: the full pattern in half of the slots if it can be had, each other one once."""
    full, others = patterns[0], list(patterns[1:])
    if not all(full):
        return list(patterns)
    return [full] * max(1, len(others)) + others
