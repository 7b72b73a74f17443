"""The model card: what a model is, and what it is not, in words."""

from __future__ import annotations

from secondread.index.words import counted
from secondread.infer import ModelSpec
from secondread.train.calibrate import groups_needed

TEMPLATE = """# {name}

A model trained with secondread {version}. **It is a research aid and no medical device: it has no regulatory clearance
and must not decide about a patient.**

- **Answers**: {answers}
- **Reads**: {reads}
- **Trained**: {trained}
- **On the validation split**{implanted} (which chose {chosen}, so it flatters): {validation}
- **Thresholds**: presence below {low:.3f} is *normal*, from {high:.3f} *abnormal*, between *unsure*; a voxel belongs to
  the mask from {mask:.2f}{brightness}.
- **Unsure**: {promise}
- **Strangers**: {familiarity}

How well it does on data that it has not seen stands in the run's `report.html`, and only there. It knows the
scanners, the protocols and the people that its training data came from, and no others.
"""


def card(spec: ModelSpec) -> str:
    """The card of a model, Markdown."""
    recipe, facts = spec.recipe, spec.trained_on
    if recipe.spacing is not None:
        grid = " x ".join(f"{s:g}" for s in recipe.spacing)
        how = ", slice by slice in three planes" if spec.sliced else ""
        reads = f"volumes with any of {', '.join(recipe.channels)}, resampled to {grid} mm{how}"
    else:
        rows, columns = recipe.size or (0, 0)
        reads = f"pictures ({', '.join(recipe.channels)}), fitted into {rows} x {columns} pixels"
    return TEMPLATE.format(
        name=spec.name,
        version=spec.version,
        answers=_answers(spec),
        reads=reads,
        trained=f"{facts['steps']} steps of {facts['optimizer']} on {facts['loss']} in {facts['precision']}, "
        f"{facts['epochs']} epochs, of which epoch {facts['best_epoch']} was kept",
        chosen="the epoch and the thresholds" if facts["epoch_chosen"] else "the thresholds, though not the epoch",
        implanted=", its lesions implanted into normal scans" if facts.get("implanted") else "",
        validation=", ".join(f"{name} {value:.3f}" for name, value in facts["validation"].items()),
        low=spec.thresholds.presence_low,
        high=spec.thresholds.presence_high,
        mask=spec.thresholds.mask,
        brightness=", once evidence agrees with how bright the scan is there" if spec.thresholds.brightness else "",
        promise=promise_in_words(spec),
        familiarity=familiarity_in_words(spec),
    )


def promise_in_words(spec: ModelSpec) -> str:
    """What *unsure* promises, to whom, and what keeps it from promising more."""
    promise = spec.promise
    if promise is None:
        return "there is no normal class, so nothing is promised about presence"
    rate, fewest = f"{promise.error_rate:.3g}", groups_needed(promise.error_rate)
    sides = {"normal": promise.normal, "abnormal": promise.abnormal}
    other = {"normal": "abnormal", "abnormal": "normal"}
    made = [
        f"a share of {rate} or less of {n} studies is called *{other[n]}*" for n, side in sides.items() if side.made
    ]
    short = [
        f"{n}: {counted(side.groups, 'validation group')}, {fewest} are needed"
        for n, side in sides.items()
        if not side.made
    ]
    out = f"for new patients like those of validation, {' and '.join(made)}" if made else ""
    if short:
        out += f"{'; ' if out else ''}no error rate of {rate} is promised for {'; nor for '.join(short)}"
    return out


def familiarity_in_words(spec: ModelSpec) -> str:
    """Whether the model notices scans that are not of its kind."""
    known = spec.familiarity
    if known is None:
        return (
            "training had too few studies to tell what is no scan of this kind; the model judges whatever it is given"
        )
    return (
        f"a scan unlike the training studies is *unsure* and carries a warning; so are {known.rate:.0%} of scans like "
        f"the {known.studies} validation studies"
    )


def _answers(spec: ModelSpec) -> str:
    parts = []
    if spec.task.normal is not None:
        parts.append(f"whether anything is there (against {spec.task.normal})")
    if len(spec.categories) > 1:
        parts.append(f"which of {', '.join(spec.categories)}")
    if spec.task.located:
        parts.append("where")
    return "; ".join(parts) or "where"
