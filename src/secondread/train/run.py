"""One training run from an index to a model: pack, fit, choose thresholds, write."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from secondread import __version__
from secondread.errors import DataError, UsageError, writing
from secondread.index import Index, require_learnable
from secondread.infer import ModelSpec, save_model
from secondread.models import build, loss_for
from secondread.store import Case, Feed, Store, pack
from secondread.train.card import card
from secondread.train.checkpoint import State
from secondread.train.loop import Report, fit
from secondread.train.plan import Plan, make_plan, teaching
from secondread.train.validate import validate

NO_VALIDATION = "no study is left for validation: at least two groups of each class are needed"


def train(
    index: Index | None,
    run: Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    store: Store | None = None,
    resume: bool = False,
    device: str = "cpu",
    progress: Report | None = None,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Train a model in the folder ``run``.

    Args:
        index: what to learn from; None with ``resume``, where the run's own index serves.
        overrides: see :func:`secondread.train.plan.make_plan`; not with ``resume``: a plan is frozen.
        store: packed cases; without one the run packs its own.
        progress: called as (what, done, total).
        say: takes sentences for the person who waits.
        resume: go on from the newest checkpoint.

    Returns:
        the folder of the finished model.

    Raises:
        UsageError: the folder already holds a run, or holds none to resume; a budget too small for one epoch.
        DataError, ConfoundedError, LeakError: the data do not allow it.
        ResourceError: disk or permission.
    """
    began = time.monotonic()
    plan_file, index_file = run / "plan.json", run / "index.parquet"
    if resume:
        if not plan_file.exists():
            raise UsageError(f"{run} holds no run to go on with: train without --resume")
        plan, index = Plan.load(plan_file), Index.load(index_file)
    else:
        refuse_existing(run)
        if index is None:
            raise UsageError("nothing to train on")
        require_learnable(index)
        if not teaching(index, "validation"):
            raise DataError(NO_VALIDATION)
        plan = make_plan(index, overrides, device=device)
        build(plan.network)  # refuses a network that cannot be before anything is written
        with writing(run):
            run.mkdir(parents=True, exist_ok=True)
            index.save(index_file)
        plan.save(plan_file)
    if say:
        for reason in plan.reasons:
            say(f"plan: {reason}")
        mute = sum(len(index.rows(split)) - len(teaching(index, split)) for split in ("train", "validation"))
        if mute:
            say(f"left out: {mute} studies with neither label nor mask, which teach nothing")
    store = store or pack_for(index, plan, run / "store", progress)
    if say:
        for study, reason in store.excluded:
            say(f"left out: {study}: {reason}")
    held = [case for case in store.cases if case.split == "validation"]
    if not held:
        raise DataError(NO_VALIDATION)
    feed = Feed(
        store,
        [case for case in store.cases if case.split == "train"],
        plan.task.categories,
        patch=plan.patch,
        batch=plan.batch,
        seed=plan.seed,
        memory=plan.memory_mib << 20,
    )
    state = fit(plan, feed, held, run, device=device, spent_before=time.monotonic() - began, report=progress)
    if not state.progress.history:
        raise UsageError(
            f"the {plan.minutes:g} minutes of the budget were over before the first epoch was: remove {run}, and give "
            f"more --minutes"
        )
    return finish(plan, state, feed, held, run, device)


def refuse_existing(run: Path) -> None:
    """Raise UsageError where ``run`` holds a run already: before hours are spent on reading data for it."""
    if (run / "plan.json").exists():
        raise UsageError(f"{run} already holds a run: go on with --resume, or name another folder")


def pack_for(index: Index, plan: Plan, folder: Path, progress: Report | None = None) -> Store:
    """The training and validation studies of an index, packed as the plan reads them. Errors as ``store.pack``."""
    return pack([*teaching(index, "train"), *teaching(index, "validation")], plan.recipe, folder, progress=progress)


def finish(plan: Plan, state: State, feed: Feed, held: Sequence[Case], run: Path, device: str) -> Path:
    """Fit the best epoch's thresholds on the validation split and write the model. Returns its folder."""
    state.averaged.load_state_dict(state.best)
    tally = validate(state.averaged, feed.whole(held), loss_for(plan.loss), plan.task, plan.patch, device, mirror=True)
    progress = state.progress
    facts = {
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        "steps": progress.step,
        "seconds": round(progress.seconds),
        "validation": tally.metrics(),
        "optimizer": plan.optimizer,
        "loss": plan.loss,
    }
    spec = ModelSpec(
        name=run.resolve().name,
        version=__version__,
        task=plan.task,
        network=plan.network,
        recipe=plan.recipe,
        patch=plan.patch,
        thresholds=tally.thresholds(),
        trained_on=facts,
    )
    save_model(run / "model", spec, state.best, card(spec))
    return run / "model"
