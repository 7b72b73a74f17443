"""Pure torch: arrays in, arrays out."""

from secondread.models.loss import LOSSES, Loss, loss_for, total
from secondread.models.network import BACKBONES, NetworkSpec, SecondReader, build
from secondread.models.precision import Precision, bfloat16_units, in_words, precision_of
from secondread.models.task import LESION, Output, Target, Task

__all__ = [
    "BACKBONES",
    "LESION",
    "LOSSES",
    "Loss",
    "NetworkSpec",
    "Output",
    "Precision",
    "SecondReader",
    "Target",
    "Task",
    "bfloat16_units",
    "build",
    "in_words",
    "loss_for",
    "precision_of",
    "total",
]
