"""What a comparison is asked to try: lists of settings, a range of learning rates, seeds, trials."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from secondread.config import whole_number
from secondread.errors import UsageError
from secondread.train import OPTIMIZERS, check_overrides

AXES = ("optimizer", "loss", "network", "learning_rate")
PLURALS = ("optimizers", "losses", "networks", "learning rates")
DEFAULT = ("adamw", "rmsprop", "sgd", "rprop")
"""Compared where no list is given."""

MOST_RUNS = 100
"""More in one comparison is more likely a list too long than a wish."""

RANGE = ".."
REACH = 10.0
"""A search that is given no learning rates looks this many times below and above each optimiser's own."""


@dataclass(frozen=True)
class Choices:
    """What is to be tried.

    Attributes:
        lists: by axis (see AXES), the values to choose from; an axis that is not there is left to the plan.
        seeds: runs of each plan, with seeds that follow one another.
        trials: how many plans a search tries; None for all that the lists allow.
        span: lowest and highest learning rate of a search, where they were given.
    """

    lists: Mapping[str, tuple[Any, ...]]
    seeds: int = 1
    trials: int | None = None
    span: tuple[float, float] | None = None

    @property
    def varied(self) -> tuple[str, ...]:
        """Axes on which plans differ; a search differs in its learning rates unless a list of them was given."""
        searched = self.trials is not None and "learning_rate" not in self.lists
        return tuple(
            axis for axis in AXES if len(self.lists.get(axis, ())) > 1 or (axis == "learning_rate" and searched)
        )

    @property
    def plans(self) -> int:
        """How many plans there will be, at most."""
        return math.prod(len(values) for values in self.lists.values()) if self.trials is None else self.trials

    @property
    def runs(self) -> int:
        """How many runs there will be, at most."""
        return self.plans * self.seeds

    def grid(self) -> Iterator[dict[str, Any]]:
        """Every combination of the lists."""
        for values in itertools.product(*self.lists.values()):
            yield dict(zip(self.lists, values, strict=True))

    def rates(self, optimizer: str) -> tuple[float, float]:
        """Lowest and highest learning rate to search for this optimiser."""
        own = OPTIMIZERS[optimizer].learning_rate
        return self.span or (own / REACH, own * REACH)

    def words(self, minutes: float | str | None = None) -> str:
        """``12 runs: 2 optimizers x 2 losses x 3 seeds; at 5 minutes each, 60 minutes in all``."""
        many = [f"{self.trials} trials"] if self.trials is not None else []
        if self.trials is None:
            named = zip(AXES, PLURALS, strict=True)
            many = [f"{len(self.lists[axis])} {words}" for axis, words in named if len(self.lists.get(axis, ())) > 1]
        many += [f"{self.seeds} seeds"] if self.seeds > 1 else []
        # A search may propose the same plan twice, and trains it once.
        said = f"{'' if self.trials is None else 'up to '}{self.runs} runs: {' x '.join(many)}"
        if not minutes:
            return said
        each = float(minutes)  # of the environment or a file: text that was checked already
        return f"{said}; at {each:g} minutes each, {each * self.runs:g} minutes in all"


def choose(
    overrides: Mapping[str, Any], *, seeds: int = 1, trials: int | None = None
) -> tuple[Choices, dict[str, Any]]:
    """Tell what is to be compared from what all plans share.

    Args:
        overrides: of a plan; those of AXES may be several values, with commas between or as a list. A learning rate may
            be a range, ``LOW..HIGH``, where ``trials`` are given.
        seeds: how many of each plan.
        trials: how many plans a search may try.

    Returns:
        the choices, and the overrides that all plans share.

    Raises:
        UsageError: an unknown name or an impossible value; nothing to compare; more than MOST_RUNS runs.
    """
    shared = {name: value for name, value in overrides.items() if name not in AXES}
    check_overrides(shared)
    if seeds < 1 or (trials is not None and trials < 1):
        raise UsageError("seeds and trials are at least 1")
    given = {axis: overrides[axis] for axis in AXES if overrides.get(axis) is not None}
    span = _span(given, trials)
    lists = {axis: _values(axis, value) for axis, value in given.items()}
    if span is None and all(len(values) == 1 for values in lists.values()) and "optimizer" not in lists:
        lists = {"optimizer": DEFAULT, **lists}
    if trials is not None:  # a search names its optimiser, whose learning rates it looks among
        lists = {"optimizer": DEFAULT[:1], **lists}
    choices = Choices(lists, seeds, trials, span)
    if choices.runs < 2 or (not choices.varied and (seeds == 1 or trials)):
        raise UsageError(
            "one run is no comparison: name at least two optimizers, losses, networks or learning rates, with commas "
            "between, or take several seeds (--seeds)"
        )
    if choices.runs > MOST_RUNS:
        raise UsageError(
            f"{choices.words()} are more than {MOST_RUNS} in one comparison: shorten a list"
            + ("" if trials else ", or try some of the plans (--search N)")
        )
    return choices, shared


def _values(axis: str, value: Any) -> tuple[Any, ...]:
    """The values of one axis, each once. Raises UsageError."""
    parts = value if isinstance(value, list | tuple) else str(value).split(",")
    values = [part.strip() if isinstance(part, str) else part for part in parts]
    values = [part for part in values if part != ""]
    if not values:
        raise UsageError(f"no {axis} is named: name at least two, with commas between")
    for one in values:
        check_overrides({axis: one})
    return tuple(dict.fromkeys(float(one) if axis == "learning_rate" else str(one) for one in values))


def _span(given: dict[str, Any], trials: int | None) -> tuple[float, float] | None:
    """Take ``LOW..HIGH`` out of what is given. Raises UsageError."""
    value = given.get("learning_rate")
    if not isinstance(value, str) or RANGE not in value:
        return None
    if trials is None:
        raise UsageError(f"a range of learning rates ({value}) is for a search (--search N); name some, with commas")
    low, high = (_values("learning_rate", end) for end in given.pop("learning_rate").split(RANGE, 1))
    if len(low) != 1 or len(high) != 1 or not low[0] < high[0]:
        raise UsageError(f"a range of learning rates goes from the lower to the higher: 1e-4..1e-2, got {value}")
    return low[0], high[0]


def seeds_of(choices: Choices, shared: Mapping[str, Any]) -> range:
    """The seeds of each plan: the one that was given, and those after it. Raises UsageError."""
    first = whole_number("seed", shared.get("seed") or 0)
    return range(first, first + choices.seeds)
