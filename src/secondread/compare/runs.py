"""The runs of a comparison: ``OUT/<optimizer>-<loss>-<network>-<rate>-seed<n>``, all from ``OUT/store``.

A run's folder is named after all that may differ, so that a comparison grows: with another list, more seeds or more
trials, the runs that are there already serve again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from secondread.compare.choices import Choices, seeds_of
from secondread.compare.search import proposals
from secondread.errors import DataError, DivergenceError, UsageError, writing
from secondread.evaluate import Contender, compare_report, watched_value
from secondread.files import write_whole
from secondread.index import Index
from secondread.models import build
from secondread.train import Packed, Plan, pack_data, plan_for, replan, train

DIVERGED = "diverged.json"
"""In a run that came apart: how. It is a result, and is not trained again."""

Progress = Callable[[str, int, int], None]
Say = Callable[[str], None]
Settings = dict[str, Any]


def compare(
    index: Index,
    choices: Choices,
    shared: Mapping[str, Any],
    out: Path,
    *,
    device: str = "cpu",
    progress: Progress | None = None,
    say: Say | None = None,
) -> Path:
    """Train what was chosen below OUT and write ``OUT/report.html``. Finished runs are not trained again.

    Args:
        choices, shared: as :func:`secondread.compare.choose` tells them apart.
        progress: called as (what, done, total).
        say: takes sentences for the person who waits.

    Returns:
        the path of the report.

    Raises:
        UsageError: OUT holds runs of other data or settings; a network that these data cannot have; no Optuna for a
            search; as :func:`secondread.train.train`.
        DataError: every run diverged; as :func:`secondread.train.train`.
    """
    arena = Arena(index, choices, shared, out, device, progress, say or (lambda _: None))
    if choices.trials is None:
        arena.run_all(choices.grid())
    else:
        arena.try_each(proposals(choices, arena.seeds[0]))
    return arena.report()


@dataclass(eq=False)
class Arena:
    """The plans tried so far, by the name to show, and what trains them.

    Attributes:
        tried: the folder of each plan's run per seed.
        durations: seconds of each run trained here, for an estimate of the time left.
    """

    index: Index
    choices: Choices
    shared: Mapping[str, Any]
    out: Path
    device: str
    progress: Progress | None
    say: Say
    tried: dict[str, list[Path]] = field(default_factory=dict)
    durations: list[float] = field(default_factory=list)
    _packed: Packed | None = None

    def __post_init__(self) -> None:
        self.base = plan_for(self.index, self.shared, device=self.device)
        self.seeds = seeds_of(self.choices, self.shared)
        networks = self.choices.lists.get("network", (self.base.network.name,))
        plans = [replan(self.base, {**self.shared, "network": network}) for network in networks]
        if len({plan.start for plan in plans}) > 1:
            # A head start for some would be compared, and not the networks.
            self.shared = {**self.shared, "start": "cold"}
            self.base = replan(self.base, {"start": "cold"})
            self.say("all begin with random weights: the starter model's do not fit every network of this comparison")
        for plan in plans:
            _require_possible(plan)
        for kept in sorted(self.out.glob("*-seed*/plan.json")):
            self._require_kin(kept.parent)

    def run_all(self, grid: Iterable[Settings]) -> None:
        """Train every plan of a grid, seed by seed, so that an early end leaves something of each."""
        plans = list(grid)
        for seed in self.seeds:
            for chosen in plans:
                self._train(chosen, seed)

    def try_each(self, proposed: Generator[Settings, float, None]) -> None:
        """Train what a search proposes, and answer with the mean over seeds of the watched figure; NaN where a seed
        diverged."""
        try:
            chosen = next(proposed)
            while True:
                runs = [self._train(chosen, seed) for seed in self.seeds]
                lost = any((run / DIVERGED).exists() for run in runs)
                chosen = proposed.send(float("nan") if lost else fmean(watched_value(run) for run in runs))
        except StopIteration:
            return

    def report(self) -> Path:
        """Write the report. Raises DataError where every run diverged."""
        contenders = []
        for name, runs in self.tried.items():
            finished = tuple(run for run in runs if not (run / DIVERGED).exists())
            contenders.append(Contender(name, finished, len(runs) - len(finished)))
        if not any(contender.runs for contender in contenders):
            raise DataError("every run diverged: take lower learning rates (--learning-rate)")
        return compare_report(contenders, self.out)

    def _train(self, chosen: Settings, seed: int) -> Path:
        """The folder of a run, which is trained unless it is finished or has diverged."""
        settings = {**self.shared, **chosen, "seed": seed}
        plan = replan(self.base, settings)
        run = self.out / _folder(plan)
        name = self._name(plan)
        if run not in (known := self.tried.setdefault(name, [])):
            known.append(run)
        if (run / "model" / "manifest.json").exists() or (run / DIVERGED).exists():
            return run
        packed = self._store()
        begun = (run / "checkpoints").exists()
        done = sum(map(len, self.tried.values())) - 1
        self.say(f"run {done + 1} of {self.choices.runs}: training with {name}, seed {seed}{self._left(done)}")
        began = time.monotonic()
        try:
            train(
                None if begun else packed,
                run,
                overrides=None if begun else settings,
                resume=begun,
                device=self.device,
                progress=self._numbered(done + 1),
            )
        except DivergenceError as error:
            # A plan that diverges is a result of the comparison, not the end of it.
            self.say(f"{name}, seed {seed}: {error}")
            with writing(run / DIVERGED):
                write_whole(run / DIVERGED, (json.dumps({"reason": str(error)}) + "\n").encode())
        self.durations.append(time.monotonic() - began)
        return run

    def _store(self) -> Packed:
        if self._packed is None:
            self._packed = pack_data(self.index, self.out / "store", self.base, progress=self.progress)
        return self._packed

    def _numbered(self, number: int) -> Progress | None:
        """Progress of one run: named after it, so that its time left is not reckoned from the first run's start."""
        report = self.progress
        if report is None:
            return None
        return lambda what, done, total: report(f"run {number}: {what}", done, total)

    def _left(self, done: int) -> str:
        if not self.durations:
            return ""
        minutes = fmean(self.durations) * (self.choices.runs - done) / 60
        return f"; about {minutes:.0f} min left" if minutes >= 1 else "; less than a minute left"

    def _name(self, plan: Plan) -> str:
        """What sets a plan apart from the others, to show."""
        values = {**_axes(plan), "learning_rate": f"{plan.learning_rate:g}"}
        return " ".join(values[axis] for axis in self.choices.varied) or plan.optimizer

    def _require_kin(self, run: Path) -> None:
        """Raise UsageError where a run differs from these in more than a comparison may."""
        plan = Plan.load(run / "plan.json")
        own = {**_axes(plan), "learning_rate": plan.learning_rate, "seed": plan.seed}
        # Reasons are words, and a later release may word them otherwise.
        alike = replace(replan(self.base, {**self.shared, **own}), reasons=plan.reasons)
        index = run / "index.parquet"
        if plan != alike or (index.exists() and Index.load(index).fingerprint() != self.index.fingerprint()):
            raise UsageError(f"{run} holds a run of other data or another plan: name another folder with -o")


def _require_possible(plan: Plan) -> None:
    """Raise UsageError where the network cannot learn from these data: before the first run, not after it."""
    import torch

    with torch.no_grad():
        least = sorted(plan.patch)[: plan.network.dimensions]
        build(plan.network).train()(torch.zeros(2, len(plan.recipe.channels), *least))


def _axes(plan: Plan) -> dict[str, str]:
    return {"optimizer": plan.optimizer, "loss": plan.loss, "network": plan.network.name}


def _folder(plan: Plan) -> str:
    return "-".join([*_axes(plan).values(), f"{plan.learning_rate:g}", f"seed{plan.seed}"])
