"""In how many bits a network is trained: bfloat16 where hardware computes in it, at up to twice the speed."""

from __future__ import annotations

import torch

from secondread.train.plan import Precision

UNITS = ("avx512_bf16", "amx_bf16", "bf16")
"""What a CPU that multiplies in bfloat16 calls it, on x86 and ARM; without one, torch emulates it, slowly."""


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
