"""How long it takes from the start of a process to the first batch out of a store of thousands of studies.

    python benchmarks/opening.py [--studies 2500] [--repeats 5]

Simulates a few small heads, packs them, and copies the packed cases under other names until there are so many. Then
each of so many fresh processes opens the store and draws a batch. Prints one JSON object: median seconds to the first
batch, with and without the start of Python and its imports, and how many files the process opened below the store.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CHILD = """
import sys, time
opened = []
def note(event, args):
    if event in ("open", "os.listdir", "os.scandir"):
        opened.append(str(args[0]))
sys.addaudithook(note)
import torch
from secondread.store import Feed, Store
began = time.time()
store = Store.open(sys.argv[1])
feed = Feed(store, store.cases, ("glioma",), patch=(32, 32, 32), batch=2, seed=0)
batch = next(iter(feed.epoch(0, 1)))
assert len(batch.studies) == 2
ended = time.time()
print(began, ended, sum(name.startswith(sys.argv[1]) for name in opened))
"""


def make(folder: Path, studies: int) -> Path:
    """A store of so many studies."""
    from starvation import multiply

    from secondread.index import build_index
    from secondread.simulate import Settings, write_studies
    from secondread.store import pack
    from secondread.volume import Recipe

    write_studies(folder / "scans", 10, 0, Settings(spacing=3.0, contrasts=("t1",)))
    rows = build_index([folder / "scans"]).rows()
    store = pack(rows, Recipe(("t1",), spacing=(3.0, 3.0, 3.0)), folder / "store").folder
    multiply(store, copies=studies - len(rows))
    return store


def measure(store: Path) -> tuple[float, float, int]:
    """Seconds from the start of a process to its first batch, seconds of that after its imports, files opened."""
    began = time.time()
    printed = subprocess.run(
        [sys.executable, "-c", CHILD, str(store)], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    imported, ended, opened = printed.split()
    return float(ended) - began, float(ended) - float(imported), int(opened)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2500)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = make(Path(folder), args.studies)
        times = [measure(store) for _ in range(args.repeats)]
        result: dict[str, Any] = {
            "studies": args.studies,
            "first_batch_s": round(statistics.median(whole for whole, _, _ in times), 2),
            "of_that_after_imports_s": round(statistics.median(own for _, own, _ in times), 2),
            "files_opened": times[0][2],
        }
        print(json.dumps(result))


if __name__ == "__main__":
    main()
