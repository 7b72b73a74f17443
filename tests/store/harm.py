"""A store under harm: damaged bytes, killed packers, full disks. Counts what came of it.

    python -m tests.store.harm [--damages 1000] [--kills 200] [--full 50]

A short version runs in every check (``test_harm.py``).
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from secondread.errors import ChecksumError, DataError, ResourceError, SecondreadError
from secondread.files import write_flushed
from secondread.store import Store, layout, pack, place
from tests.store.conftest import VOLUMES
from tests.store.scans import FakeRow, volume_row

CASES = 8


def make_rows(folder: Path, cases: int = CASES) -> list[FakeRow]:
    """Small studies on disk, every other with a lesion."""
    return [
        volume_row(folder, f"s{n}", label="glioma" if n % 2 else "healthy", normal=not n % 2, lesion=bool(n % 2))
        for n in range(cases)
    ]


def damage_stores(folder: Path, times: int, seed: int = 0) -> Counter[str]:
    """Flip a bit of, cut, delete or empty one file of a store, open it and read everything; then mend it.

    Returns:
        how often the harm was ``refused`` when opening, ``named`` when reading, ``harmless`` (no voxel had changed, and
        ``verify`` still told), or ``silent``: a voxel was wrong, or ``verify`` saw nothing.
    """
    chance = random.Random(seed)
    store = pack(make_rows(folder / "scans"), VOLUMES, folder / "store")
    truth = {case.study: store.read(case) for case in store.cases}
    files = sorted(path for path in store.folder.rglob("*") if path.is_file() and path.name in _READ)
    counts: Counter[str] = Counter()
    for _ in range(times):
        path = chance.choice(files)
        good = path.read_bytes()
        harm = chance.choice(("flip", "flip", "flip", "cut", "delete", "empty"))
        if harm == "delete":
            path.unlink()
        elif harm == "flip":
            bad = bytearray(good)
            bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
            path.write_bytes(bytes(bad))
        else:
            path.write_bytes(good[: chance.randrange(len(good)) if harm == "cut" else 0])
        counts[_outcome(store.folder, truth)] += 1
        path.write_bytes(good)
    return counts


_READ = {layout.SPEC, *(Path(place).name for place in layout.SHARD.values())}


def _outcome(folder: Path, truth: dict[str, tuple[np.ndarray, np.ndarray | None]]) -> str:
    try:
        store = Store.open(folder)
    except (ChecksumError, DataError):
        return "refused"
    named = False
    for case in store.cases:
        try:
            image, mask = store.read(case)
        except ChecksumError as error:
            if case.study not in str(error):
                return "silent"
            named = True
            continue
        right, lesion = truth[case.study]
        if not np.array_equal(image, right) or (
            lesion is not None and (mask is None or not np.array_equal(mask, lesion))
        ):
            return "silent"
    try:
        store.verify()
    except ChecksumError:
        return "named" if named else "harmless"
    return "silent"


def kill_packers(folder: Path, times: int, seed: int = 0) -> Counter[str]:
    """Kill packing at random moments, again and again until it ends, then begin with an empty store.

    Returns:
        ``killed`` so often; stores ``completed`` in the end, each of which verified; ``broken`` ones: a store that
        opened before it was complete, or did not verify, or had packed a finished case once more.
    """
    chance = random.Random(seed)
    rows = make_rows(folder / "scans")
    began = time.perf_counter()
    _forked(partial(pack, rows, VOLUMES, folder / "timing"))
    whole = time.perf_counter() - began
    counts: Counter[str] = Counter()
    while counts["killed"] < times:
        target = folder / "store"
        shutil.rmtree(target, ignore_errors=True)
        while True:
            kept = _finished(target)
            ended = _forked(partial(pack, rows, VOLUMES, target), chance.uniform(0, whole))
            if any(_finished(target).get(name) != stamp for name, stamp in kept.items()):
                counts["broken"] += 1
            if ended is not None:
                break
            counts["killed"] += 1
            if _forked(partial(_must_be_unfinished_or_whole, target)):
                counts["broken"] += 1
        counts["completed" if ended == 0 and not _forked(partial(_must_be_whole, target)) else "broken"] += 1
    return counts


def _must_be_unfinished_or_whole(folder: Path) -> None:
    try:
        store = Store.open(folder)
    except DataError:
        return
    store.verify()


def _must_be_whole(folder: Path) -> None:
    Store.open(folder).verify()


def _finished(folder: Path) -> dict[str, int]:
    cases = folder / layout.CASES
    return {path.name: path.stat().st_mtime_ns for path in cases.glob("[!.]*")} if cases.is_dir() else {}


def _forked(work: Callable[[], object], killed_after: float | None = None) -> int | None:
    """Do ``work`` in a process of its own: 0 done, 1 raised, None killed after so many seconds."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    if killed_after is not None:
        time.sleep(killed_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return None if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def fill_disks(folder: Path, points: Sequence[int]) -> Counter[str]:
    """Let the disk run full in the middle of the n-th write, for each n; then free it and pack again.

    Returns:
        ``clean``: a ResourceError, nothing half written left, and the next call completed the store. ``unclean``
        otherwise. ``past``: there were fewer writes than that.
    """
    rows = make_rows(folder / "scans")
    counts: Counter[str] = Counter()
    real = write_flushed
    for point in points:
        target, calls = folder / "store", 0
        shutil.rmtree(target, ignore_errors=True)

        def full(path: Path, data: bytes, point: int = point) -> None:
            nonlocal calls
            calls += 1
            if calls >= point:
                path.write_bytes(data[: len(data) // 2])
                raise OSError(errno.ENOSPC, "No space left on device")
            real(path, data)

        setattr(place, "write_flushed", full)  # noqa: B010 - mypy knows no such name there
        try:
            pack(rows, VOLUMES, target, jobs=1)
            counts["past"] += 1
            continue
        except ResourceError:
            clean = not list(target.rglob("*.partial"))
        except (SecondreadError, OSError):
            clean = False
        finally:
            setattr(place, "write_flushed", real)  # noqa: B010
        store = pack(rows, VOLUMES, target)
        store.verify()
        counts["clean" if clean and len(store.cases) == len(rows) else "unclean"] += 1
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--damages", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--full", type=int, default=50)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        # Kills first: a process that has read from a store has threads, and such a one must not be forked.
        for name, work in (
            ("kills", lambda at: kill_packers(at, args.kills)),
            ("damages", lambda at: damage_stores(at, args.damages)),
            ("full disks", lambda at: fill_disks(at, [1 + n % (3 * CASES - 4) for n in range(args.full)])),
        ):
            (Path(made) / name).mkdir()
            sys.stdout.write(json.dumps({name: work(Path(made) / name)}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
