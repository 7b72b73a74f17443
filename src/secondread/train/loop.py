"""The training loop."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch

from secondread.errors import DivergenceError
from secondread.files import write_whole
from secondread.infer import begin_with_starter
from secondread.models import Loss, Output, Target, build, in_words, loss_for, precision_of, total
from secondread.store import Batch, Case
from secondread.train.augment import apply, draw
from secondread.train.checkpoint import Progress, State, load_checkpoint, save_checkpoint
from secondread.train.implanting import implanted
from secondread.train.optimisers import kind_of, optimizer_for
from secondread.train.plan import Plan
from secondread.train.rehearsal import Rehearsal
from secondread.train.slices import from_slabs, from_volumes
from secondread.train.transplant import transplanted
from secondread.train.validate import Tally, score, target_of, validate

WARM_UP = 0.03
"""Share of the schedule in which the learning rate rises to its value."""

AVERAGING = 0.995
"""Decay of the averaged weights, once there have been enough steps for it."""

MAX_GRADIENT = 5.0

FEWEST_GROUPS = 6
"""Fewer patients cannot tell which of two epochs is better, even if they all agree (sign test at 5 %: 2 x 0.5^6)."""

IMPLANTS, REHEARSAL, TRANSPLANTS = 7, 11, 13
"""Set the seeds of implanted lesions, of simulated slices and of lesions exchanged apart from those of augmentation."""

Report = Callable[[str, int, int], None]


class Source(Protocol):
    """Where batches come from: a store's feed, or the simulator."""

    @property
    def broken(self) -> Mapping[str, str]: ...
    def epoch(self, epoch: int, steps: int) -> Iterator[Batch]: ...
    def whole(self, cases: Sequence[Case]) -> Iterator[Batch]: ...


def fit(
    plan: Plan,
    feed: Source,
    held: Sequence[Case],
    run: Path,
    *,
    device: str = "cpu",
    spent_before: float = 0.0,
    report: Report | None = None,
) -> State:
    """Train until the plan's epochs or minutes are used up, from the newest checkpoint in ``run`` if there is one.

    Same plan, same data, same machine: same weights, bit for bit, whether or not the run was interrupted (a budget in
    minutes depends on the clock; a number of epochs does not).

    Args:
        feed: of the training split.
        held: the cases of the validation split.
        spent_before: seconds already taken from the budget, by indexing and packing.

    Raises:
        DivergenceError: the loss is no longer a number.
        ChecksumError, ResourceError: see :mod:`secondread.train.checkpoint`.
    """
    state, loss, few = new_state(plan, device), loss_for(plan.loss), too_few(held)
    precision = precision_of(plan.precision, device, plan.network.dimensions)
    factor = schedule if kind_of(plan.optimizer).scheduled else _steady
    state.progress.seconds = spent_before
    progress = state.progress
    if load_checkpoint(run / "checkpoints", state):
        progress = state.progress
        write_history(run, progress.history)  # a kill may have come between the checkpoint and its line
    started = time.monotonic() - progress.seconds
    rehearsal = Rehearsal(plan, seed_of(plan.seed, REHEARSAL), device)

    def over(epoch: int, step: int = 0) -> float:
        return spent(plan, epoch + step / plan.steps, time.monotonic() - started)

    while over(progress.epoch) < 1:
        state.network.train()
        tally = Tally(plan.task)
        done_at = partial(over, progress.epoch)
        for step, batch in enumerate(samples_of(feed, plan, progress.epoch, rehearsal, device, done_at)):
            done = done_at(step)
            if done >= 1:
                break
            set_learning_rate(state.optimizer, plan.learning_rate * factor(done))
            seed = seed_of(plan.seed, progress.epoch, step)
            output, target, value = learn(state, batch, plan, loss, seed, precision, device)
            tally.add(output, target, value, studies=batch.studies if plan.sliced else None)
            if report:
                report(f"epoch {progress.epoch + 1}, loss {value:.3f}", int(1000 * done), 1000)
        if not tally.losses:
            break  # the minutes were over before the first step
        batches = held_batches(feed, held, plan, device)
        judged = validate(state.averaged, batches, loss, plan.task, plan.window, device, slices=plan.sliced)
        seconds = time.monotonic() - started
        close_epoch(state, tally.metrics(), judged.metrics(), seconds, precision, len(feed.broken), last=few)
        save_checkpoint(run / "checkpoints", state)
        write_history(run, progress.history)
    return state


def learn(
    state: State, batch: Batch, plan: Plan, loss: Loss, seed: int, precision: torch.dtype, device: str
) -> tuple[Output, Target, float]:
    """One step on one batch, augmented by ``seed``; what the network said of it, what was true, and the loss."""
    torch.manual_seed(seed)  # for dropout
    target = target_of(batch, device)
    images = batch.images.to(device)
    images, masks = apply(images, target.masks, draw(images, plan.strength, seed))
    target = replace(target, masks=masks)
    output: Output = state.network(images, precision)
    value = total(loss(output, target, plan.task))
    state.optimizer.zero_grad(set_to_none=True)
    value.backward()
    torch.nn.utils.clip_grad_norm_(state.network.parameters(), MAX_GRADIENT)
    state.optimizer.step()
    state.progress.step += 1
    average(state, state.progress.step)
    return output, target, value.item()


def samples_of(
    feed: Source, plan: Plan, epoch: int, rehearsal: Rehearsal, device: str, done: Callable[[int], float]
) -> Iterator[Batch]:
    """What an epoch's steps learn from: the feed's batches, or slices of them, with lesions implanted and simulated
    slices behind them as far as the plan wants that. ``done``: as in :func:`implanted`."""
    batches = feed.epoch(epoch, plan.steps)
    slices = from_slabs(batches, plan.patch) if plan.sliced else batches
    ill = implanted(slices, plan, partial(seed_of, plan.seed, epoch, IMPLANTS), device, done)
    exchanged = transplanted(ill, plan.transplant, partial(seed_of, plan.seed, epoch, TRANSPLANTS), device)
    return rehearsal.join(exchanged, partial(seed_of, plan.seed, epoch, REHEARSAL))


def too_few(held: Sequence[Case]) -> bool:
    """Whether the validation cases, or those of them with a lesion, are of too few patients to choose an epoch by: then
    the last one is kept. Simulated ones are no cases, and each is a patient of its own."""
    ill = {case.group for case in held if not case.normal and (case.label is not None or case.mask_voxels > 0)}
    return any(0 < len(groups) < FEWEST_GROUPS for groups in (ill, {case.group for case in held}))


def painted(plan: Plan, held: Sequence[Case]) -> bool:
    """Whether the only lesions of validation are implanted ones."""
    return plan.implant > 0 and not any(case.normal is False or case.mask_voxels > 0 for case in held)


def held_batches(
    feed: Source, held: Sequence[Case], plan: Plan, device: str, *, whole: bool = False
) -> Iterator[Batch]:
    """The validation cases one by one, the same in each epoch; slices of them, where the network learns from slices,
    unless they are wanted ``whole``.

    Where none of them has a lesion and the plan implants them, each comes as it is and once more with a lesion: few
    heads then still say what is normal. Thresholds that real lesions can give are not for implanted ones to give.
    """

    def batches() -> Iterator[Batch]:
        volumes = feed.whole(held)
        return from_volumes(volumes, plan.patch) if plan.sliced and not whole else volumes

    yield from batches()
    if painted(plan, held):
        every = replace(plan, implant=1.0)
        yield from implanted(batches(), every, partial(seed_of, plan.seed, IMPLANTS), device)


def new_state(plan: Plan, device: str) -> State:
    """A state before its first step; its weights follow from the plan alone."""
    torch.manual_seed(plan.seed)
    # Channels last: the same network takes a third less time on a CPU.
    layout = torch.channels_last if plan.network.dimensions == 2 else torch.channels_last_3d
    network = build(plan.network)
    if plan.start == "starter":
        begin_with_starter(network, plan.task.categories, plan.recipe.channels)
    network = network.to(device, memory_format=layout)  # type: ignore[call-overload]
    averaged = copy.deepcopy(network).requires_grad_(False).eval()
    optimizer = optimizer_for(plan.optimizer, network.parameters(), plan.learning_rate)
    return State(network, averaged, optimizer, copy.deepcopy(averaged.state_dict()), Progress())


def spent(plan: Plan, epochs: float, seconds: float) -> float:
    """Share of the schedule that is over, after so many epochs and seconds of training; 1 ends the run."""
    parts = [epochs / plan.epochs] if plan.epochs else []
    # A little is kept back for the last validation and for writing the model.
    parts += [seconds / (60 * plan.minutes * 0.97)] if plan.minutes else []
    return min(1.0, max(parts, default=1.0))


def schedule(done: float) -> float:
    """Factor on the learning rate: up in a straight line, then down along half a cosine (Loshchilov 2017)."""
    if done < WARM_UP:
        return 0.05 + 0.95 * done / WARM_UP
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP)))


def _steady(_: float) -> float:
    """For an optimiser that takes the rate for its first step alone and finds the later ones itself."""
    return 1.0


def seed_of(*parts: int) -> int:
    """One seed from several numbers, far from its neighbours'."""
    mixed = 0
    for part in parts:
        mixed = (mixed * 6364136223846793005 + part + 1442695040888963407) % 2**63
    return mixed


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = rate


@torch.no_grad()
def average(state: State, step: int) -> None:
    """Move the averaged weights towards the trained ones (Polyak 1992), faster while there have been few steps."""
    keep = min(AVERAGING, (1 + step) / (10 + step))
    ours, theirs = state.averaged.state_dict(), state.network.state_dict()
    smooth = [name for name, value in ours.items() if value.is_floating_point()]
    torch._foreach_lerp_([ours[name] for name in smooth], [theirs[name] for name in smooth], 1 - keep)
    for name in ours.keys() - set(smooth):
        ours[name].copy_(theirs[name])


def close_epoch(
    state: State,
    training: dict[str, float],
    judged: dict[str, float],
    seconds: float,
    precision: torch.dtype,
    broken: int = 0,
    *,
    last: bool = False,
) -> None:
    """Write the epoch into the history, keep its weights if they are the best so far, or in any case to keep the
    ``last``. Raises DivergenceError."""
    progress = state.progress
    if not math.isfinite(training["loss"] + judged["loss"]):
        raise DivergenceError(
            "the loss is no longer a number: take a lower learning rate (--learning-rate) or another optimizer"
        )
    value = score(judged)
    best = last or value > progress.best_score
    progress.epoch += 1
    progress.seconds = seconds
    if best:
        progress.best_epoch, progress.best_score = progress.epoch, value
        state.best = copy.deepcopy(state.averaged.state_dict())
    progress.history.append(
        {
            "epoch": progress.epoch,
            "step": progress.step,
            "seconds": round(seconds, 2),
            "learning_rate": state.optimizer.param_groups[0]["lr"],
            "train": {name: round(v, 6) for name, v in training.items()},
            "validation": {name: round(v, 6) for name, v in judged.items()},
            "best": best,
            "precision": in_words(precision),
        }
        # Studies whose packed bytes are damaged: the run goes on without them, and says so.
        | ({"broken": broken} if broken else {})
    )


def write_history(run: Path, history: Sequence[dict[str, Any]]) -> None:
    """``history.jsonl``, whole: what an interrupted epoch began is not in it."""
    write_whole(run / "history.jsonl", "".join(json.dumps(line) + "\n" for line in history).encode())


def trained_in(history: Sequence[Mapping[str, Any]]) -> str:
    """The precision of the epochs; both, where a run went on on another machine."""
    return " and ".join(dict.fromkeys(line.get("precision", "float32") for line in history))
