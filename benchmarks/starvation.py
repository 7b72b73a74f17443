"""Which share of a training's time its steps wait for data, with the store ten times the feed's memory.

    python benchmarks/starvation.py [--steps 60] [--cases 8] [--device auto]

Simulates four-contrast heads at 1 mm, plans and packs them as ``train`` does, copies the packed cases under other names
until the store is ten times the smallest memory that the plan's feed can work with, and times the steps of the loop:
waiting for the batch, and everything else. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from secondread.index import build_index
from secondread.models import loss_for, total
from secondread.simulate import Settings, write_studies
from secondread.store import SPEC, Feed, Store, least_memory
from secondread.store.sealed import seal, unseal
from secondread.train import pack_data, plan_for
from secondread.train.augment import apply, draw
from secondread.train.loop import average, new_state
from secondread.train.validate import target_of


def multiply(store: Path, copies: int) -> None:
    """Copy the blocks of a store of volumes under other names, so many times in all."""
    spec = store / SPEC
    content = unseal(spec.read_bytes(), spec)
    blocks, cases = list(content["blocks"]), list(content["cases"])
    for number in range(copies):
        block, case = blocks[number % len(blocks)], cases[number % len(cases)]
        key = f"{number:032x}"
        shutil.copytree(store / "cases" / block["key"], store / "cases" / key)
        content["blocks"].append({**block, "key": key})
        content["cases"].append({**case, "block": key, "study": f"copy-{number}"})
    spec.write_bytes(seal(content))


def size_of(folder: Path) -> int:
    """Bytes of its files."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def measure(steps: int, cases: int, device: str, folder: Path) -> dict[str, Any]:
    settings = Settings(spacing=1.0, contrasts=("t1", "t1c", "t2", "flair"))
    index = build_index([write_studies(folder / "scans", cases, 0, settings)])
    plan = plan_for(index, {"dimensions": 3}, device=device)
    pack_data(index, folder / "store", plan)
    memory = least_memory(plan.recipe, plan.patch, plan.batch)
    held = size_of(folder / "store")
    multiply(folder / "store", int((10 * memory - held) / held * cases) + 1)
    store = Store.open(folder / "store")
    feed = Feed(store, store.cases, plan.task.categories, patch=plan.patch, batch=plan.batch, seed=0, memory=memory)
    state, loss = new_state(plan, device), loss_for(plan.loss)
    waited, worked, mark = [], [], time.perf_counter()
    for step, batch in enumerate(feed.epoch(0, steps)):
        came = time.perf_counter()
        target = target_of(batch, device)
        images, masks = apply(batch.images.to(device), target.masks, draw(batch.images, plan.strength, step))
        value = total(loss(state.network(images), replace(target, masks=masks), plan.task))
        state.optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        state.optimizer.step()
        average(state, step)
        if device == "cuda":
            torch.cuda.synchronize()
        done = time.perf_counter()
        waited.append(came - mark)
        worked.append(done - came)
        mark = done
    # The first step waits for the first reads, once in a training.
    return {
        "device": device,
        "plan": list(plan.reasons),
        "feed_mib": memory >> 20,
        "store_mib": size_of(store.folder) >> 20,
        "step_s": round(sum(worked[1:]) / (steps - 1), 4),
        "wait_s": round(sum(waited[1:]) / (steps - 1), 5),
        "starved_percent": round(100 * sum(waited[1:]) / (sum(waited[1:]) + sum(worked[1:])), 2),
        "first_wait_s": round(waited[0], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--cases", type=int, default=8)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    args = parser.parse_args()
    device = ("cuda" if torch.cuda.is_available() else "cpu") if args.device == "auto" else args.device
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(args.steps, args.cases, device, Path(folder)), indent=2))


if __name__ == "__main__":
    main()
