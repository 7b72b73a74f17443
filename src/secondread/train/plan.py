"""Everything that decides a run, frozen, saved as ``plan.json``; :mod:`secondread.train.planning` finds it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from pydantic import TypeAdapter, ValidationError

from secondread.errors import DataError, UsageError
from secondread.files import write_whole
from secondread.infer import fits
from secondread.models import BACKBONES, NetworkSpec, Precision, Task, loss_for
from secondread.simulate import BatchSettings
from secondread.train.augment import Strength
from secondread.train.optimisers import kind_of
from secondread.volume import Recipe

PICTURE_SIDE = 160
GREY = ("grey",)
LARGE_PICTURE = 128
SMALLEST_PICTURE = 32
SPACINGS_MM = (0.1, 20.0)
LARGEST_SEED = 2**63
DEFAULT_EPOCHS = 30
CONTINUED = 0.5
"""Of the learning rate that an optimizer begins cold with, where learned weights are gone on with (decision 014)."""

Start = Literal["cold", "starter"]

TOGETHER = 4
"""Slices that are cut from one slab of a volume."""


@dataclass(frozen=True)
class Plan:
    """Decisions of one run. Saved, compared and overridden as plain values.

    Attributes:
        task: categories, the normal class, whether masks teach location.
        recipe: channels and the grid that studies are brought to.
        network: what is built.
        patch: (S) that one training sample covers; the whole study where it fits.
        batch: samples a step: a multiple of TOGETHER, where they are slices; simulated ones come besides.
        samples: samples an epoch.
        optimizer, learning_rate, loss: by name, see ``OPTIMIZERS`` and ``LOSSES``.
        epochs: how many; None when ``minutes`` decides.
        minutes: budget of wall-clock time for training; the schedule ends with it.
        seed: of everything drawn.
        strength: of augmentation.
        start: what the weights begin as: drawn at random, or those of the starter model.
        precision: what the network is trained in; ``auto`` is bfloat16 where the device has hardware for it (on a
            CPU for pictures alone), else float32. It is judged and read with in float32.
        implant: share of the normal scans of each batch that get a lesion implanted, 0 to 1.
        transplant: share of the pictures with an outlined lesion in which another's takes its place, 0 to 1; for
            networks of pictures.
        simulated: simulated slices for each one of the data, 0 to 1; for slices of contrasts that are simulated.
        memory_mib: bound on what the feed holds.
        error_rate: of normal studies called abnormal, and of abnormal ones called normal, that ``unsure`` is to keep.
        reasons: why, in words, for the report.
    """

    task: Task
    recipe: Recipe
    network: NetworkSpec
    patch: tuple[int, ...]
    batch: int
    samples: int
    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    loss: str = "bce"
    epochs: int | None = DEFAULT_EPOCHS
    minutes: float | None = None
    seed: int = 0
    strength: Strength = field(default_factory=Strength)
    implant: float = 0.0
    transplant: float = 0.0
    simulated: float = 0.0
    start: Start = "cold"
    precision: Precision = "auto"
    memory_mib: int = 400
    error_rate: float = 0.1
    reasons: tuple[str, ...] = ()

    @property
    def steps(self) -> int:
        """Steps an epoch."""
        return max(1, math.ceil(self.samples / self.batch))

    @property
    def sliced(self) -> bool:
        """Whether a network of pictures learns from the slices of volumes; then these are the samples."""
        return self.network.dimensions < self.recipe.dimensions

    def simulated_slices(self, difficulty: float = 1.0) -> BatchSettings:
        """What simulated slices are drawn by. Raises UsageError: no such are drawn."""
        if not self.sliced:
            raise UsageError("simulated is for volumes whose slices are learned from: leave it out of the plan")
        return BatchSettings(
            spacing=float(np.mean(self.recipe.spacing or ())),
            contrasts=self.recipe.channels,
            shape=self.window,
            normal=0.25,
            faintest=0.5,
            difficulty=difficulty,
        )

    @property
    def window(self) -> tuple[int, ...]:
        """What the network takes at once: the patch, or a square that any of its slices fits into."""
        return self.network.window(self.patch)

    def save(self, path: Path) -> None:
        """Write as JSON. Raises ResourceError."""
        from secondread.errors import writing

        with writing(path):
            write_whole(path, self.to_bytes())

    def to_bytes(self) -> bytes:
        """As JSON."""
        return (json.dumps(asdict(self), indent=2) + "\n").encode()

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read what :meth:`save` wrote. Raises DataError."""
        try:
            return cls.from_bytes(path.read_bytes(), path)
        except FileNotFoundError as error:
            raise DataError(f"{path.parent} holds no run: {path.name} is missing") from error

    @classmethod
    def from_bytes(cls, content: bytes, path: object) -> Plan:
        """What :meth:`to_bytes` gave; ``path`` names it in errors. Raises DataError."""
        try:
            plan = TypeAdapter(cls).validate_json(content)
            check_overrides({name: getattr(plan, name) for name in OVERRIDES})
        except (ValidationError, UsageError) as error:
            why = first_of(error) if isinstance(error, ValidationError) else str(error)
            raise DataError(
                f"{path} is damaged, or no plan of this release: {why}; restore it, or begin anew"
            ) from error
        return plan


def learned_beside(plan: Mapping[str, Any]) -> list[str]:
    """What a plan, by the names of its fields, learns from beside the data as they are, in words."""
    words = {
        "implant": "lesions are implanted into {} of the normal scans, and teach what is not normal",
        "transplant": "in {} of the pictures with an outlined lesion another's takes its place, so that the category "
        "is learned from the lesion, and not from the plane or the patient around it",
        "simulated": "beside the slices of the data there are simulated ones, {} as many",
    }
    return [sentence.format(f"{plan[name]:.0%}") for name, sentence in words.items() if plan.get(name)]


STARTS: tuple[Start, ...] = get_args(Start)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

NOTHING_TO_EXCHANGE = "transplant is for pictures and slices with outlined lesions of several categories: leave it out"

OVERRIDES = (
    "batch",
    "samples",
    "optimizer",
    "learning_rate",
    "loss",
    "epochs",
    "minutes",
    "seed",
    "implant",
    "transplant",
    "simulated",
    "start",
    "precision",
    "memory_mib",
    "error_rate",
)
NETWORK_OVERRIDES = {"network": "name", "width": "width", "stem": "stem"}
GRID_OVERRIDES = ("size", "spacing", "dimensions")
KNOWN_OVERRIDES = (*OVERRIDES, *NETWORK_OVERRIDES, *GRID_OVERRIDES)


def on_grid(task: Task, recipe: Recipe, patch: tuple[int, ...], samples: int, *, dimensions: int | None = None) -> Plan:
    """The network, the batch, the loss and the augmentation that suit a task on a grid; the rest as it comes.
    ``dimensions``: of the network, where they are not the grid's."""
    flat = (dimensions or recipe.dimensions) == 2
    network = NetworkSpec(
        name="segresnet",
        dimensions=dimensions or recipe.dimensions,
        channels=len(recipe.channels),
        categories=len(task.categories),
        # A large picture is shrunk early: at equal time, twice the features learn more than twice the pixels.
        width=32 if flat else 16,
        stem=4 if flat and max(patch) >= LARGE_PICTURE else 2,
        decoder=task.located,
    )
    return Plan(
        task=task,
        recipe=recipe,
        network=network,
        patch=patch,
        batch=16 if flat else 2,
        samples=samples,
        loss="dice-bce" if task.located else "bce",
        strength=Strength(rotation=20.0, zoom=0.2) if flat else Strength(rotation=12.0, zoom=0.15),
    )


def settled(plan: Plan, given: Mapping[str, Any]) -> Plan:
    """From the starter's weights where they fit and nobody chose: head MRI is grey, photographs are not. And the rate
    that suits the start and the optimizer, where nobody chose."""
    _require_fit(plan, given)
    plan = _in_slabs(plan)
    if "start" not in given and (plan.recipe.channels == GREY or plan.sliced) and fits(plan.network):
        plan = replace(plan, start="starter")
    return plan if "learning_rate" in given else replace(plan, learning_rate=rate_of(plan))


def _in_slabs(plan: Plan) -> Plan:
    """With a batch that whole slabs make up."""
    whole = -(-plan.batch // TOGETHER) * TOGETHER
    if not plan.sliced or whole == plan.batch:
        return plan
    reason = f"a batch of {whole} slices, not {plan.batch}: {TOGETHER} are cut from a slab"
    return replace(plan, batch=whole, reasons=(*plan.reasons, reason))


def rate_of(plan: Plan) -> float:
    """The learning rate that a plan's optimizer and start come with."""
    return kind_of(plan.optimizer).learning_rate * (1.0 if plan.start == "cold" else CONTINUED)


def _require_fit(plan: Plan, given: Mapping[str, Any]) -> None:
    if given.get("start") == "starter" and not fits(plan.network):
        raise UsageError(f"the starter model does not fit {plan.network}: leave start away, or choose cold")
    if plan.simulated:
        plan.simulated_slices()
    if plan.transplant and (plan.network.dimensions == 3 or not plan.task.located or len(plan.task.categories) < 2):
        raise UsageError(NOTHING_TO_EXCHANGE)


def replan(plan: Plan, overrides: Mapping[str, Any]) -> Plan:
    """``plan`` with other settings, on the grid that its studies are packed on already.

    Raises:
        UsageError: an unknown name, an impossible value, another ``size`` or ``spacing`` than packing settled, or a
            start with the starter model where it does not fit.
    """
    given = {k: v for k, v in overrides.items() if v is not None}
    check_overrides(given)
    packed = {
        "size": plan.recipe.size,
        "spacing": plan.recipe.spacing,
        "dimensions": None if plan.recipe.size else (plan.network.dimensions,),
    }
    for name in GRID_OVERRIDES:
        if name in given and float(given.pop(name)) not in (packed[name] or ()):
            raise UsageError(f"{name} was settled when the store was packed: pack again for another, or leave it out")
    changed = _in_slabs(overridden(plan, given))
    _require_fit(changed, given)
    if "start" not in given and not fits(changed.network):
        changed = replace(changed, start="cold")
    # A rate that is not the one its optimizer and start come with was chosen, and stays with its optimizer.
    chosen = "learning_rate" in given or (plan.learning_rate != rate_of(plan) and changed.optimizer == plan.optimizer)
    return changed if chosen else replace(changed, learning_rate=rate_of(changed))


def check_overrides(overrides: Mapping[str, Any]) -> None:
    """Raise UsageError for an unknown name or an impossible value: before an hour is spent on reading scans."""
    given = {k: v for k, v in overrides.items() if v is not None}
    if unknown := sorted(set(given) - set(KNOWN_OVERRIDES)):
        raise UsageError(f"a plan has no {', '.join(unknown)}; there are {', '.join(KNOWN_OVERRIDES)}")
    if "loss" in given:
        loss_for(str(given["loss"]))
    if "optimizer" in given:
        kind_of(str(given["optimizer"]))
    if str(given.get("network", "segresnet")) not in BACKBONES:
        raise UsageError(f"no network called {given['network']!r}; there are {', '.join(BACKBONES)}")
    for name in ("batch", "samples", "epochs", "minutes", "learning_rate", "memory_mib"):
        if name in given and not 0 < number(name, given[name]) < math.inf:
            raise UsageError(f"{name} must be above 0 and finite, got {given[name]}")
    if "dimensions" in given and number("dimensions", given["dimensions"]) not in (2, 3):
        raise UsageError(f"dimensions are 2 (slices) or 3 (volumes), got {given['dimensions']}")
    for name in ("batch", "samples", "epochs", "memory_mib", "stem", "width", "seed"):
        if name in given and not number(name, given[name]).is_integer():
            raise UsageError(f"{name} must be a whole number, got {given[name]}")
    for name, known in (("start", STARTS), ("precision", PRECISIONS)):
        if name in given and given[name] not in known:
            raise UsageError(f"{name} is {', '.join(known[:-1])} or {known[-1]}, got {given[name]}")
    for name in ("implant", "transplant", "simulated"):
        if name in given and not 0 <= number(name, given[name]) <= 1:
            raise UsageError(f"{name} is a share of 0 to 1, got {given[name]}")
    if "error_rate" in given and not 0 < number("error_rate", given["error_rate"]) < 0.5:
        raise UsageError(f"error_rate must lie between 0 and 0.5, got {given['error_rate']}")
    width = number("width", given.get("width", 8))
    if width % 8 or width < 8:
        raise UsageError(f"width must be a multiple of 8, got {given['width']}")
    if "seed" in given and not 0 <= number("seed", given["seed"]) < LARGEST_SEED:
        raise UsageError(f"seed must be 0 or more, and below 2^63, got {given['seed']}")
    if "size" in given and not number("size", given["size"]) >= SMALLEST_PICTURE:
        raise UsageError(f"size {given['size']} is below {SMALLEST_PICTURE} pixels")
    if "spacing" in given and not SPACINGS_MM[0] <= number("spacing", given["spacing"]) <= SPACINGS_MM[1]:
        raise UsageError(f"spacing {given['spacing']} mm is outside {SPACINGS_MM[0]} to {SPACINGS_MM[1]}")


def number(name: str, value: Any) -> float:
    """An override that is to be a number. Raises UsageError."""
    try:
        if isinstance(value, bool):
            raise TypeError("yes and no are no numbers")
        return float(value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} must be a number, got {value!r}") from error


def overridden(plan: Plan, given: dict[str, Any]) -> Plan:
    """``plan`` with what was given, all but what decides the grid. Raises UsageError."""
    if "minutes" in given and "epochs" not in given:
        given["epochs"] = None
    network = replace(plan.network, **{NETWORK_OVERRIDES[k]: given.pop(k) for k in NETWORK_OVERRIDES if k in given})
    try:
        # Through the validator, so that a YAML file's strings and a flag's numbers obey the same types.
        whole = asdict(replace(plan, network=network)) | given
        return TypeAdapter(Plan).validate_python(whole)
    except ValidationError as error:
        raise UsageError(f"this does not fit the plan: {first_of(error)}") from error


def first_of(error: ValidationError) -> str:
    """The first thing wrong, in a few words."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}; got {str(first['input'])[:80]!r}"
