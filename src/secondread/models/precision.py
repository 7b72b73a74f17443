"""In how many bits a network is trained: bfloat16 where hardware computes in it."""

from __future__ import annotations

from typing import Literal

import torch

from secondread.errors import UsageError

Precision = Literal["auto", "float32", "bfloat16"]

UNITS = ("avx512_bf16", "amx_bf16")
"""What a CPU with which bfloat16 was found to be quicker multiplies in it with; without, torch emulates it, slowly."""


def precision_of(wanted: Precision, device: str, dimensions: int) -> torch.dtype:
    """What ``wanted`` comes to for a network of so many dimensions on a device.

    bfloat16 has the range of float32, so that no loss needs to be scaled. On a CPU it is for pictures alone: the
    gradient of a convolution's weights over small volumes is wrong there (torch 2.13, AVX-512: where the deepest
    features are two voxels wide it differs from call to call, and may be infinite), and little would be gained.

    Raises:
        UsageError: bfloat16 is wanted for volumes on a CPU.
    """
    cpu_volumes = torch.device(device).type == "cpu" and dimensions == 3
    if wanted == "auto":
        wanted = "bfloat16" if computes_in_bfloat16(device) and not cpu_volumes else "float32"
    if wanted == "bfloat16" and cpu_volumes:
        raise UsageError("volumes are not trained in bfloat16 on a CPU, where gradients come out wrong: leave it away")
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[wanted]


def computes_in_bfloat16(device: str) -> bool:
    """Whether the device has hardware for it."""
    if torch.device(device).type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(bfloat16_units())


def bfloat16_units() -> list[str]:
    """What the CPU multiplies in bfloat16 with; empty where it does not."""
    has = torch.cpu.get_capabilities()
    return [name for name in UNITS if has.get(name)]


def in_words(precision: torch.dtype) -> str:
    """As plans name it."""
    return str(precision).removeprefix("torch.")
