"""Simulated studies as a labelled data set on disk."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from secondread.errors import UsageError, writing
from secondread.files import PARTIAL, write_whole
from secondread.formats import write_mask, write_volume
from secondread.formats.header import CONTACT_SHEET
from secondread.simulate.anatomy import atlas, places
from secondread.simulate.draw import draw_scene
from secondread.simulate.render import render
from secondread.simulate.settings import NORMAL, Settings
from secondread.simulate.sheet import contact_sheet, strip

LABELS_NAME = "labels.csv"
COLUMNS = ("image", "label", "mask", "group", "site", "study", "contrast")

MAX_STUDIES = 100_000
_SHOWN = 12

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class _Job:
    name: str
    seed: int
    label: str
    show: bool


@dataclass(frozen=True, eq=False)
class _Written:
    rows: list[tuple[str, ...]]
    strip: NDArray[np.uint8] | None


def write_studies(
    out: Path,
    n: int,
    seed: int = 0,
    settings: Settings | None = None,
    progress: Progress | None = None,
    *,
    jobs: int = 2,
) -> Path:
    """Write ``n`` simulated studies below the folder ``out``, the same for the same arguments whatever ``jobs`` is.

    A study is ``sim-0001/sim-0001_t1.nii.gz`` and so on for its contrasts, and ``_seg.nii.gz``, which is empty for a
    normal one. ``contact-sheet.png`` shows some of them. ``labels.csv`` has a row per series, with paths relative to
    itself; it is written last, so that where it is, all it names is.

    Args:
        out: made if it is not there; may hold what an interrupted call with the same names left.
        n: 1 to MAX_STUDIES. Labels are dealt so that the settings' shares are met as nearly as n allows.
        seed: 0 or more.
        settings: what to draw; None for the defaults.
        progress: called as ``progress("simulate", done, n)`` after each study.
        jobs: threads; most of the work is outside the interpreter's lock.

    Returns:
        The path of ``labels.csv``.

    Raises:
        UsageError: n, seed or jobs out of range; ``out`` is a file, or holds something else.
        ResourceError: disk or permission ran out.
    """
    settings = settings or Settings()
    if not 1 <= n <= MAX_STUDIES or seed < 0 or jobs < 1:
        raise UsageError(
            f"simulating takes 1 to {MAX_STUDIES} studies, a seed of 0 or more and at least one job; "
            f"got {n} studies, seed {seed}, {jobs} jobs"
        )
    names = [f"sim-{i + 1:0{max(4, len(str(n)))}d}" for i in range(n)]
    _claim(out, names)
    # Loaded here, so that the first studies do not wait for each other.
    atlas(settings.spacing)
    places()
    labels = _deal(n, seed, settings)
    seeds = np.random.SeedSequence([seed, 0]).generate_state(n, np.uint64)
    shown_ones = choose(labels)
    work = [
        _Job(name, int(one), label, i in shown_ones)
        for i, (name, one, label) in enumerate(zip(names, seeds, labels, strict=True))
    ]
    written = _write_all(out, settings, work, progress, jobs)
    shown = [(w.strip, f"{job.name}  {job.label}") for job, w in zip(work, written, strict=True) if w.strip is not None]
    shown.sort(key=lambda pair: settings.labels.index(pair[1].split("  ")[1]))
    picture = io.BytesIO()
    contact_sheet([pixels for pixels, _ in shown], [caption for _, caption in shown]).save(picture, format="PNG")
    write_whole(out / CONTACT_SHEET, picture.getvalue())
    table = io.StringIO(newline="")
    csv.writer(table, lineterminator="\n").writerows([COLUMNS, *(row for w in written for row in w.rows)])
    write_whole(out / LABELS_NAME, table.getvalue().encode())
    return out / LABELS_NAME


def _write_all(out: Path, settings: Settings, work: list[_Job], progress: Progress | None, jobs: int) -> list[_Written]:
    written: list[_Written] = []
    pool = ThreadPoolExecutor(jobs)
    try:
        # The threads of the linear algebra library would fight with ours over the same cores.
        with threadpool_limits(1):
            for one in pool.map(lambda job: _write_one(out, settings, job), work):
                written.append(one)
                if progress:
                    progress("simulate", len(written), len(work))
    finally:
        # After an error or Ctrl-C the studies not yet begun are dropped.
        pool.shutdown(cancel_futures=True)
    return written


def _write_one(out: Path, settings: Settings, job: _Job) -> _Written:
    name, label = job.name, job.label
    scene = draw_scene(job.seed, settings, label)
    study, mask = render(scene, name)
    with writing(out / name):
        (out / name).mkdir(exist_ok=True)
    mask_name = f"{name}/{name}_seg.nii.gz"
    write_mask(mask, out / mask_name)
    rows: list[tuple[str, ...]] = []
    for contrast, volume in study.series.items():
        image = f"{name}/{name}_{contrast}.nii.gz"
        write_volume(volume, out / image)
        rows.append((image, label, mask_name, name, scene.site, name, contrast))
    return _Written(rows, strip(study, mask) if job.show else None)


def _deal(n: int, seed: int, settings: Settings) -> list[str]:
    normals = round(n * settings.normal)
    kinds = settings.categories
    labels = [NORMAL] * normals + [kinds[i % len(kinds)] for i in range(n - normals)]
    order = np.random.default_rng([seed, 1]).permutation(n)
    return [labels[i] for i in order]


def choose(labels: list[str]) -> set[int]:
    """Which studies the contact sheet shows: as many of each label as there is room for, the first ones."""
    places = {label: [i for i, one in enumerate(labels) if one == label] for label in sorted(set(labels))}
    rounds = [i for row in zip_longest(*places.values()) for i in row if i is not None]
    return set(rounds[:_SHOWN])


def _claim(out: Path, names: list[str]) -> None:
    """Make ``out``, or refuse it where it holds something that this call would not write before ``labels.csv``."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: simulated studies need a folder")
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        expected = {*names, CONTACT_SHEET}
        strangers = sorted(path.name for path in out.iterdir() if path.name not in expected and path.suffix != PARTIAL)
    if strangers:
        more = f" and {len(strangers) - 3} more" if len(strangers) > 3 else ""
        raise UsageError(f"{out} already holds {', '.join(strangers[:3])}{more}: choose a new or empty folder")
