"""Making the starter model: pictures that the simulator never runs out of, then thresholds, then a folder.

    python benchmarks/starter.py --out FOLDER

Thresholds are chosen on simulated scans alone, pictures and whole heads apart: no real scan is looked at.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor

from secondread import __version__
from secondread.errors import writing
from secondread.files import write_whole
from secondread.infer import ModelSpec, Reader, Thresholds
from secondread.infer.reader import ANY
from secondread.infer.starter import PICTURES, VOLUMES
from secondread.models import NetworkSpec, build, loss_for
from secondread.simulate import NORMAL, Settings, simulate_study
from secondread.train.augment import Strength
from secondread.train.calibrate import fit_sigmoid
from secondread.train.checkpoint import State
from secondread.train.loop import Report, fit
from secondread.train.plan import PICTURE_SIDE, Plan
from secondread.train.simulated import CONTRASTS, SLICE_MM, TASK, Simulated
from secondread.train.validate import MASK_LEVELS, validate
from secondread.volume import Recipe

FALSE_ALARMS = 0.05
"""Share of simulated normal scans above the upper threshold of presence: half of what is promised for real ones, which
differ from simulated ones in ways that nobody can calibrate without looking at them."""

WHOLE_HEAD = (256, 256, 256)
"""No head is cut into windows before it is cut into slices."""

MISSES = 0.1
"""Share of simulated abnormal scans below the lower one."""


@dataclass(frozen=True)
class Curriculum:
    """How long the starter learns.

    Attributes:
        epochs, samples: and pictures in each.
        width: of the network, that of a plan for pictures.
        held: pictures of the validation split.
        heads: simulated heads on which the thresholds for volumes are chosen, half of them normal.
        seed: of everything drawn.
    """

    epochs: int = 18
    samples: int = 3200
    width: int = 32
    held: int = 320
    heads: int = 48
    seed: int = 0

    def plan(self) -> Plan:
        """As a plan."""
        side = (PICTURE_SIDE, PICTURE_SIDE)
        return Plan(
            task=TASK,
            recipe=Recipe(("grey",), size=side),
            network=NetworkSpec("segresnet", 2, 1, len(TASK.categories), self.width, 4, decoder=True),
            patch=side,
            batch=16,
            samples=self.samples,
            loss="dice-bce",
            epochs=self.epochs,
            seed=self.seed,
            strength=Strength(rotation=20.0, zoom=0.2),
        )


def make_starter(
    curriculum: Curriculum, out: Path, work: Path, *, device: str = "cpu", report: Report | None = None
) -> None:
    """Train the starter in ``work`` (going on from its newest checkpoint) and write it to ``out``.

    Raises:
        DivergenceError, ChecksumError, ResourceError: as :func:`secondread.train.loop.fit`.
    """
    plan = curriculum.plan()
    source = Simulated(plan.patch[0], plan.batch, curriculum.epochs, curriculum.seed, curriculum.held, device)
    state = fit(plan, source, [], work, device=device, report=report)
    pictures, judged = describe_pictures(plan, state, source, device)
    volumes, heads = describe_volumes(pictures, state.best, curriculum, report)
    write_starter(out, pictures, volumes, state.best, card(pictures, volumes, judged, heads))


def describe_pictures(plan: Plan, state: State, source: Simulated, device: str) -> tuple[ModelSpec, dict[str, float]]:
    """The description for pictures, and what the model is worth on simulated ones."""
    state.averaged.load_state_dict(state.best)
    loss = loss_for(plan.loss)
    tally = validate(state.averaged, source.whole(), loss, plan.task, plan.patch, device, mirror=True)
    fitted, _ = tally.calibration()
    logits = np.array([z for z, _, _ in tally.presence])
    abnormal = np.array([t == 1 for _, t, _ in tally.presence], bool)
    progress = state.progress
    spec = ModelSpec(
        name="starter",
        version=__version__,
        task=plan.task,
        network=plan.network,
        recipe=plan.recipe,
        patch=plan.patch,
        thresholds=with_presence(fitted, logits, abnormal),
        trained_on={
            "simulated_pictures": progress.step * plan.batch,
            "real_scans": 0,
            "epochs": progress.epoch,
            "best_epoch": progress.best_epoch,
            "seconds": round(progress.seconds),
        },
    )
    return spec, tally.metrics()


def with_presence(thresholds: Thresholds, logits: NDArray[Any], abnormal: NDArray[np.bool_]) -> Thresholds:
    """``thresholds`` with presence as a probability, *abnormal* for FALSE_ALARMS of the normal, *normal* for MISSES of
    the abnormal; where the two cross, there is no *unsure*."""
    scale, shift = fit_sigmoid(logits, abnormal)
    present = 1 / (1 + np.exp(-(scale * logits + shift)))
    high = float(np.quantile(present[~abnormal], 1 - FALSE_ALARMS))
    low = min(high, float(np.quantile(present[abnormal], MISSES)))
    return thresholds.model_copy(
        update={"presence_low": low, "presence_high": high, "presence_scale": scale, "presence_shift": shift}
    )


def describe_volumes(
    pictures: ModelSpec, weights: Mapping[str, Tensor], curriculum: Curriculum, report: Report | None = None
) -> tuple[ModelSpec, dict[str, float]]:
    """The description for volumes, and what the model is worth on whole simulated heads, read as ``read`` does."""
    neutral = pictures.model_copy(
        update={
            "recipe": Recipe((ANY,), spacing=(SLICE_MM,) * 3),
            "patch": WHOLE_HEAD,
            "thresholds": Thresholds(temperature=pictures.thresholds.temperature),
        }
    )
    network = build(neutral.network)
    network.load_state_dict(dict(weights))
    reader = Reader(neutral, network, "")
    present, abnormal, overlaps = [], [], []
    for n in range(curriculum.heads):
        settings = Settings(spacing=SLICE_MM, contrasts=(list(CONTRASTS)[n % len(CONTRASTS)],), skull=0.5)
        study, truth, _, _ = simulate_study(curriculum.seed + n, settings, label=NORMAL if n // 2 % 2 else None)
        reading = reader.read(study)
        inside = truth.labels > 0
        present.append(reading.present or 0.0)
        abnormal.append(bool(inside.any()))
        if inside.any():
            evidence = reading.evidence.sum(0)
            overlaps.append([_dice(evidence >= level, inside) for level in MASK_LEVELS])
        if report:
            report("thresholds for volumes", n + 1, curriculum.heads)
    p, ill, levels = np.clip(present, 1e-9, 1 - 1e-9), np.array(abnormal), np.mean(overlaps, axis=0)
    fitted = neutral.thresholds.model_copy(update={"mask": MASK_LEVELS[int(levels.argmax())]})
    thresholds = with_presence(fitted, np.log(p / (1 - p)), ill)
    facts = {"heads": len(p), "presence_auc": float(roc_auc_score(ill, p)), "dice": float(levels.max())}
    return neutral.model_copy(update={"thresholds": thresholds}), facts


def card(pictures: ModelSpec, volumes: ModelSpec, judged: Mapping[str, float], heads: Mapping[str, float]) -> str:
    """The starter's card, Markdown; what real scans said of it is added by whoever measures that."""
    return CARD.format(
        version=pictures.version,
        contrasts=", ".join(CONTRASTS),
        kinds=", ".join(pictures.categories),
        **pictures.trained_on,
        judged=", ".join(f"{name} {value:.3f}" for name, value in judged.items()),
        heads=", ".join(f"{name} {value:.3g}" for name, value in heads.items()),
        alarms=f"{100 * FALSE_ALARMS:g} %",
        misses=f"{100 * MISSES:g} %",
        picture=pictures.thresholds,
        volume=volumes.thresholds,
    )


CARD = """# The starter model of secondread {version}

**A research aid and no medical device: it has no regulatory clearance and must not decide about a patient.** It reads
where no model is named, and trainings on grey pictures begin with its weights.

- **Made from** {simulated_pictures} simulated pictures and {real_scans} real scans: slices of bent MNI152 heads in
  three planes ({contrasts}) with lesions of the kinds {kinds}.
  {epochs} epochs in {seconds} s, epoch {best_epoch} kept. `python benchmarks/starter.py make` makes one again.
- **Reads** pictures of a head MRI, and volumes slice by slice in three planes, one contrast at a time. It has seen no
  other contrast than those above.
- **On simulated scans** that it had not seen, small and faint lesions among them:
  - pictures: {judged}
  - whole heads: {heads}
- **Operating point**, chosen on simulated scans: *abnormal* is said of {alarms} of the normal ones and *normal* of
  {misses} of the abnormal ones. A picture is *unsure* between {picture.presence_low:.3f} and
  {picture.presence_high:.3f}, a volume between {volume.presence_low:.3f} and {volume.presence_high:.3f}. Real scans are
  not simulated ones, and nothing is promised for them.
- **It is not** a judge of what it is given: it has no notion of scans that are no head MRI. It knows no stroke, no
  bleeding, no operation, no child, and no disease but lesions that look like those named above. Which kind a lesion is
  of, it guesses from simulation alone.
"""


def write_starter(out: Path, pictures: ModelSpec, volumes: ModelSpec, weights: Mapping[str, Tensor], card: str) -> None:
    """The starter's folder; weights in half precision, which halves what everybody downloads. Raises ResourceError."""
    from safetensors.torch import save

    contents = {
        PICTURES: (pictures.model_dump_json(indent=2) + "\n").encode(),
        VOLUMES: (volumes.model_dump_json(indent=2) + "\n").encode(),
        "weights.safetensors": save({k: v.detach().cpu().half().contiguous() for k, v in weights.items()}),
        "CARD.md": card.encode(),
    }
    manifest = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_whole(out / name, content)
        write_whole(out / "manifest.json", (json.dumps(manifest, indent=2) + "\n").encode())


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(2 * (one & other).sum() / max(1, one.sum() + other.sum()))
