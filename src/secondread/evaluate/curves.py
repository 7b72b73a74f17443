"""What the training did: accuracy and loss per epoch in one picture, and a verdict in words.

The rule, on losses that are smoothed by a centred running mean (a fifth of the epochs wide, 3 to WIDEST_WINDOW). Jitter
is the standard deviation of the validation loss about its own course, from its second differences, which cancel any
steady fall; a smoothed loss errs by the jitter over the root of the window's width.

1. A loss that is not a finite number: *too noisy to say*.
2. Fewer than MIN_EPOCHS epochs: *too few epochs*.
3. *Too noisy to say*: the jitter is more than NOISE_SHARE of what the smoothed validation loss moves in all, and more
   than LEVEL_SHARE of its level.
4. *Overfit*: from its lowest point to the last epoch the smoothed validation loss rose by more than LEVEL_SHARE of its
   level and more than ERRORS times its error, while the training loss fell. Where the training loss rose too, the run
   came apart: *too noisy to say*.
5. *Underfit*: neither loss fell by LEVEL_SHARE of its first value; or the validation loss was still falling at the
   end, over the last quarter by more than LEVEL_SHARE of its level and ERRORS times its error.
6. Else it *fits*. A gap of more than GAP_POINTS between training and validation accuracy is said, and is no overfit as
   long as the validation loss does not rise.

What to try next stands in :mod:`secondread.evaluate.advice`. docs/figures.md has the rule for readers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from secondread.errors import DataError, UsageError
from secondread.evaluate.advice import Facts, Need, next_steps
from secondread.evaluate.advice import sentence as advice_sentence

MIN_EPOCHS = 5
NOISE_SHARE = 1 / 3
LEVEL_SHARE = 0.05
GAP_POINTS = 10.0
ERRORS = 3.0
"""A rise or fall counts from so many standard errors of a smoothed loss on: two of a difference, and some for having
looked for the lowest point."""
WIDEST_WINDOW = 15

Kind = Literal["underfit", "fits", "overfit", "too few epochs", "too noisy to say"]
Epoch = dict[str, Any]
"""One line of history.jsonl."""

WATCHED = ("accuracy", "dice", "presence_auc")
"""What the upper panel shows: the first that any epoch holds."""


@dataclass(frozen=True)
class Verdict:
    """What the curves say.

    Attributes:
        kind: see the module's rule.
        sentence: for a person: which epoch was best, how much worse the last one is, what to try.
        points: accuracy that validation lost since the best epoch, in percentage points, where the run overfits.
        steps: what to try next, from what the plan has not used yet.
        best_epoch: epoch of the lowest smoothed validation loss; None where there is none.
        kept_epoch: epoch whose model was kept.
    """

    kind: Kind
    sentence: str
    best_epoch: int | None = None
    kept_epoch: int | None = None
    points: float | None = None
    steps: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def read_history(run: Path) -> list[Epoch]:
    """The epochs of RUN/history.jsonl; a last line cut short by a kill is left out.

    Raises:
        UsageError: no history there. DataError: a line that is no JSON object.
    """
    path = run / "history.jsonl"
    if not path.is_file():
        raise UsageError(f"{run} holds no history.jsonl; give the folder that `secondread train -o` wrote")
    lines = path.read_text(encoding="utf-8").splitlines()
    epochs: list[Epoch] = []
    for number, line in enumerate(lines, 1):
        try:
            epoch = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines):
                break
            raise DataError(f"{path}, line {number}: not JSON ({error.msg})") from error
        if not isinstance(epoch, dict) or "epoch" not in epoch:
            raise DataError(f"{path}, line {number}: an epoch is a JSON object with the key 'epoch'")
        epochs.append(epoch)
    return epochs


def series(history: Sequence[Epoch], part: str, name: str) -> NDArray[np.float64]:
    """One value per epoch, NaN where absent: ``series(history, "validation", "loss")``."""
    values = [(epoch.get(part) or {}).get(name) for epoch in history]
    return np.array([math.nan if value is None else float(value) for value in values], np.float64)


def watched(history: Sequence[Epoch]) -> str | None:
    """Which of WATCHED the run recorded."""
    for name in WATCHED:
        if any(np.isfinite(series(history, part, name)).any() for part in ("train", "validation")):
            return name
    return None


def kept(history: Sequence[Epoch]) -> int | None:
    """Position of the epoch whose model was kept: the last one marked best."""
    marked = [position for position, epoch in enumerate(history) if epoch.get("best")]
    return marked[-1] if marked else None


def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centred running mean; at the ends the mean of the part of the window that there is, so that a single last epoch
    decides nothing."""
    reach = (_window(len(values)) - 1) // 2
    return np.array([values[max(0, t - reach) : t + reach + 1].mean() for t in range(len(values))])


def verdict(history: Sequence[Epoch], plan: Mapping[str, Any] | None = None) -> Verdict:
    """Judge the curves by the rule at the head of this module. ``plan``: the content of plan.json, for the advice."""
    position = kept(history)
    train, held = series(history, "train", "loss"), series(history, "validation", "loss")
    finite = [p for p in range(len(history)) if np.isfinite(held[p]) and np.isfinite(train[p])]
    facts = Facts(plan or {}, None, len(history))
    if len(history) >= 1 and len(finite) < len(history) and _recorded(history):
        first = next(p for p in range(len(history)) if p not in finite)
        words = f"The loss was no finite number in epoch {history[first]['epoch']}: the run came apart."
        found = _Found("too noisy to say", words, "calm")
    elif len(finite) < MIN_EPOCHS:
        words = (
            f"{len(finite)} epoch{'s' if len(finite) != 1 else ''} with a validation loss: curves say something from "
            f"{MIN_EPOCHS} on."
        )
        found = _Found("too few epochs", words, "longer")
    else:
        smoothed = smooth(held)
        best = int(smoothed.argmin())
        facts = Facts(plan or {}, int(history[best]["epoch"]), len(history))
        found = _judge(history, smooth(train), smoothed, _jitter(held))
    steps = () if found.need is None else next_steps(found.need, facts)
    return Verdict(
        found.kind,
        f"{found.words} {advice_sentence(steps)} {found.last}".replace("  ", " ").strip(),
        facts.best_epoch,
        None if position is None else int(history[position]["epoch"]),
        found.points,
        steps,
    )


@dataclass(frozen=True)
class _Found:
    """What the rule found: what is wrong, in words; what the run needs; what is said after the advice."""

    kind: Kind
    words: str
    need: Need | None
    last: str = ""
    points: float | None = None


def _judge(history: Sequence[Epoch], train: NDArray[np.float64], held: NDArray[np.float64], jitter: float) -> _Found:
    best = int(held.argmin())
    level = abs(float(held[best])) or 1.0
    moved = float(held.max() - held.min())
    rise = float(held[-1] - held[best])
    epoch = history[best]["epoch"]
    standing = f"Validation loss was lowest in epoch {epoch} ({held[best]:.3g}, smoothed)"
    if jitter > NOISE_SHARE * moved and jitter > LEVEL_SHARE * level:
        words = f"The validation loss jumps by {jitter:.2g} from epoch to epoch and moves by {moved:.2g} in all."
        return _Found("too noisy to say", words, "calm")
    standard_error = jitter / math.sqrt(_window(len(held)))
    if rise > LEVEL_SHARE * level and rise > ERRORS * standard_error:
        if train[-1] >= train[best]:
            return _Found("too noisy to say", f"{standing}, then both losses rose: the run came apart.", "calm")
        points = _accuracy_lost(history, best)
        words = (
            f"Overfit since epoch {epoch}: validation loss was lowest there ({held[best]:.3g}, smoothed) and by epoch "
            f"{history[-1]['epoch']} it had risen by {rise:.2g} ({100 * rise / level:.0f} %) while the training loss "
            f"went on falling{_points_words(points)}.{_spared(history, best)}"
        )
        return _Found("overfit", words, "less freedom", "More patients help most.", points)
    if _fall(train) < LEVEL_SHARE and _fall(held) < LEVEL_SHARE:
        words = f"Neither loss fell by {100 * LEVEL_SHARE:.0f} % of where it began: nothing was learned."
        return _Found("underfit", words, "another rate", "And look whether labels and pictures belong together.")
    quarter = held[-max(3, len(held) // 4) :]
    if float(quarter[0] - quarter[-1]) > max(LEVEL_SHARE * level, ERRORS * standard_error):
        return _Found("underfit", f"{standing} and was still falling at the end.", "more learning")
    gap = _gap(history)
    wide = gap is not None and gap > GAP_POINTS
    words = f"{standing} and had not risen by the last{_gap_words(gap)}."
    return _Found("fits", words, "less freedom" if wide else "more capacity", "More patients may close the gap." * wide)


def _accuracy_lost(history: Sequence[Epoch], best: int) -> float | None:
    """Percentage points of smoothed validation accuracy, from the best epoch to the last."""
    values = series(history, "validation", "accuracy")
    if not np.isfinite(values).all():
        return None
    smoothed = smooth(values)
    return 100 * float(smoothed[best] - smoothed[-1])


def _points_words(points: float | None) -> str:
    if points is None:
        return ""
    if points > 0.5:
        return f"; validation accuracy lost {points:.1f} points"
    return f"; validation accuracy did not suffer ({-points:+.1f} points), its probabilities did"


def _spared(history: Sequence[Epoch], best: int) -> str:
    position = kept(history)
    if position is None or abs(position - best) > max(1, len(history) // 10):
        return ""
    return f" The model kept is that of epoch {history[position]['epoch']}, from before it."


def _gap(history: Sequence[Epoch]) -> float | None:
    """Percentage points by which training accuracy ends above validation."""
    train, held = series(history, "train", "accuracy"), series(history, "validation", "accuracy")
    if not (np.isfinite(train).all() and np.isfinite(held).all()):
        return None
    return 100 * float(smooth(train)[-1] - smooth(held)[-1])


def _gap_words(points: float | None) -> str:
    if points is None:
        return ""
    if points <= GAP_POINTS:
        return f"; training and validation accuracy end {abs(points):.1f} points apart"
    return (
        f", though training accuracy ends {points:.0f} points above validation: the model knows its training studies "
        "by heart"
    )


def _recorded(history: Sequence[Epoch]) -> bool:
    """Whether any epoch recorded both losses, so that a missing one is a breakdown and not a plan without them."""
    return any("loss" in (e.get("train") or {}) for e in history) and any(
        "loss" in (e.get("validation") or {}) for e in history
    )


def _jitter(values: NDArray[np.float64]) -> float:
    # Second differences cancel any steady fall, which is no noise; their variance is six times that of white noise.
    return float(np.median(np.abs(np.diff(values, 2))) / 0.6745 / math.sqrt(6))


def _fall(values: NDArray[np.float64]) -> float:
    return float(values[0] - values.min()) / (abs(float(values[0])) or 1.0)


def _window(epochs: int) -> int:
    width = min(WIDEST_WINDOW, max(3, epochs // 5))
    return width if width % 2 else width - 1
