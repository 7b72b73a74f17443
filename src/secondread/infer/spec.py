"""A model on disk: ``model.json`` (schema-checked), ``weights.safetensors``, ``manifest.json``, ``CARD.md``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor

from secondread.errors import ChecksumError, DataError, InputError, UsageError, is_out_of_memory, writing
from secondread.files import write_whole
from secondread.infer.familiarity import Familiarity
from secondread.models import NetworkSpec, SecondReader, Task, build
from secondread.volume import Recipe

DESCRIPTION, WEIGHTS, CARD, MANIFEST = "model.json", "weights.safetensors", "CARD.md", "manifest.json"


FORMAT: Final = 3
MOST_WIDTH, MOST_CHANNELS = 512, 64


class Thresholds(BaseModel):
    """Where probabilities become words, fitted on the validation split.

    Presence below ``presence_low`` reads *normal*, above ``presence_high`` *abnormal*, between *unsure*. A voxel at or
    above ``mask`` belongs to the mask, once evidence agrees with the scan's ``brightness`` (the weight of that, see
    :mod:`secondread.infer.brightness`). ``temperature`` divides the category logits (Guo 2017, "On calibration");
    ``presence_scale`` and ``presence_shift`` make presence logits a probability (Platt 1999).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    presence_low: float = Field(default=0.5, ge=0, le=1)
    presence_high: float = Field(default=0.5, ge=0, le=1)
    mask: float = Field(default=0.5, gt=0, lt=1)
    brightness: float = Field(default=0.0, ge=0, le=10)
    temperature: float = Field(default=1.0, gt=0)
    presence_scale: float = Field(default=1.0, gt=0)
    presence_shift: float = 0.0

    @model_validator(mode="after")
    def _ordered(self) -> Thresholds:
        if self.presence_low > self.presence_high:
            raise ValueError("presence_low is above presence_high")
        return self


class ClassPromise(BaseModel):
    """Validation groups of one class, and whether they were enough for its half of the promise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    groups: int = Field(ge=0)
    made: bool


class Promise(BaseModel):
    """What the thresholds promise: of the normal studies of new patients like those of validation, at most
    ``error_rate`` are called abnormal, and the reverse. Made for each class that had groups enough."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    error_rate: float = Field(gt=0, lt=1)
    normal: ClassPromise
    abnormal: ClassPromise


class ModelSpec(BaseModel):
    """All that a reader needs beside the weights.

    ``format_version`` 1 had neither ``promise`` nor ``familiarity``, nor scale and shift of presence, and 2 no
    ``brightness``; they are read as models without them. ``promise`` is None where there is no normal class,
    ``familiarity`` where training had too few studies to say what is familiar.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1, 2, 3] = FORMAT
    name: str
    version: str
    task: Task
    network: NetworkSpec
    recipe: Recipe
    patch: tuple[int, ...]
    thresholds: Thresholds = Thresholds()
    promise: Promise | None = None
    familiarity: Familiarity | None = None
    trained_on: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _bounded(self) -> ModelSpec:
        # A description is bounded before any memory is taken for what it describes.
        if not (0 < self.network.width <= MOST_WIDTH and 0 < self.network.channels <= MOST_CHANNELS):
            raise ValueError(
                f"a network of width {self.network.width} and {self.network.channels} channels: there are none wider "
                f"than {MOST_WIDTH} or of more channels than {MOST_CHANNELS}"
            )
        return self

    @property
    def categories(self) -> tuple[str, ...]:
        return self.task.categories

    @property
    def normal(self) -> str | None:
        return self.task.normal

    @property
    def sliced(self) -> bool:
        """Whether volumes are read slice by slice, by a network of pictures."""
        return self.network.dimensions < self.recipe.dimensions

    @property
    def window(self) -> tuple[int, ...]:
        """What the network takes at once: the patch, or a square that any slice of it fits into."""
        return self.network.window(self.patch)


def save_model(folder: Path, spec: ModelSpec, weights: Mapping[str, Tensor], card: str) -> None:
    """Write a model folder.

    Raises:
        ResourceError: no space or no permission.
    """
    save_described(folder, {DESCRIPTION: spec}, weights, card)


def save_described(folder: Path, specs: Mapping[str, ModelSpec], weights: Mapping[str, Tensor], card: str) -> None:
    """Write one set of weights and the descriptions, by file name, that share it; ``manifest.json``, written last,
    holds the SHA-256 of every other file. Raises ResourceError."""
    from safetensors.torch import save

    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        contents = {
            **{name: _description(spec) for name, spec in specs.items()},
            WEIGHTS: save({name: t.detach().cpu().contiguous() for name, t in weights.items()}),
            CARD: card.encode(),
        }
        for name, content in contents.items():
            write_whole(folder / name, content)
        manifest = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
        write_whole(folder / MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())


def _description(spec: ModelSpec) -> bytes:
    """As of this release's format, whichever the model was read from."""
    newest = spec.model_copy(update={"format_version": FORMAT})
    return (newest.model_dump_json(indent=2) + "\n").encode()


def open_model(folder: Path, description: str = DESCRIPTION) -> tuple[ModelSpec, SecondReader, str]:
    """Verify and load a model folder.

    Args:
        description: which of a folder's descriptions; two may share its weights.

    Returns:
        the spec, the network in evaluation mode, and the SHA-256 of spec and weights: the model's identity.

    Raises:
        DataError: no model there, or of a version this release does not know.
        ChecksumError: a file differs from the manifest.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    contents = _verified(folder, (description, WEIGHTS, CARD))
    spec = _described(contents[description], folder / description)
    try:
        network = build(spec.network)
        network.load_state_dict(load(contents[WEIGHTS]))
    except (UsageError, RuntimeError, SafetensorError) as error:
        if is_out_of_memory(error):
            raise
        raise DataError(f"{folder / WEIGHTS} are not the weights of the network that {description} tells of") from error
    identity = hashlib.sha256(contents[description] + contents[WEIGHTS])
    return spec, network.eval(), identity.hexdigest()


def open_description(folder: Path, description: str = DESCRIPTION) -> ModelSpec:
    """What a model folder says of itself, without its weights. Errors as :func:`open_model`."""
    return _described(_verified(folder, (description,))[description], folder / description)


def _described(content: bytes, path: Path) -> ModelSpec:
    try:
        return ModelSpec.model_validate_json(content)
    except ValidationError as error:
        raise DataError(f"{path} does not fit this release's schema: {error}") from error


def _verified(folder: Path, names: Iterable[str]) -> dict[str, bytes]:
    """The named files, each as the manifest says."""
    try:
        manifest = json.loads(_read(folder, MANIFEST))
    except ValueError as error:
        raise ChecksumError(f"{folder / MANIFEST} is not JSON: the model is damaged, copy or train it again") from error
    contents = {name: _read(folder, name) for name in names}
    for name, content in contents.items():
        if not isinstance(manifest, dict) or manifest.get(name) != hashlib.sha256(content).hexdigest():
            raise ChecksumError(f"{folder / name} differs from {MANIFEST}: the model is damaged or was edited")
    return contents


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        begun = (folder / "plan.json").exists()
        advice = f"its training has not ended; secondread train -o {folder} --resume" if begun else f"{name} is missing"
        raise DataError(f"{folder} holds no model: {advice}") from error
    except OSError as error:
        raise InputError(f"cannot read {folder / name}: {error.strerror}") from error
