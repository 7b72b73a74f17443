"""What a run decides from the data, where nobody decided otherwise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from secondread.errors import ConfoundedError, DataError, UsageError
from secondread.formats import read_volume
from secondread.infer.slicewise import SLICE_MM
from secondread.models import LESION, Task
from secondread.train.plan import (
    GREY,
    NETWORK_OVERRIDES,
    NOTHING_TO_EXCHANGE,
    PICTURE_SIDE,
    Plan,
    check_overrides,
    number,
    on_grid,
    overridden,
    settled,
)
from secondread.volume import Recipe, extent

if TYPE_CHECKING:
    from secondread.index import Index, Row

CPU_VOXELS = 400_000
"""A whole head at this many voxels keeps a CPU step near a second; the spacing of a CPU plan follows from it."""

CUDA_VOXELS = 128**3

MIN_SPACING_MM = 1.0

IMPLANTED = 0.5
SIMULATED = 0.5
TRANSPLANTED = 0.5
"""What a plan has of each, where nobody chose; see :class:`Plan`."""

FEWEST_VOLUMES = 40
"""Samples an epoch of volumes, however few studies there are: a shorter one would be nearly all validation."""

COARSEST_SLICED_MM = 2 * SLICE_MM
"""Of larger voxels (by the cube root of their volume) a slice shows little."""

FEW_PATIENTS = 50
"""Fewer show too few kinds of lesions to learn from them alone."""

SLICES, FEWEST_SLICED = 64, 8
"""Slices of each volume in an epoch, and of so many volumes, however few there are."""

FINGERPRINT_STUDIES = 12
"""So many volumes are opened to learn how large a head is."""


def make_plan(index: Index, overrides: Mapping[str, Any] | None = None, *, device: str = "cpu") -> Plan:
    """Decide a run from what the index holds.

    Args:
        index: its included rows of the training split decide.
        overrides: any of OVERRIDES, NETWORK_OVERRIDES and GRID_OVERRIDES: ``size`` (side of a picture), ``spacing``
            (mm) and ``dimensions`` (of the network that reads volumes: 2 for their slices); None values are left out.
        device: ``cpu`` plans for minutes, ``cuda`` for finer grids of volumes that are learned whole.

    Raises:
        UsageError: an unknown name or an impossible value among the overrides.
        DataError: pictures and volumes mixed.
        ConfoundedError: no contrast that every class has.
    """
    given = {k: v for k, v in (overrides or {}).items() if v is not None}
    check_overrides(given)
    rows = teaching(index, "train")
    pictures = {row.kind == "picture" for row in rows}
    if len(pictures) != 1:
        raise DataError("pictures and volumes in one training set: train one model for each")
    reasons: list[str] = []
    flat = pictures.pop()
    _refuse_strays(given, flat)
    task = _task(rows)
    if flat:
        recipe, patch = _pictures(rows, given, reasons)
        plan = on_grid(task, recipe, patch, len(rows))
        if _outlined(rows) > 1 and recipe.channels == GREY:
            plan = replace(plan, transplant=TRANSPLANTED)
    else:
        recipe, patch, sliced = _volumes(rows, given, device, reasons, told=_told(index, task))
        samples = SLICES * max(len(rows), FEWEST_SLICED) if sliced else max(len(rows), FEWEST_VOLUMES)
        plan = on_grid(task, recipe, patch, samples, dimensions=2 if sliced else 3)
        patients = len({row.group for row in rows})
        if patients < FEW_PATIENTS and _can_simulate(plan):
            plan = replace(plan, simulated=SIMULATED)
    if all(row.normal for row in rows):
        plan = replace(plan, implant=IMPLANTED)
    reasons.append(
        "masks teach where: encoder, decoder and Dice"
        if plan.task.located
        else "no masks: a classifier with an activation map"
    )
    plan = settled(overridden(replace(plan, reasons=tuple(reasons)), given), given)
    return exchangeable(plan, given, rows)


def exchangeable(plan: Plan, given: Mapping[str, Any], rows: Sequence[Row]) -> Plan:
    """``plan``, without exchanged lesions where those of one category alone are outlined in ``rows``. Raises UsageError
    where that was ``given``."""
    if not plan.transplant or _outlined(rows) > 1:
        return plan
    if given.get("transplant"):
        raise UsageError(NOTHING_TO_EXCHANGE)
    return replace(plan, transplant=0.0)


def _outlined(rows: Sequence[Row]) -> int:
    """Categories of which lesions are outlined."""
    return len({row.label for row in rows if row.mask is not None and row.label is not None and not row.normal})


def _can_simulate(plan: Plan) -> bool:
    try:
        plan.simulated_slices()
    except UsageError:
        return False
    return True


def _refuse_strays(given: Mapping[str, Any], flat: bool) -> None:
    """Raise UsageError for what is for volumes and was given for pictures, and the reverse."""
    for name in ("spacing", "dimensions") if flat else ("size",):
        if name in given:
            raise UsageError(
                f"{name} is for {'volumes' if flat else 'pictures'}, and these are "
                f"{'pictures' if flat else 'volumes'}: leave it out"
            )


def _told(index: Index, task: Task) -> bool:
    """Whether every slice of every volume that is learned from or validated on says what it shows."""
    rows = [*teaching(index, "train"), *teaching(index, "validation")]
    return task.located and all(row.normal or row.mask is not None for row in rows)


def _sliced(native_mm: float, given: dict[str, Any], *, told: bool) -> bool:
    """Whether the slices of volumes are learned from: as was asked for, or where each can teach, shows enough, and the
    starter's network is to learn."""
    mm = max(native_mm, number("spacing", given.get("spacing", 0)))
    own = set(NETWORK_OVERRIDES) & set(given)
    usual = 2 if told and not own and mm <= COARSEST_SLICED_MM else 3
    dimensions = int(number("dimensions", given.pop("dimensions", usual)))
    if dimensions == 2 and not told:
        raise UsageError(
            "slices are learned from where every abnormal scan has a mask, for a label does not say which slices "
            "earned it: leave dimensions out"
        )
    return dimensions == 2


def teaching(index: Index, split: str) -> list[Row]:
    """The studies of a split that have a label or a mask."""
    return [row for row in index.rows(split) if row.label is not None or row.mask is not None]


def _task(rows: Sequence[Row]) -> Task:
    # Normal scans alone: lesions are implanted, and their masks are known.
    located = any(row.mask is not None for row in rows) or all(row.normal for row in rows)
    categories = sorted({row.label for row in rows if row.label is not None and not row.normal})
    normals = sorted({row.label for row in rows if row.normal and row.label is not None})
    if not categories and not located:
        raise DataError("nothing to tell apart: every study has the same label, and there are no masks")
    return Task(tuple(categories) or (LESION,), normals[0] if normals else None, located)


def _pictures(rows: Sequence[Row], given: dict[str, Any], reasons: list[str]) -> tuple[Recipe, tuple[int, ...]]:
    # Colour that only one class has would give the class away: all or none.
    by_class: dict[str | None, list[bool]] = {}
    for row in rows:
        by_class.setdefault(row.label, []).append(row.channels == 3)
    colour = all(sum(flags) > len(flags) / 2 for flags in by_class.values())
    side = int(number("size", given.pop("size", PICTURE_SIDE)))
    reasons.append(f"{'colour' if colour else 'grey'} pictures, the foreground fitted into {side}x{side}")
    channels = ("red", "green", "blue") if colour else GREY
    return Recipe(channels, size=(side, side)), (side, side)


def _volumes(
    rows: Sequence[Row], given: dict[str, Any], device: str, reasons: list[str], *, told: bool
) -> tuple[Recipe, tuple[int, ...], bool]:
    """The grid, the patch, and whether slices are learned from."""
    channels = _common_contrasts(rows, reasons)
    extents, spacings = _fingerprint(rows)
    # Nearly every head is to fit as a whole; a longer one is cut at random in training and read in windows.
    extent_mm = [sorted(column)[int(0.9 * (len(column) - 1))] for column in zip(*extents, strict=True)]
    native = [sorted(column)[len(column) // 2] for column in zip(*spacings, strict=True)]
    sliced = _sliced(math.prod(native) ** (1 / 3), given, told=told)
    budget = CPU_VOXELS if device == "cpu" else CUDA_VOXELS
    step = SLICE_MM if sliced else max(MIN_SPACING_MM, (math.prod(extent_mm) / budget) ** (1 / 3))
    if "spacing" in given:
        step = number("spacing", given.pop("spacing"))
    if sliced:
        native = [0.0] * 3  # slices are cut in all planes, so that their pixels must be square
    spacing = (max(step, native[0]), max(step, native[1]), max(step, native[2]))
    spacing = (round(spacing[0], 2), round(spacing[1], 2), round(spacing[2], 2))
    # To the nearest: rounding up would pad a head to half as much again, of air.
    unit = 32 if sliced else 16
    patch = tuple(unit * max(2, round(e / s / unit)) for e, s in zip(extent_mm, spacing, strict=True))
    reasons.append(
        f"volumes at {' x '.join(f'{s:g}' for s in spacing)} mm, a head in {' x '.join(map(str, patch))} voxels"
    )
    bare = sum(not row.normal and row.mask is None for row in rows)
    if 0 < bare < sum(not row.normal for row in rows):
        reasons.append(
            f"{bare} abnormal scans to learn from have no mask: volumes are learned whole, not slice by slice"
        )
    if sliced:
        reasons.append("every scan says which of its slices are abnormal: a network of slices in three planes learns")
    return Recipe(channels, spacing=spacing), patch, sliced


def _common_contrasts(rows: Sequence[Row], reasons: list[str]) -> tuple[str, ...]:
    """Contrasts that every class has: any other would give its class away."""
    by_class: dict[str | None, set[str]] = {}
    for row in rows:
        by_class.setdefault(row.label, set()).update(row.contrasts)
    shared = set.intersection(*by_class.values())
    if not shared:
        seen = "; ".join(f"{label}: {', '.join(sorted(names))}" for label, names in by_class.items())
        raise ConfoundedError(f"no contrast that every class has ({seen}): a model would learn the contrast")
    if left := set.union(*by_class.values()) - shared:
        reasons.append(f"left out {', '.join(sorted(left))}: not every class has it, so it would give the class away")
    order = {name: i for i, name in enumerate(("t1", "t1c", "t2", "flair"))}
    return tuple(sorted(shared, key=lambda name: (order.get(name, 9), name)))


def _fingerprint(rows: Sequence[Row]) -> tuple[list[tuple[float, ...]], list[tuple[float, ...]]]:
    """Foreground extents and spacings, mm along L, P, S, of some studies spread over the rows."""
    spread = rows[:: max(1, len(rows) // FINGERPRINT_STUDIES)]
    found = [extent(read_volume(row.images[0])) for row in spread]
    return [size for size, _ in found], [spacing for _, spacing in found]
