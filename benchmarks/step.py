"""How long a training step of the default networks takes, channels last against channels first, in one run.

    python benchmarks/step.py [--repeats 5]

Prints one JSON object: median CPU seconds a step for each layout, in turn, and their ratio.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import torch

from secondread.models import NetworkSpec, build

CASES = {
    "pictures": (NetworkSpec("segresnet", 2, 1, 3, width=24), 16, (160, 160)),
    "volumes": (NetworkSpec("segresnet", 3, 4, 1, width=16), 2, (80, 96, 80)),
}


def step_seconds(spec: NetworkSpec, batch: int, size: tuple[int, ...], layout: torch.memory_format) -> float:
    """CPU seconds of one forward and backward pass, after one that is not counted."""
    torch.manual_seed(0)
    network = build(spec).to(memory_format=layout)  # type: ignore[call-overload]
    images = torch.randn(batch, spec.channels, *size)
    for _ in range(2):
        began = time.process_time()
        out = network(images)
        (out.evidence.square().mean() + out.presence.sum() + out.category.sum()).backward()
        seconds = time.process_time() - began
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    result = {}
    for name, (spec, batch, size) in CASES.items():
        last = torch.channels_last if spec.dimensions == 2 else torch.channels_last_3d
        pairs = [
            (step_seconds(spec, batch, size, torch.contiguous_format), step_seconds(spec, batch, size, last))
            for _ in range(repeats)
        ]
        result[name] = {
            "channels_first_s": round(statistics.median(a for a, _ in pairs), 3),
            "channels_last_s": round(statistics.median(b for _, b in pairs), 3),
            "ratio": round(statistics.median(a / b for a, b in pairs), 2),
        }
    print(json.dumps({"threads": torch.get_num_threads(), **result}))


if __name__ == "__main__":
    main()
