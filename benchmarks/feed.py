"""How fast, and with how much memory, the feed brings random patches of four-contrast volumes to a training loop.

    python benchmarks/feed.py [DIR] [-n 400] [--peer SCRIPT --peer-python PYTHON] [--methods nnunet-blosc2,...]

DIR holds cases as ``NAME_t1.nii.gz NAME_t1ce.nii.gz NAME_t2.nii.gz NAME_flair.nii.gz NAME_seg.nii.gz``; the store is
packed beside it. Without DIR, six heads are simulated. Work: batches of 2 patches of 96^3 x 4 float32 and their masks,
at uniform corners, 2 cores.

With a peer's script (``SCRIPT run METHOD DIR -n N`` prints the same JSON), its methods run in turn with ours, each in a
process of its own, and the ratios are printed: machines are noisy, and only figures of one run compare.

``--times 10`` packs and feeds every case ten times under other names: memory must not grow with them.

Prints one JSON object per method: patches per second (first batch included), seconds to prepare and to the first batch,
peak unique memory of the process and its children (MiB), disk (MiB); then the ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from secondread.simulate import Settings, write_studies

PATCH, BATCH = (96, 96, 96), 2
CONTRASTS = ("t1", "t1c", "t2", "flair")


class PeakMemory(threading.Thread):
    """Unique set size of this process and its children, in MiB, looked at five times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0.0

    def run(self) -> None:
        import psutil

        me = psutil.Process()
        while True:
            total = 0
            for process in [me, *me.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    total += process.memory_full_info().uss
            self.peak = max(self.peak, total / 2**20)
            time.sleep(0.2)


def store_of(folder: Path) -> Path:
    return folder.parent / f"{folder.name}.secondread"


def pack_cases(folder: Path, store: Path, times: int) -> dict[str, Any]:
    """Find the cases of ``folder`` and pack them anew, each so many times; what it took."""
    memory = PeakMemory()
    memory.start()
    began = time.perf_counter()
    from secondread.index import build_index
    from secondread.store import pack
    from secondread.volume import Recipe

    shutil.rmtree(store, ignore_errors=True)
    found = build_index([folder]).rows()
    indexed = time.perf_counter()
    rows = [replace(row, study=f"{row.study}-{n}") for n in range(times) for row in found]
    pack(rows, Recipe(CONTRASTS, spacing=(1.0, 1.0, 1.0)), store)
    ended = time.perf_counter()
    return {
        "cases": len(rows),
        "index_s": round(indexed - began, 1),
        "pack_s": round(ended - indexed, 1),
        "cases_per_minute": round(60 * len(rows) / (ended - indexed + (indexed - began) * times), 1),
        "pack_peak_mib": round(memory.peak),
    }


def run_feed(store: Path, patches: int, memory_mib: int) -> dict[str, Any]:
    """Our figures, without what preparing took."""
    memory = PeakMemory()
    memory.start()
    import torch

    from secondread.store import Feed, Store

    torch.set_num_threads(1)
    began = time.perf_counter()
    opened = Store.open(store)
    feed = Feed(
        opened, opened.cases, ("lesion",), patch=PATCH, batch=BATCH, seed=0,
        memory=memory_mib << 20, foreground=0.0, drop=False,
    )  # fmt: skip
    first, done = 0.0, 0
    for batch in feed.epoch(0, patches // BATCH):
        done += len(batch.studies)
        first = first or time.perf_counter() - began
    seconds = time.perf_counter() - began
    return {
        "method": "secondread",
        "patches_per_second": round(done / seconds, 2),
        "first_batch_s": round(first, 2),
        "peak_mib": round(memory.peak),
        "disk_mib": round(sum(file.stat().st_size for file in store.rglob("*") if file.is_file()) / 2**20),
    }


def in_child(command: list[str]) -> dict[str, Any]:
    """The last line that a command prints, as JSON."""
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    answer: dict[str, Any] = json.loads(printed.strip().splitlines()[-1])
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("-n", type=int, default=400, help="patches")
    parser.add_argument("--memory", type=int, default=280, help="MiB that our feed may hold, beside what torch takes")
    parser.add_argument("--peer", type=Path, help="script that runs other libraries")
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--methods", default="nnunet-blosc2,monai-persistent,torchio")
    parser.add_argument("--rounds", type=int, default=2, help="times that all methods run in turn")
    parser.add_argument("--times", type=int, default=1, help="copies of every case")
    parser.add_argument("--child", choices=("pack", "feed"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child == "pack":
        return print(json.dumps(pack_cases(args.folder, store_of(args.folder), args.times)))
    if args.child == "feed":
        return print(json.dumps(run_feed(store_of(args.folder), args.n, args.memory)))
    if args.folder is None:
        with tempfile.TemporaryDirectory() as made:
            args.folder = Path(made) / "cases"
            write_studies(args.folder, 6, 0, Settings(spacing=1.0, contrasts=CONTRASTS))
            return compare(args)
    return compare(args)


def compare(args: argparse.Namespace) -> None:
    """Pack, then run all methods in turn and print."""
    me = [sys.executable, __file__, str(args.folder)]
    packed = in_child([*me, "--times", str(args.times), "--child", "pack"])
    ours = [*me, "-n", str(args.n), "--memory", str(args.memory), "--child", "feed"]
    theirs = {
        method: [args.peer_python, str(args.peer), "run", method, str(args.folder), "-n", str(args.n)]
        for method in (args.methods.split(",") if args.peer else ())
    }
    ratios: dict[str, list[float]] = {method: [] for method in theirs}
    for _ in range(args.rounds):
        mine = in_child(ours) | packed
        print(json.dumps(mine), flush=True)
        for method, command in theirs.items():
            other = in_child(command)
            print(json.dumps(other), flush=True)
            ratios[method].append(round(mine["patches_per_second"] / other["patches_per_second"], 2))
    if ratios:
        print(json.dumps({"times_as_fast_as": ratios}))


if __name__ == "__main__":
    main()
