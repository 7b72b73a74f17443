"""The model card: what a model is, and what it is not, in words."""

from __future__ import annotations

from secondread.infer import ModelSpec

TEMPLATE = """# {name}

A model trained with secondread {version}. **It is a research aid and no medical device: it has no regulatory clearance
and must not decide about a patient.**

- **Answers**: {answers}
- **Reads**: {reads}
- **Trained**: {trained}
- **On the validation split** (which chose the epoch and the thresholds, so it flatters): {validation}
- **Thresholds**: presence below {low:.3f} is *normal*, from {high:.3f} *abnormal*, between *unsure*; a voxel belongs to
  the mask from {mask:.2f}.

How well it does on data that it has not seen stands in the run's `report.html`, and only there. It knows the
scanners, the protocols and the people that its training data came from, and no others.
"""


def card(spec: ModelSpec) -> str:
    """The card of a model, Markdown."""
    recipe, facts = spec.recipe, spec.trained_on
    if recipe.spacing is not None:
        grid = " x ".join(f"{s:g}" for s in recipe.spacing)
        reads = f"volumes with any of {', '.join(recipe.channels)}, resampled to {grid} mm"
    else:
        rows, columns = recipe.size or (0, 0)
        reads = f"pictures ({', '.join(recipe.channels)}), fitted into {rows} x {columns} pixels"
    return TEMPLATE.format(
        name=spec.name,
        version=spec.version,
        answers=_answers(spec),
        reads=reads,
        trained=f"{facts['steps']} steps of {facts['optimizer']} on {facts['loss']} in {facts['epochs']} epochs, "
        f"of which epoch {facts['best_epoch']} was kept",
        validation=", ".join(f"{name} {value:.3f}" for name, value in facts["validation"].items()),
        low=spec.thresholds.presence_low,
        high=spec.thresholds.presence_high,
        mask=spec.thresholds.mask,
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
