"""What is installed, which device there is, what is slow, and what to do about it.

Each check stands alone: one that fails, even in a way that nobody foresaw, is one line of the answer.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from packaging.requirements import Requirement

    from secondread.testcard import Frame

Status = Literal["ok", "slow", "missing", "broken"]

MIN_PYTHON = (3, 11)
COMFORTABLE_MEMORY = 8 * 2**30
LEAST_MEMORY = 2 * 2**30
COMFORTABLE_DISK = 20 * 2**30
LEAST_DISK = 2 * 2**30

_REINSTALL = "Install again: pip install --force-reinstall secondread, or make demo in a clone."


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        status: ``ok``; ``slow``: works, slower or with less room than it could; ``missing``: not there, and some verb
            needs it; ``broken``: there, and does not work.
        detail: what was found.
        advice: what to do; empty where nothing need be done.
    """

    name: str
    status: Status
    detail: str
    advice: str = ""


def examine() -> list[Check]:
    """All checks, in the order to read them. Raises nothing that a check can raise."""
    out: list[Check] = []
    for name, check in _CHECKS:
        out += guarded(name, check)
    return out


def guarded(name: str, check: Callable[[], Iterable[Check]]) -> list[Check]:
    """What ``check`` says, or one ``broken`` line where it fails itself."""
    try:
        return list(check())
    except Exception as error:  # whatever a damaged library throws is what the reader wants to see
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        return [Check(name, "broken", f"the check itself failed ({said})", _REINSTALL)]


def render(checks: Iterable[Check]) -> str:
    """Lines for a person: status, name, what was found, and below it what to do."""
    rows = list(checks)
    width = max((len(check.name) for check in rows), default=0)
    lines = []
    for check in rows:
        lines.append(f"{check.status:<7}  {check.name:<{width}}  {check.detail}")
        if check.advice:
            lines.append(f"{'':<7}  {'':<{width}}  -> {check.advice}")
    todo = sum(check.status != "ok" for check in rows)
    lines += ["", f"{todo} of {len(rows)} checks ask for something." if todo else "Everything is in order."]
    return "\n".join(lines)


def _python() -> Iterable[Check]:
    version = platform.python_version()
    detail = f"{version} ({platform.python_implementation()}, {platform.system()} {platform.machine()})"
    if sys.version_info < MIN_PYTHON:
        least = ".".join(str(n) for n in MIN_PYTHON)
        yield Check("Python", "broken", detail, f"Install Python {least} or later and set up again.")
    else:
        yield Check("Python", "ok", detail)


def _packages() -> Iterable[Check]:
    wanted = [need for need, extra in _requirements() if extra is None]
    absent, old = _unmet(wanted)
    if absent:
        yield Check("packages", "missing", f"not installed: {', '.join(absent)}", _REINSTALL)
    if old:
        yield Check("packages", "broken", f"other versions than asked for: {', '.join(old)}", _REINSTALL)
    if not absent and not old:
        names = ("torch", "monai", "numpy", "pydicom", "tensorstore")
        shown = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
        yield Check("packages", "ok", f"{len(wanted)} as asked for; {shown}")


def _extras() -> Iterable[Check]:
    uses = {"export": "export to ONNX", "serve": "read over HTTP", "search": "compare --search"}
    by_extra: dict[str, list[Requirement]] = {}
    for need, extra in _requirements():
        if extra not in (None, "dev"):  # dev is for work on secondread itself, and make sees to it
            by_extra.setdefault(extra, []).append(need)
    for extra, wanted in by_extra.items():
        absent, old = _unmet(wanted)
        name, use = f"extra {extra}", uses.get(extra, extra)
        if absent or old:
            lacking = ", ".join(absent + old)
            yield Check(
                name, "missing", f"to {use}; lacking {lacking}", f"pip install 'secondread[{extra}]', if wanted."
            )
        else:
            yield Check(name, "ok", f"to {use}")


def _requirements() -> Iterable[tuple[Requirement, str | None]]:
    """Every requirement that applies here, with the extra that it belongs to."""
    from packaging.requirements import Requirement

    extras = importlib.metadata.metadata("secondread").get_all("Provides-Extra") or []
    for line in importlib.metadata.requires("secondread") or []:
        need = Requirement(line)
        if need.marker is None or need.marker.evaluate({"extra": ""}):
            yield need, None
            continue
        for extra in extras:
            if need.marker.evaluate({"extra": extra}):
                yield need, extra


def _unmet(wanted: Iterable[Requirement]) -> tuple[list[str], list[str]]:
    """What of ``wanted`` is absent, and what is there in another version."""
    absent, old = [], []
    for need in wanted:
        try:
            version = importlib.metadata.version(need.name)
        except importlib.metadata.PackageNotFoundError:
            absent.append(need.name)
            continue
        if not need.specifier.contains(version, prereleases=True):
            old.append(f"{need.name} {version} (wanted {need.specifier})")
    return absent, old


def _device() -> Iterable[Check]:
    import torch

    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(number)
            yield Check(f"GPU {number}", "ok", f"{about.name}, {about.total_memory / 2**30:.0f} GiB")
    elif torch.backends.mps.is_available():
        yield Check("GPU", "ok", "Apple Metal")
    elif shutil.which("nvidia-smi") and torch.version.cuda is None:
        advice = "Install a CUDA build of torch to use the GPU of this machine."
        yield Check("GPU", "slow", "the machine has NVIDIA tools, but this torch is built for the CPU alone", advice)
    else:
        advice = "Pictures, reading and the demo are fine so; train on 3D scans with a GPU where you can."
        yield Check("GPU", "slow", "none: everything runs on the CPU", advice)


def _threads() -> Iterable[Check]:
    import torch

    used, free = torch.get_num_threads(), usable_cores()
    detail = f"torch uses {used} on {free} usable cores"
    if used < free:
        yield Check("threads", "slow", detail, f"Unset OMP_NUM_THREADS, or set it to {free}.")
    elif used > free:
        yield Check(
            "threads", "slow", detail, f"Set OMP_NUM_THREADS={free}: more threads than cores wait for each other."
        )
    else:
        yield Check("threads", "ok", detail)


def usable_cores(quota_file: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Cores that this process may use: its affinity, and a container's quota where there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = quota_file.read_text().split()
    except (OSError, ValueError):
        return cores
    if not (quota.isdecimal() and period.isdecimal()):  # "max": no quota
        return cores
    return max(1, min(cores, int(quota) // max(1, int(period))))


def _instructions() -> Iterable[Check]:
    import torch

    from secondread.models import bfloat16_units

    level = torch.backends.cpu.get_cpu_capability()
    detail = f"{level}; bfloat16 in hardware, for training on pictures: {', '.join(bfloat16_units()) or 'no'}"
    if platform.machine() in ("x86_64", "AMD64") and level == "DEFAULT":
        yield Check(
            "CPU", "slow", detail, "Without AVX2 expect a quarter of the speed; use another machine if you can."
        )
    else:
        yield Check("CPU", "ok", detail)


def _memory() -> Iterable[Check]:
    import psutil

    free, total = psutil.virtual_memory().available, psutil.virtual_memory().total
    with suppress(OSError, ValueError):  # no container, or one without a limit
        free = min(free, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    detail = f"{free / 2**30:.1f} GiB free of {total / 2**30:.1f}"
    advice = "Close other programs, or train with a smaller --batch and patch."
    yield Check("memory", _room(free, LEAST_MEMORY, COMFORTABLE_MEMORY), detail, advice * (free < COMFORTABLE_MEMORY))


def _disk() -> Iterable[Check]:
    for name, folder in (("disk, this folder", Path.cwd()), ("disk, temporary files", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(folder).free
        detail = f"{free / 2**30:.1f} GiB free at {folder}"
        advice = "A store takes about as much as its .nii.gz files: make room, or write to another disk."
        yield Check(name, _room(free, LEAST_DISK, COMFORTABLE_DISK), detail, advice * (free < COMFORTABLE_DISK))


def _room(free: int, least: int, comfortable: int) -> Status:
    return "ok" if free >= comfortable else "slow" if free >= least else "broken"


def _writing() -> Iterable[Check]:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    while not cache.exists() and cache != cache.parent:
        cache = cache.parent
    yield from (
        writable("temporary folder", Path(tempfile.gettempdir()), "broken", "Set TMPDIR to a folder you may write to."),
        writable("cache folder", cache, "slow", "Set XDG_CACHE_HOME to a folder you may write to."),
    )


def writable(name: str, folder: Path, otherwise: Status, advice: str) -> Check:
    """Whether a file can be made in ``folder``, by making one."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"secondread")
            file.flush()
    except OSError as error:
        return Check(name, otherwise, f"cannot write to {folder}: {error.strerror}", advice)
    return Check(name, "ok", f"{folder} can be written to")


def _decoders() -> Iterable[Check]:
    from secondread.testcard import FRAMES

    for frame in FRAMES:
        yield from guarded(f"DICOM {frame.name}", partial(decodes, frame))


def decodes(frame: Frame) -> list[Check]:
    """Whether a series in this transfer syntax is read, by reading one of two slices."""
    import numpy as np

    from secondread.errors import SecondreadError
    from secondread.formats import read_volume
    from secondread.testcard import write_series

    name = f"DICOM {frame.name}"
    with tempfile.TemporaryDirectory(prefix="secondread-") as folder:
        write_series(frame, Path(folder))
        try:
            voxels = read_volume(Path(folder)).voxels
        except SecondreadError as error:
            said = str(error).replace(folder, "a test series").splitlines()[0]
            return [Check(name, "missing", f"series of this kind cannot be read: {said}", _REINSTALL)]
    i, j = np.indices((8, 8))  # i runs along a row, over the columns
    off = float(np.abs(voxels[..., 0] - frame.step * (4.0 * j + i)).max())
    if off > frame.step / 2:
        return [Check(name, "broken", f"decodes to other values, off by up to {off:g}", _REINSTALL)]
    return [Check(name, "ok", f"decodes ({frame.syntax})")]


_CHECKS: tuple[tuple[str, Callable[[], Iterable[Check]]], ...] = (
    ("Python", _python),
    ("packages", _packages),
    ("GPU", _device),
    ("threads", _threads),
    ("CPU", _instructions),
    ("memory", _memory),
    ("disk", _disk),
    ("writing", _writing),
    ("DICOM", _decoders),
    ("extras", _extras),
)
