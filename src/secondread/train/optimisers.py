"""Optimisers by name, with the defaults that the plan takes and when to pick which."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from secondread.errors import UsageError


@dataclass(frozen=True)
class OptimizerKind:
    """One optimiser: how torch calls it, its defaults, and when it is the one to pick.

    Attributes:
        scheduled: whether the learning rate may change from step to step. Rprop reads it once, before its first step.
    """

    make: Callable[..., torch.optim.Optimizer]
    learning_rate: float
    defaults: dict[str, Any]
    when: str
    scheduled: bool = True


# Fused: one pass over weights, gradients and moments instead of one for each operation, on every device.
OPTIMIZERS: dict[str, OptimizerKind] = {
    "adamw": OptimizerKind(
        torch.optim.AdamW,
        2e-3,
        {"weight_decay": 1e-2, "fused": True},
        "the default: one learning rate suits most networks, decoupled weight decay helps on small data",
    ),
    "adam": OptimizerKind(
        torch.optim.Adam,
        2e-3,
        {"fused": True},
        "as adamw, without weight decay: to compare with published runs that used it",
    ),
    "rmsprop": OptimizerKind(
        torch.optim.RMSprop,
        3e-4,
        {"alpha": 0.99},
        "scales each step by the recent size of its gradient; robust with small batches, noisier at the end than adamw",
    ),
    "sgd": OptimizerKind(
        torch.optim.SGD,
        2e-2,
        {"momentum": 0.9, "nesterov": True, "weight_decay": 1e-4, "fused": True},
        "slowest to start, often the best in the end when there are many epochs; needs its learning rate looked after",
    ),
    "rprop": OptimizerKind(
        torch.optim.Rprop,
        1e-3,
        {},
        "uses only the gradient's sign: made for full batches; with small ones the signs are noise and it goes astray",
        scheduled=False,
    ),
}


def optimizer_for(name: str, parameters: Iterable[nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
    """The optimiser called ``name``. Raises UsageError with the known names."""
    return kind_of(name).make(parameters, lr=learning_rate, **kind_of(name).defaults)


def kind_of(name: str) -> OptimizerKind:
    """What is known of the optimiser called ``name``. Raises UsageError with the known names."""
    if name not in OPTIMIZERS:
        raise UsageError(f"no optimizer called {name!r}; there are {', '.join(OPTIMIZERS)}")
    return OPTIMIZERS[name]
