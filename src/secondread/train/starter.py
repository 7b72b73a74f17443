"""Making the starter model: pictures that the simulator never runs out of, then thresholds, then a folder.

    python benchmarks/starter.py make --out FOLDER

Thresholds are chosen on simulated scans alone, pictures and whole heads apart: no real scan is looked at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from secondread import __version__
from secondread.errors import UsageError
from secondread.files import write_whole
from secondread.infer import ModelSpec, Reader, Thresholds
from secondread.infer.slicewise import ANY, SLICE_MM
from secondread.infer.spec import WEIGHTS, open_description, save_described
from secondread.infer.starter import PICTURES, STARTER, VOLUMES
from secondread.models import Target, build, loss_for
from secondread.simulate import NORMAL, Settings, simulate_study
from secondread.train.checkpoint import Progress
from secondread.train.loop import Report, fit, trained_in
from secondread.train.plan import GREY, PICTURE_SIDE, Plan, Start, on_grid, rate_of
from secondread.train.simulated import CONTRASTS, TASK, Pictures, Simulated
from secondread.train.validate import Tally, validate, with_sigmoid
from secondread.volume import Recipe, Study, prepare, prepare_mask

FALSE_ALARMS = 0.05
"""Most of the simulated normal scans, of volumes in any contrast, above the upper threshold of presence: half of what
is promised for real ones, which differ from simulated ones in ways that nobody can calibrate without looking at them.
"""

MISSES = 0.1
"""Share of simulated abnormal scans below the lower one."""

BEGUN, BEGUN_WITH, MADE = "begun.json", "begun.safetensors", "made.json"
"""In a work folder: the plan and what came before it; the weights it begins with; what the first is called in the end.
"""

WHOLE_HEAD = (256, 256, 256)
"""No head is cut into windows before it is cut into slices."""


@dataclass(frozen=True)
class Curriculum:
    """How long the starter learns.

    Attributes:
        epochs, samples: and pictures in each.
        held: pictures of the validation split.
        heads: simulated heads on which the thresholds for volumes are chosen, half of them normal.
        seed: of everything drawn.
        start: random weights, or those of the starter that is packaged, which then is gone on with: what is made has
            the mean of the weights before and after (Wortsman 2022, "Robust fine-tuning of zero-shot models"), which
            keeps what either had learned.
    """

    epochs: int = 145
    samples: int = 3200
    held: int = 320
    heads: int = 240
    seed: int = 0
    start: Start = "cold"

    def plan(self) -> Plan:
        """As a plan."""
        side = (PICTURE_SIDE, PICTURE_SIDE)
        plan = on_grid(TASK, Recipe(GREY, size=side), side, self.samples)
        plan = replace(plan, epochs=self.epochs, seed=self.seed, start=self.start)
        return replace(plan, learning_rate=rate_of(plan))


def make_starter(
    curriculum: Curriculum, out: Path, work: Path, *, device: str = "cpu", report: Report | None = None
) -> None:
    """Train the starter in ``work`` (going on from its newest checkpoint) and write it to ``out``.

    Raises:
        UsageError: ``work`` holds another training, or one whose starter is made.
        DivergenceError, ChecksumError, ResourceError: as :func:`secondread.train.loop.fit`.
    """
    plan = curriculum.plan()
    before = _begun(work, plan)
    # Who goes on sees other pictures than those already seen.
    seed = curriculum.seed + before.get("simulated_pictures", 0)
    pictures = Pictures(plan.patch[0], plan.batch, seed, cold=plan.start == "cold")
    source = Simulated(pictures, curriculum.epochs, curriculum.held, device)
    try:
        state = fit(plan, source, [], work, device=device, report=report)
    finally:
        source.close()
    weights = state.best if plan.start == "cold" else mean_of(load_file(work / BEGUN_WITH), state.best)
    # In half precision, which halves what everybody downloads.
    weights = {name: value.half() for name, value in weights.items()}
    flat, judged = describe_pictures(plan, weights, source, device, facts_of(state.progress, plan, before))
    volumes, heads = describe_volumes(flat, weights, curriculum, report)
    save_described(out, {PICTURES: flat, VOLUMES: volumes}, weights, card(flat, volumes, judged, heads))
    (work / BEGUN).rename(work / MADE)


def mean_of(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The mean of two sets of weights."""
    return {name: torch.lerp(value.float(), other[name].float().cpu(), 0.5) for name, value in one.items()}


def _begun(work: Path, plan: Plan) -> dict[str, Any]:
    """What the weights that ``plan`` begins with were trained on, as it was when ``work`` was begun."""
    path, own = work / BEGUN, json.loads(plan.to_bytes())
    if (work / MADE).exists():
        raise UsageError(f"the starter of {work} is made: name another folder to train one (--work)")
    if path.exists():
        begun = json.loads(path.read_text(encoding="utf-8"))
        if begun["plan"] != own:
            raise UsageError(f"{work} holds a training by another plan: name another folder (--work)")
        if plan.start == "starter" and not (work / BEGUN_WITH).exists():
            raise UsageError(f"{work} lacks the weights it began with: name another folder (--work)")
        return dict(begun["before"])
    if (work / "checkpoints").exists():
        raise UsageError(f"{work} holds a training by nobody knows which plan: name another folder (--work)")
    work.mkdir(parents=True, exist_ok=True)
    before: dict[str, Any] = {}
    if plan.start == "starter":
        before = open_description(STARTER, PICTURES).trained_on
        write_whole(work / BEGUN_WITH, (STARTER / WEIGHTS).read_bytes())
    write_whole(path, json.dumps({"plan": own, "before": before}).encode())
    return before


def describe_pictures(
    plan: Plan, weights: Mapping[str, Tensor], source: Simulated, device: str, facts: Mapping[str, Any]
) -> tuple[ModelSpec, dict[str, float]]:
    """The description for pictures, and what the model is worth on simulated ones. ``facts``: of its training."""
    network, loss = build(plan.network).to(device).eval(), loss_for(plan.loss)
    network.load_state_dict(dict(weights))
    tally = validate(network, source.whole(), loss, plan.task, plan.patch, device, mirror=True, masks=True)
    fitted, _ = tally.calibration()
    spec = ModelSpec(
        name="starter",
        version=__version__,
        task=plan.task,
        network=plan.network,
        recipe=plan.recipe,
        patch=plan.patch,
        thresholds=with_presence(fitted, *tally.presence_and_truth()),
        trained_on=dict(facts),
    )
    return spec, tally.metrics() | tally.dice_of(spec.thresholds)


def facts_of(progress: Progress, plan: Plan, before: Mapping[str, Any]) -> dict[str, Any]:
    """What the starter has been trained on, in this training and ``before``, as :func:`_begun` has it."""
    precisions = [*before.get("precision", "").split(" and "), *trained_in(progress.history).split(" and ")]
    return {
        "simulated_pictures": before.get("simulated_pictures", 0) + progress.step * plan.batch,
        "real_scans": 0,
        "epochs": before.get("epochs", 0) + progress.epoch,
        "best_epoch": before.get("epochs", 0) + progress.best_epoch,
        "seconds": before.get("seconds", 0) + round(progress.seconds),
        "precision": " and ".join(dict.fromkeys(filter(None, precisions))),
    }


def with_presence(
    thresholds: Thresholds, logits: NDArray[np.float64], abnormal: NDArray[np.bool_], contrasts: Sequence[str] = ()
) -> Thresholds:
    """``thresholds`` with presence as a probability, *abnormal* for FALSE_ALARMS of the normal, *normal* for MISSES of
    the abnormal; where the two cross, there is no *unsure*. With ``contrasts``, one for each study, no contrast has
    more false alarms than that; 5 % on average had been 15 % of one of them."""
    fitted, present = with_sigmoid(thresholds, logits, abnormal)
    kinds = np.array(contrasts) if contrasts else np.zeros(len(present))
    ones = [present[~abnormal & (kinds == kind)] for kind in np.unique(kinds)]
    # Just above the highest that must not be called.
    high = max(float(np.nextafter(np.sort(one)[-1 - int(FALSE_ALARMS * len(one))], 1)) for one in ones if len(one))
    low = min(high, float(np.quantile(present[abnormal], MISSES)))
    return fitted.model_copy(update={"presence_low": low, "presence_high": high})


def describe_volumes(
    pictures: ModelSpec, weights: Mapping[str, Tensor], curriculum: Curriculum, report: Report | None = None
) -> tuple[ModelSpec, dict[str, float]]:
    """The description for volumes, and what the model is worth on whole simulated heads, on the grid that it reads."""
    recipe = Recipe((ANY,), spacing=(SLICE_MM,) * 3)
    neutral = pictures.model_copy(update={"recipe": recipe, "patch": WHOLE_HEAD, "thresholds": Thresholds()})
    network = build(neutral.network)
    network.load_state_dict(dict(weights))
    reader, tally = Reader(neutral, network, ""), Tally(TASK)
    contrasts = [list(CONTRASTS)[n % len(CONTRASTS)] for n in range(curriculum.heads)]
    for n, contrast in enumerate(contrasts):
        settings = Settings(spacing=SLICE_MM, contrasts=(contrast,), skull=0.5, normal=0.0)
        study, truth, _, _ = simulate_study(curriculum.seed + n, settings, label=NORMAL if n // 3 % 2 else None)
        prepared = prepare(Study(study.name, {ANY: study.reference}), recipe)
        lesion = torch.from_numpy(prepare_mask(truth, study.reference.geometry, prepared.frame))[None]
        images = torch.from_numpy(prepared.array)[None]
        ill = torch.tensor([int(truth.labels.any())])
        target = Target(abnormal=ill, category=torch.tensor([-1]), masks=lesion, mask_known=torch.ones(1).bool())
        tally.add(reader.look(images), target, 0.0, images=images)
        if report:
            report("thresholds for volumes", n + 1, curriculum.heads)
    brightness, mask = tally.mask_rule()
    fitted = Thresholds(brightness=brightness, mask=mask, temperature=pictures.thresholds.temperature)
    thresholds = with_presence(fitted, *tally.presence_and_truth(), contrasts)
    facts = {
        "heads": curriculum.heads,
        "presence_auc": tally.metrics()["presence_auc"],
        **tally.dice_of(thresholds),
    }
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
where no model is named, and trainings on grey pictures and on slices of volumes begin with its weights.

- **Made from** {simulated_pictures} simulated pictures and {real_scans} real scans: slices of bent MNI152 heads in
  three planes ({contrasts}) with lesions of the kinds {kinds}.
  {epochs} epochs in {seconds} s, of the last round epoch {best_epoch} kept. `python benchmarks/starter.py make` trains
  one from random weights, `make --go-on` goes on with this one and takes the mean of the weights before and after.
- **Reads** pictures of a head MRI, and volumes slice by slice in three planes, one contrast at a time. It has seen no
  other contrast than those above.
- **On simulated scans** that it had not seen, small and faint lesions among them:
  - pictures: {judged}
  - whole heads: {heads}
- **Operating point**, chosen on simulated scans: *abnormal* is said of at most {alarms} of the normal ones (of volumes
  in any contrast) and *normal* of {misses} of the abnormal ones. A picture is *unsure* between
  {picture.presence_low:.3f} and {picture.presence_high:.3f}, a volume between {volume.presence_low:.3f} and
  {volume.presence_high:.3f}. Real scans are not simulated ones, and nothing is promised for them.
- **It is not** a judge of what it is given: it has no notion of scans that are no head MRI. It knows no stroke, no
  bleeding, no operation, no child, and no disease but lesions that look like those named above. Which kind a lesion is
  of, it guesses from simulation alone.
"""
