"""A model and a study to findings. Validation, evaluation and ``read`` all come through here.

Axes: K categories, S the prepared grid, N the scan's own grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secondread.errors import TooLarge, is_out_of_memory, locating
from secondread.infer.brightness import with_brightness
from secondread.infer.familiarity import Acquaintance, Strangeness
from secondread.infer.predict import Network, predict
from secondread.infer.runtime import fastest
from secondread.infer.slicewise import ANY, clearest, network_for
from secondread.infer.spec import ModelSpec, Thresholds, open_model
from secondread.models import Output, SecondReader
from secondread.volume import Category, Decision, Findings, Location, ModelId, Prepared, Presence, Study, prepare

MIN_REGION = 6
"""Regions smaller than this many voxels of the prepared grid are noise, not locations."""


@dataclass(frozen=True, eq=False)
class Reading:
    """Findings and the arrays behind them.

    Attributes:
        findings: as written to ``findings.json``.
        evidence: (K, *N) float32, probability that a voxel is abnormal and of this category; of a model that asks a
            scan's brightness (:mod:`secondread.infer.brightness`), after that.
        mask: (*N) uint8, 0 background, else 1 + index of the category.
        present: probability that something abnormal is there; None where the model has no notion of normal.
        categories: probability per category, given that something is there; sums to 1.
    """

    findings: Findings
    evidence: NDArray[np.float32]
    mask: NDArray[np.uint8]
    present: float | None
    categories: dict[str, float]


class Reader:
    """Reads studies with one model.

    Args:
        runtime: what runs the network, where that is not torch.

    Attributes:
        spec: what the model is.
        sha256: its identity.
    """

    def __init__(
        self, spec: ModelSpec, network: SecondReader, sha256: str, device: str = "cpu", runtime: Network | None = None
    ) -> None:
        self.spec, self.sha256, self.device = spec, sha256, device
        # Channels last: the same numbers, a quarter to a third sooner on a CPU.
        layout = torch.channels_last if spec.network.dimensions == 2 else torch.channels_last_3d
        network = network.to(device, memory_format=layout).eval()  # type: ignore[call-overload]
        self._network: Network = runtime or network_for(network, spec.recipe, spec.patch)
        self._known = None if spec.familiarity is None else Acquaintance(spec.familiarity)

    @property
    def classes(self) -> tuple[str, ...]:
        """What it names: categories, and the normal class where there is one."""
        return (*self.spec.categories, *([self.spec.normal] if self.spec.normal else []))

    def read(self, study: Study) -> Reading:
        """Read one study.

        Raises:
            DataError: the study has none of the model's contrasts, is blank, or is a picture where volumes are read.
            TooLarge: this machine's memory does not hold it.
        """
        with locating(f"study {study.name}"):
            study, warnings = self._fit_contrasts(study)
            prepared = prepare(study, self.spec.recipe)
        try:
            images = torch.from_numpy(prepared.array)[None].to(self.device)
            output = self.look(images)
            strange = self._strangeness(prepared, output)
            agreed = with_brightness(output.evidence[0], images[0], self.spec.thresholds.brightness)
            output = replace(output, evidence=agreed[None])
            return self._reading(study, prepared, probabilities(output, self.spec), warnings, strange)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            shape = " x ".join(map(str, prepared.array.shape[1:]))
            raise TooLarge(f"study {study.name}: memory does not hold what reading {shape} voxels takes") from error

    def look(self, images: Tensor) -> Output:
        """What the network says of prepared studies (B, C, *S), as ``read`` asks it: the scan and its mirror image."""
        return predict(self._network, images, self.spec.patch, mirror=True)

    def _fit_contrasts(self, study: Study) -> tuple[Study, list[str]]:
        """Name an unnamed series after the model's only contrast; warn of what is missing."""
        warnings = list(study.warnings)
        wanted = self.spec.recipe.channels
        if study.picture is not None:
            return study, warnings
        if wanted == (ANY,):
            return clearest(study, warnings)
        if len(study.series) == 1 and len(wanted) == 1 and wanted[0] not in study.series:
            (found,) = study.series
            warnings.append(f"the scan's contrast is {found!r}, the model was trained on {wanted[0]!r}")
            study = Study(study.name, {wanted[0]: study.reference})
        missing = [name for name in wanted if name not in study.series]
        if missing and len(missing) < len(wanted):
            warnings.append(f"read without {', '.join(missing)}: expect less than with every contrast")
        return study, warnings

    def _strangeness(self, prepared: Prepared, output: Output) -> Strangeness | None:
        if self._known is None or output.features is None:
            return None
        return self._known.judge(prepared.array, output.features[0].float().numpy(force=True))

    def _reading(
        self, study: Study, prepared: Prepared, p: Probabilities, warnings: list[str], strange: Strangeness | None
    ) -> Reading:
        spec = self.spec
        evidence = prepared.frame.to_scan(p.evidence).clip(0, 1)
        decision = decide(p.present, spec)
        if strange is not None and strange.unfamiliar:
            decision = None if decision is None else "unsure"
            warnings = [strange.warning, *warnings]
        mask = np.zeros(evidence.shape[1:], np.uint8)
        locations: tuple[Location, ...] = ()
        if spec.task.located and decision != "normal":
            least = MIN_REGION * float(np.prod(prepared.frame.step))
            mask, locations = _regions(evidence, spec.thresholds.mask, least, study)
        categories = dict(zip(spec.categories, p.category.tolist(), strict=True))
        findings = Findings(
            study=study.name,
            model=ModelId(spec.name, spec.version, self.sha256),
            presence=None if p.present is None else Presence(p.present, decision or "unsure"),
            categories=tuple(Category(n, q) for n, q in sorted(categories.items(), key=lambda item: -item[1])),
            locations=locations,
            warnings=tuple(warnings),
        )
        return Reading(findings, evidence, mask, p.present, categories)


def load_model(folder: Path, device: str = "cpu") -> Reader:
    """The reader of a model folder, or of a run folder that holds one. Errors as :func:`open_model`.

    A bundle's ``model.onnx`` reads in torch's place where it is quicker, see :mod:`secondread.infer.runtime`.
    """
    folder = Path(folder)
    inner = folder / "model"
    folder = inner if inner.is_dir() else folder
    spec, network, sha256 = open_model(folder)
    return Reader(spec, network, sha256, device, fastest(folder, spec, network, device))


@dataclass(frozen=True, eq=False)
class Probabilities:
    """One study's output as probabilities: evidence (K, *S), presence, category (K,)."""

    evidence: NDArray[np.float32]
    present: float | None
    category: NDArray[np.float32]


def probabilities(output: Output, spec: ModelSpec, row: int = 0) -> Probabilities:
    """Row ``row`` of a batch of logits, calibrated as the model says.

    Without a normal class, presence is that of the strongest evidence: there is no study-level truth to fit.
    """
    evidence = voxel_probability(output.evidence[row])
    present: float | None = None
    if spec.task.normal is not None:
        present = calibrated(float(output.presence[row]), spec.thresholds)
    elif spec.task.located:
        present = float(evidence.sum(0).max())
    category = (output.category[row] / spec.thresholds.temperature).softmax(0)
    return Probabilities(evidence.cpu().numpy(), present, category.float().cpu().numpy())


def calibrated(logit: float, thresholds: Thresholds) -> float:
    """A presence logit as the probability that something is there."""
    z = thresholds.presence_scale * logit + thresholds.presence_shift
    # Whichever way no exponential can overflow.
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def voxel_probability(evidence: Tensor) -> Tensor:
    """Evidence logits (K, *S) -> probability that a voxel is abnormal and of category k, (K, *S)."""
    evidence = evidence.float()
    return evidence.logsumexp(0).sigmoid() * evidence.softmax(0)


def decide(present: float | None, spec: ModelSpec) -> Decision | None:
    """The decision for a presence probability; None where the model has no notion of normal."""
    if present is None:
        return None
    if present < spec.thresholds.presence_low:
        return "normal"
    return "abnormal" if present >= spec.thresholds.presence_high else "unsure"


def _regions(
    evidence: NDArray[np.float32], threshold: float, least: float, study: Study
) -> tuple[NDArray[np.uint8], tuple[Location, ...]]:
    """Connected regions of evidence, the most certain first, and the mask that holds them.

    Args:
        evidence: (K, *N).
        threshold: a voxel belongs where the summed evidence reaches it.
        least: regions of fewer voxels are left out.
    """
    import cc3d

    total = evidence.sum(0)
    components = cc3d.connected_components(total >= threshold, connectivity=26 if total.ndim == 3 else 8)
    stats = cc3d.statistics(components)
    mask = np.zeros(total.shape, np.uint8)
    places: list[Location] = []
    for index in range(1, len(stats["voxel_counts"])):
        count = int(stats["voxel_counts"][index])
        if count < least:
            continue
        box = stats["bounding_boxes"][index]
        inside = components[box] == index
        label = 1 + int(evidence[(slice(None), *box)][:, inside].sum(1).argmax())
        mask[box][inside] = label
        peak = float(total[box][inside].max())
        places.append(_location(stats["centroids"][index], count, peak, label, study))
    return mask, tuple(sorted(places, key=lambda place: -place.probability))


def _location(centre: NDArray[np.float64], count: int, peak: float, label: int, study: Study) -> Location:
    if study.picture is not None:
        row, column = (float(c) for c in centre[:2])
        return Location(peak, label, center_px=(column, row), area_px=float(count))
    geometry = study.reference.geometry
    x, y, z = (float(c) for c in geometry.to_mm(centre))
    return Location(peak, label, center_mm=(x, y, z), volume_mm3=count * geometry.voxel_mm3)
