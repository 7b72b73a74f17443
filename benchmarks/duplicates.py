"""How long near-duplicates take to be found among many thumbprints, how much memory, and how many are found.

    python benchmarks/duplicates.py [--prints 100000 1000000]

The thumbprints are of slices of simulated heads, each bent, shaded and given texture of its own, so that all look like
heads and no two are the same; one in a hundred is a copy of another, turned, or cropped by up to 8 % a side. Prints one
JSON object a size: seconds by stage, seconds of processor time, the process's peak memory, the share of copies found,
pairs that are no copies; and last what ten million would take, from the largest size and how each stage grows.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.index.duplicates import SIDE, find_pairs, thumbprint
from secondread.index.likeness import sampling
from secondread.index.turns import turns_of
from secondread.simulate import simulate_study
from secondread.volume import Picture

HEADS = 40
CHUNK = 4096
COPIES = 0.01
MANY = 10_000_000
GROWTH = {"describing scans": 1.0, "looking for near-duplicates": 1.5, "comparing look-alikes": 1.0}
"""Powers of the number of prints n: lists to search are as many as the root of n."""

Prints = NDArray[np.uint8]


def slices() -> NDArray[np.float32]:
    """(n, SIDE, SIDE) of all slices, in three planes, of HEADS simulated heads."""
    found = []
    for seed in range(HEADS):
        study, _, _, _ = simulate_study(70_000 + seed)
        voxels = list(study.series.values())[seed % len(study.series)].voxels
        grey = (np.clip(voxels / np.percentile(voxels, 99.7), 0, 1) * 255).astype(np.uint8)
        for axis in range(3):
            planes = np.moveaxis(grey, axis, 0)
            planes = planes[len(planes) // 5 : -(len(planes) // 5)]
            found += [np.frombuffer(thumbprint(Picture(np.ascontiguousarray(p)[..., None])), np.uint8) for p in planes]
    return np.stack(found).reshape(-1, SIDE, SIDE).astype(np.float32)


def varied(base: NDArray[np.float32], count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(count, SIDE, SIDE): slices drawn from ``base``, each bent along both axes, shaded and textured anew."""
    picked = base[rng.integers(len(base), size=count)]
    bends = [_bend(rng, count) for _ in range(2)]
    bent = bends[0] @ picked @ bends[1].swapaxes(1, 2)
    coarse, fine = (_field(rng, count, cells) for cells in (4, 16))
    return np.asarray(bent * (1 + 0.25 * coarse) * (1 + 0.35 * fine), np.float32)


def _bend(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    """(count, SIDE, SIDE) weights that move each cell by up to about three, smoothly."""
    at = np.arange(SIDE, dtype=np.float32)
    waves = np.stack([np.sin(np.pi * k * (at + 0.5) / SIDE) for k in (1, 2, 3)])
    moved = at + (rng.normal(0, 1.2, (count, 3)).astype(np.float32) @ waves)
    near = np.abs(np.clip(moved, 0, SIDE - 1)[:, :, None] - at)
    return np.asarray(np.maximum(1 - near, 0), np.float32)


def _field(rng: np.random.Generator, count: int, cells: int) -> NDArray[np.float32]:
    """(count, SIDE, SIDE) smooth noise of ``cells`` a side."""
    scale = cells / SIDE
    fit = np.array([scale, 0], np.float32)
    at = fit[0] * (np.arange(SIDE) - (SIDE - 1) / 2) + (cells - 1) / 2
    weights = np.maximum(1 - np.abs(np.clip(at, 0, cells - 1)[:, None] - np.arange(cells)), 0).astype(np.float32)
    return np.asarray(weights @ rng.normal(0, 1, (count, cells, cells)).astype(np.float32) @ weights.T, np.float32)


def copied(prints: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Every second one turned, the others cropped; all with a little noise, as another compression leaves it."""
    out = np.empty_like(prints)
    turns = turns_of(1)
    for n, cells in enumerate(prints):
        if n % 2:
            out[n] = turns[rng.integers(1, len(turns))].of(cells[None])[0]
        else:
            low, high = rng.uniform(0, 0.08, 2), rng.uniform(0, 0.08, 2)
            fit = np.stack([1 - low - high, (low - high) / 2 * SIDE], axis=1).astype(np.float32)
            rows, columns = (sampling(side, SIDE)[0] for side in fit)
            out[n] = rows @ cells @ columns.T
    return out + rng.normal(0, 2, prints.shape).astype(np.float32)


def make(path: Path, base: NDArray[np.float32], count: int, seed: int) -> tuple[Prints, NDArray[np.int64]]:
    """Thumbprints (count, 1, SIDE, SIDE) in a file that is mapped, and the pairs (m, 2) of prints and their copies."""
    rng = np.random.default_rng(seed)
    prints = np.lib.format.open_memmap(path, "w+", np.uint8, (count, 1, SIDE, SIDE))
    pairs = []
    for at in range(0, count, CHUNK):
        size = min(CHUNK, count - at)
        copies = int(COPIES * size)
        cells = np.clip(varied(base, size - copies, rng), 0, 255)
        chosen = rng.choice(size - copies, copies, replace=False)
        cells = np.concatenate([cells, np.clip(copied(cells[chosen], rng), 0, 255)])
        prints[at : at + size, 0] = np.round(cells).astype(np.uint8)
        pairs.append(np.stack([at + chosen, at + size - copies + np.arange(copies)], axis=1))
    prints.flush()
    return prints, np.concatenate(pairs)


def measure(base: NDArray[np.float32], count: int) -> dict[str, Any]:
    stages: dict[str, float] = {}
    last = [time.monotonic()]

    def progress(what: str, _done: int, _total: int) -> None:
        now = time.monotonic()
        stages[what] = stages.get(what, 0.0) + now - last[0]
        last[0] = now

    with tempfile.TemporaryDirectory() as folder:
        prints, planted = make(Path(folder) / "prints.npy", base, count, seed=count)
        last[0] = began = time.monotonic()
        worked = time.process_time()
        pairs, _ = find_pairs(prints, progress)
        seconds, worked = time.monotonic() - began, time.process_time() - worked
    found = {tuple(pair) for pair in pairs.tolist()}
    hits = np.array([tuple(pair) in found for pair in planted.tolist()])
    turned = planted[:, 1] % CHUNK % 2 == (CHUNK - int(COPIES * CHUNK) + 1) % 2
    return {
        "prints": count,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(worked, 1),
        "stages_s": {what: round(spent, 1) for what, spent in stages.items()},
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        "of_which_prints_mib": prints.nbytes >> 20,
        "copies": len(planted),
        "found_turned": round(float(hits[turned].mean()), 4),
        "found_cropped": round(float(hits[~turned].mean()), 4),
        "pairs_that_are_no_copies": len(found) - int(hits.sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prints", type=int, nargs="+", default=[100_000, 1_000_000])
    sizes = sorted(parser.parse_args().prints)
    base = slices()
    for count in sizes:
        last = measure(base, count)
        print(json.dumps(last), flush=True)
    times = MANY / last["prints"]
    grown = {stage: round(spent * times ** GROWTH[stage]) for stage, spent in last["stages_s"].items()}
    print(json.dumps({
        "prints": MANY,
        "extrapolated_seconds": sum(grown.values()),
        "extrapolated_stages_s": grown,
        "extrapolated_peak_mib": round(last["peak_mib"] * times),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
