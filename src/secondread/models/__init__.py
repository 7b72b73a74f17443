"""Pure torch: arrays in, arrays out."""

from secondread.models.loss import LOSSES, Loss, loss_for, total
from secondread.models.network import BACKBONES, NetworkSpec, SecondReader, build
from secondread.models.task import LESION, Output, Target, Task

__all__ = [
    "BACKBONES",
    "LESION",
    "LOSSES",
    "Loss",
    "NetworkSpec",
    "Output",
    "SecondReader",
    "Target",
    "Task",
    "build",
    "loss_for",
    "total",
]
