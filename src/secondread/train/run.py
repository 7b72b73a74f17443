"""One training run from an index to a model: pack, fit, choose thresholds, write."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from secondread import __version__
from secondread.discreet import printable
from secondread.errors import ChecksumError, DataError, UsageError, writing
from secondread.files import write_whole
from secondread.index import Index, excluded_lines
from secondread.index.words import counted
from secondread.infer import ClassPromise, ModelSpec, save_model
from secondread.infer.slicewise import network_for
from secondread.models import build, in_words, loss_for, precision_of
from secondread.store import SPEC, Batch, Case, Feed, Folder, Place, Store
from secondread.train.acquaint import MOST_STUDIES, fit_familiarity, spread
from secondread.train.card import card, familiarity_in_words, promise_in_words
from secondread.train.checkpoint import State, epochs_done
from secondread.train.loop import FEWEST_GROUPS, Report, fit, held_batches, painted, too_few, trained_in
from secondread.train.packed import INDEX_NAME, NO_VALIDATION, PLAN_NAME, Packed, pack_for, plan_for
from secondread.train.plan import Plan, learned_beside, replan
from secondread.train.planning import exchangeable, teaching
from secondread.train.slices import feed_for, require_room
from secondread.train.validate import validate

STORE_NAME = "store"
STORE_ELSEWHERE = "store.json"
LAST_KEPT = (
    f"validation has fewer than {FEWEST_GROUPS} patients, or fewer than {FEWEST_GROUPS} who are not normal: too few to "
    "tell which epoch or which way of making masks is best, so the model of the last epoch is kept, and masks begin at "
    "a probability of 0.5"
)

PAINTED = (
    "no study of validation has a lesion: lesions were implanted there, and what validation says of finding and "
    "outlining is said of these"
)


def train(
    data: Index | Packed | None,
    run: Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    resume: bool = False,
    device: str = "cpu",
    progress: Report | None = None,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Train a model in the folder ``run``.

    Args:
        data: what to learn from: an index, which the run packs for itself, or what is packed already; None with
            ``resume``, where the run's own serves.
        overrides: see :func:`secondread.train.planning.make_plan`; not with ``resume``: a plan is frozen.
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
    say = say or _silent
    given = data.index if isinstance(data, Packed) else data
    for note in () if resume or given is None else given.notes:  # before a plan is refused: they may say why
        say(printable(f"data: {note}"))
    plan, index = read_begun(run) if resume else begin(data, run, overrides, device)
    if index.accepted_leak:
        say(str(index.accepted_leak))
    for line in () if resume else excluded_lines(index.all_rows()):
        say(f"excluded: {line}")
    if resume:
        say(_goes_on(epochs_done(run / "checkpoints"), plan))
    for line in plan_lines(plan, device):
        say(f"plan: {line}")
    if mute := sum(len(index.rows(split)) - len(teaching(index, split)) for split in ("train", "validation")):
        say(f"left out: {mute} studies with neither label nor mask, which teach nothing")
    store = store_of(run, index, plan, resume=resume, progress=progress)
    require_of_index(store, index, run)
    require_classes(store, index)
    require_lesions(store, plan)
    for study, reason in store.excluded:
        say(f"left out: {study}: {reason}")
    held = [case for case in store.cases if case.split == "validation"]
    if not held:
        raise DataError(NO_VALIDATION)
    feed = feed_for(store, [case for case in store.cases if case.split == "train"], plan)
    state = fit(plan, feed, held, run, device=device, spent_before=time.monotonic() - began, report=progress)
    for study, reason in feed.broken.items():
        say(f"went on without {study}: {reason}")
    if not state.progress.history:
        raise UsageError(
            f"the {plan.minutes:g} minutes of the budget were over before the first epoch was: give more --minutes"
        )
    return finish(plan, state, feed, held, run, device, say, progress)


def plan_lines(plan: Plan, device: str) -> Iterator[str]:
    """What a person is told of a plan that is about to be trained by."""
    yield from plan.reasons
    yield from learned_beside(asdict(plan))
    if plan.start == "starter":
        yield (
            f"begins with the starter model's weights, at a learning rate of {plan.learning_rate:g} "
            "(--cold begins with random ones)"
        )
    precision = precision_of(plan.precision, device, plan.network.dimensions)
    if plan.precision == "auto" and precision != torch.float32:
        yield f"trained in {in_words(precision)}, for which there is hardware here (--precision float32 does not)"


def begin(
    data: Index | Packed | None, run: Path, overrides: Mapping[str, Any] | None, device: str
) -> tuple[Plan, Index]:
    """Write a new run's index and, last, its plan, over those of one that never learned. Raises as :func:`train`."""
    make_way(run)
    if data is None:
        raise UsageError("nothing to train on")
    if isinstance(data, Packed):
        index, plan, elsewhere = data.index, replan(data.plan, overrides or {}), data.store.place
        plan = exchangeable(plan, overrides or {}, teaching(index, "train"))
    else:
        index, plan, elsewhere = data, plan_for(data, overrides, device=device), None
    build(plan.network)  # refuses a network that cannot be before anything is written
    require_room(plan)
    with writing(run):
        run.mkdir(parents=True, exist_ok=True)
        for name in (STORE_ELSEWHERE, f"{STORE_NAME}/{SPEC}"):
            (run / name).unlink(missing_ok=True)
        if elsewhere:
            at = str(elsewhere.path.resolve()) if isinstance(elsewhere, Folder) else str(elsewhere)
            said = {"store": at, "sha256": _fingerprint(elsewhere)}
            write_whole(run / STORE_ELSEWHERE, json.dumps(said).encode())
        index.save(run / INDEX_NAME)
    plan.save(run / PLAN_NAME)
    return plan, index


def read_begun(run: Path) -> tuple[Plan, Index]:
    """Plan and index of a run that has begun. Raises UsageError where there is none."""
    if not (run / PLAN_NAME).exists():
        raise UsageError(f"{run} holds no run to go on with: train without --resume")
    return Plan.load(run / PLAN_NAME), Index.load(run / INDEX_NAME)


def store_of(run: Path, index: Index, plan: Plan, *, resume: bool = False, progress: Report | None = None) -> Store:
    """The store that a run learns from: the one it was given, else its own, packed now if it is not yet.

    Raises:
        ChecksumError: the store that the run was given holds something else by now.
        DataError, ResourceError: as ``Store.open`` and ``store.pack``.
    """
    elsewhere = run / STORE_ELSEWHERE
    if elsewhere.exists():
        said = json.loads(elsewhere.read_text(encoding="utf-8"))
        store = Store.open(said["store"])
        if _fingerprint(store.place) != said["sha256"]:
            raise ChecksumError(f"{store.place} was packed anew since {run} began to learn from it: train again")
        return store
    if resume and (run / STORE_NAME / SPEC).exists():
        return Store.open(run / STORE_NAME)  # the scans may have changed since, or be out of reach
    return pack_for(index, plan, run / STORE_NAME, progress)


def _goes_on(done: int, plan: Plan) -> str:
    if plan.epochs and done >= plan.epochs:
        return f"has learned all of {counted(done, 'epoch')}: what follows them is done again"
    return f"goes on after epoch {done}" if done else "begins anew: no epoch was finished"


def require_of_index(store: Store, index: Index, run: Path) -> None:
    """Raise ChecksumError where the store holds studies that the index does not know."""
    known = {row.study for row in index.all_rows()}
    if stray := next((case.study for case in store.cases if case.study not in known), None):
        raise ChecksumError(
            f"{run / INDEX_NAME} is not what the store was packed from (it has no {printable(stray)}): put the right "
            "one back, or train again"
        )


def require_classes(store: Store, index: Index) -> None:
    """Raise DataError where packing left nothing of a class: what is never seen cannot be learned."""
    wanted = {row.label for row in teaching(index, "train") if row.label is not None}
    lost = sorted(wanted - {case.label for case in store.cases if case.split == "train"})
    if lost:
        reasons = dict(store.excluded)
        why = next((reasons[row.study] for row in index.rows("train") if row.label == lost[0]), "nothing of it is left")
        raise DataError(f"no study of {', '.join(map(repr, lost))} could be packed to learn from; the first: {why}")


def require_lesions(store: Store, plan: Plan) -> None:
    """Raise DataError where masks alone are to teach and all of them are empty: then there is nothing to find."""
    taught = [case for case in store.cases if case.split == "train"]
    if plan.task.located and plan.task.normal is None and not any(case.facts.mask_voxels for case in taught):
        raise DataError(
            "no mask of the training split marks anything: there is nothing to learn. If these are healthy scans, say "
            "so with --labels (study,label: all normal), and lesions are implanted into them"
        )


def _fingerprint(store: Place) -> str:
    return hashlib.sha256(store.read(SPEC) or b"").hexdigest()


def make_way(run: Path) -> None:
    """Remove the plan of a run that never learned, so that nobody goes on with it.

    Raises:
        UsageError: ``run`` has learned something already.
    """
    if (run / "checkpoints" / "latest.json").exists():
        raise UsageError(f"{run} already holds a run: go on with --resume, or name another folder")
    with writing(run):
        (run / PLAN_NAME).unlink(missing_ok=True)


def _silent(_: str) -> None:
    """Says nothing."""


def reported(batches: Iterable[Batch], studies: int, report: Report | None) -> Iterator[Batch]:
    """The batches, with progress told; reading whole volumes takes a while."""
    done = 0
    for batch in batches:
        yield batch
        done += len(batch.studies)
        if report:
            report("thresholds", done, studies)


def finish(
    plan: Plan,
    state: State,
    feed: Feed,
    held: Sequence[Case],
    run: Path,
    device: str,
    say: Callable[[str], None] = _silent,
    report: Report | None = None,
) -> Path:
    """Fit the kept epoch's thresholds and what is familiar to it, and write the model. Returns its folder."""
    state.averaged.load_state_dict(state.best)
    few, implants = too_few(held), painted(plan, held)
    network = network_for(state.averaged, plan.recipe, plan.patch)
    groups = {case.study: case.group for case in held}
    batches = reported(held_batches(feed, held, plan, device, whole=True), len(held) * (1 + implants), report)
    loss = loss_for(plan.loss)
    # How bright implanted lesions are is our own doing, and says nothing of how to outline real ones.
    masks = not (few or implants)
    tally = validate(network, batches, loss, plan.task, plan.patch, device, mirror=True, masks=masks, groups=groups)
    thresholds, promise = tally.calibration(plan.error_rate, few_patients=few)
    if implants and promise is not None:
        promise = promise.model_copy(update={"abnormal": ClassPromise(groups=0, made=False)})
    learned = [case for members in feed.sampler.classes.values() for case in members]
    seen, judged = (feed.whole(spread(cases, MOST_STUDIES[plan.recipe.dimensions])) for cases in (learned, held))
    glance = network_for(state.averaged, plan.recipe, plan.patch, glance=True)
    familiarity = fit_familiarity(glance, seen, judged, plan.patch, device, plan.seed)
    progress = state.progress
    facts = {
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        "epoch_chosen": not few,
        "implanted": implants,
        "steps": progress.step,
        "seconds": round(progress.seconds),
        "validation": tally.metrics() | tally.dice_of(thresholds),
        "optimizer": plan.optimizer,
        "loss": plan.loss,
        "precision": trained_in(progress.history),
    }
    spec = ModelSpec(
        name=run.resolve().name,
        version=__version__,
        task=plan.task,
        network=plan.network,
        recipe=plan.recipe,
        patch=plan.patch,
        thresholds=thresholds,
        promise=promise,
        familiarity=familiarity,
        trained_on=facts,
    )
    for sentence in (
        *([LAST_KEPT] if few else []),
        *([PAINTED] if implants else []),
        promise_in_words(spec),
        familiarity_in_words(spec),
    ):
        say(sentence)
    save_model(run / "model", spec, state.best, card(spec))
    return run / "model"
