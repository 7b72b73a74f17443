"""In how many bits a network is trained: bfloat16 where hardware computes in it."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["auto", "float32", "bfloat16"]

UNITS = ("avx512_bf16", "amx_bf16")
"""What a CPU with which bfloat16 was found to be quicker multiplies in it with; without, torch emulates it, slowly."""


def precision_of(wanted: Precision, device: str) -> torch.dtype:
    """What ``wanted`` comes to on a device. bfloat16 has the range of float32, so that no loss needs to be scaled."""
    if wanted == "auto":
        wanted = "bfloat16" if computes_in_bfloat16(device) else "float32"
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
