"""What to try next, from what the run's plan has not used yet.

A table, read from the top: each line holds the advice, and whether this plan leaves room for it. The first MOST that
apply are given. A plan is the content of plan.json; what it does not say is taken as not used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

MOST = 3
WIDTH_STEP = 8
WIDEST = 64
DECAYING = ("adamw", "sgd")
"""Optimizers that hold the weights small."""

FEWEST_EPOCHS = 10
"""Of fewer the curves say little."""

Need = Literal["less freedom", "more learning", "another rate", "calm", "longer", "more capacity"]


@dataclass(frozen=True)
class Facts:
    """What advice is made from: the plan, and the epoch of the lowest validation loss with the number of epochs."""

    plan: Mapping[str, Any]
    best_epoch: int | None = None
    epochs: int = 0

    def number(self, name: str) -> float | None:
        value = self.plan.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    @property
    def optimizer(self) -> str | None:
        return self.plan.get("optimizer")

    @property
    def located(self) -> bool:
        return bool((self.plan.get("task") or {}).get("located"))

    @property
    def width(self) -> int | None:
        return (self.plan.get("network") or {}).get("width")

    @property
    def side(self) -> int | None:
        return max((self.plan.get("recipe") or {}).get("size") or [0]) or None

    @property
    def spacing(self) -> float | None:
        return min((self.plan.get("recipe") or {}).get("spacing") or [0]) or None


Rule = Callable[[Facts], str | None]
"""The advice, or None where this plan leaves no room for it."""


def next_steps(need: Need, facts: Facts) -> tuple[str, ...]:
    """At most MOST pieces of advice, the most promising first."""
    found = [words for rule in RULES[need] if (words := rule(facts)) is not None]
    return tuple(found[:MOST])


def sentence(steps: Sequence[str]) -> str:
    """``Try a, b or c.``, or nothing."""
    if not steps:
        return ""
    *first, last = steps
    return f"Try {', '.join(first)} or {last}." if first else f"Try {last}."


def _shorter(f: Facts) -> str | None:
    # Near the end there is nothing to cut.
    usable = f.best_epoch is not None and 1 < f.best_epoch <= 0.8 * f.epochs
    return f"fewer epochs (--epochs {f.best_epoch})" if usable else None


def _decay(f: Facts) -> str | None:
    if f.optimizer in DECAYING:
        return None
    took = f", not {f.optimizer}" if f.optimizer else ""
    return f"weight decay (--optimizer adamw{took})"


def _smoothing(f: Facts) -> str | None:
    # Where masks teach, Dice does more than softer labels.
    return None if f.located or f.plan.get("loss") == "label-smoothing" else "softer labels (--loss label-smoothing)"


def _narrower(f: Facts) -> str | None:
    half = (f.width or 0) // 2 // WIDTH_STEP * WIDTH_STEP
    return f"a smaller network (width: {half} in the plan, not {f.width})" if half >= WIDTH_STEP else None


def _wider(f: Facts) -> str | None:
    if not f.width or 2 * f.width > WIDEST:
        return None
    return f"a larger network (width: {2 * f.width} in the plan, not {f.width})"


def _finer(f: Facts) -> str | None:
    if f.side:
        return f"larger pictures (--size {2 * f.side}, not {f.side})"
    return f"a finer grid (--spacing {f.spacing / 2:.2g}, not {f.spacing:g})" if f.spacing else None


def _longer(f: Facts) -> str | None:
    if minutes := f.number("minutes"):
        return f"more time (--minutes {2 * minutes:g}, not {minutes:g})"
    epochs = f.number("epochs") or f.epochs
    longer = max(2 * epochs, FEWEST_EPOCHS)
    return f"more epochs (--epochs {longer:g}, not {epochs:g})" if epochs else "more epochs"


def _faster(f: Facts) -> str | None:
    rate = f.number("learning_rate")
    return (
        f"a larger learning rate (--learning-rate {3 * rate:.1g}, not {rate:g})" if rate else "a larger learning rate"
    )


def _slower(f: Facts) -> str | None:
    rate = f.number("learning_rate")
    if not rate:
        return "a smaller learning rate"
    return f"a smaller learning rate (--learning-rate {rate / 3:.1g}, not {rate:g})"


def _default_optimizer(f: Facts) -> str | None:
    return None if f.optimizer in (None, "adamw") else f"another optimizer (--optimizer adamw, not {f.optimizer})"


def _larger_batch(f: Facts) -> str | None:
    batch = f.number("batch")
    return f"a larger batch (--batch {2 * batch:g}, not {batch:g})" if batch else "a larger batch"


def _always(words: str) -> Rule:
    return lambda _: words


RULES: dict[Need, tuple[Rule, ...]] = {
    "less freedom": (_decay, _smoothing, _shorter, _narrower, _always("more augmentation (strength in the plan)")),
    "more learning": (_longer, _faster, _wider),
    "another rate": (_default_optimizer, _faster, _slower),
    "calm": (_slower, _larger_batch, _default_optimizer, _always("more validation studies")),
    "longer": (_longer,),
    "more capacity": (_finer, _wider, _smoothing),
}
