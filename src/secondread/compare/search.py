"""Plans proposed by Optuna: a tree-structured Parzen estimator (Bergstra, NeurIPS 2011) learns from each answer.

Nothing of the search itself is kept on disk. Its draws are seeded, so that the same command proposes the same plans;
those that are trained already answer at once, and a longer search begins as the shorter one did.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any

from secondread.compare.choices import Choices
from secondread.errors import UsageError

AT_RANDOM = 10
"""So many plans are drawn before the estimator learns from them; fixed, so that more trials change none before."""


def require_optuna() -> Any:
    """The module optuna. Raises UsageError, which says how to install it, where it is not there."""
    try:
        import optuna
    except ImportError as error:
        raise UsageError(
            "--search needs Optuna, which is not installed: pip install 'secondread[search]' (in a clone: "
            "pip install -c constraints.txt -e '.[search]'), or leave --search away to train every combination"
        ) from error
    return optuna


def proposals(choices: Choices, seed: int) -> Generator[dict[str, Any], float, None]:
    """Overrides to try, ``choices.trials`` times; send back how good they were (higher is better, NaN: diverged).

    Learning rates are drawn on a logarithmic scale and kept to three digits.

    Raises:
        UsageError: Optuna is not installed.
    """
    optuna = require_optuna()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=AT_RANDOM)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for _ in range(choices.trials or 0):
        trial = study.ask()
        chosen = {
            axis: trial.suggest_categorical(axis, list(values)) if len(values) > 1 else values[0]
            for axis, values in choices.lists.items()
        }
        if "learning_rate" not in chosen:
            low, high = choices.rates(chosen["optimizer"])
            # Between the ends, 0 to 1: what is learned about one optimiser's range then serves the others.
            share = trial.suggest_float("learning_rate", 0.0, 1.0)
            chosen["learning_rate"] = float(f"{low * (high / low) ** share:.3g}")
        value = yield chosen
        if math.isfinite(value):
            study.tell(trial, value)
        else:
            # Ranked behind all that came through, where a failed trial would teach nothing.
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
