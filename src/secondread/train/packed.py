"""What training starts from once the scans have been read: packed cases, with the index and the plan they belong to.

STORE/...             what :mod:`secondread.store` keeps
STORE/index.parquet   the studies and their split
STORE/plan.json       the plan that decided the grid
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondread.errors import DataError, writing
from secondread.index import Index, require_learnable
from secondread.store import SPEC, Store, pack
from secondread.train.plan import Plan, make_plan, teaching

INDEX_NAME, PLAN_NAME = "index.parquet", "plan.json"

NO_VALIDATION = "no study is left for validation: three groups of each class are needed, or a given split"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Packed:
    """Packed studies of the training and validation splits; those of the test split stay where they are."""

    index: Index
    plan: Plan
    store: Store


def pack_data(
    index: Index,
    folder: Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Packed:
    """Plan, and pack into ``folder`` what the plan reads. Complete blocks of an earlier call are kept.

    The plan is written last, and what an earlier call left of it goes first: where it is, all three belong together.

    Raises:
        UsageError, DataError, ConfoundedError: as :func:`plan_for` and :func:`secondread.store.pack`.
        ResourceError: disk, memory or permission.
    """
    plan = plan_for(index, overrides, device=device)
    with writing(folder):
        (folder / PLAN_NAME).unlink(missing_ok=True)
    packed = Packed(index, plan, pack_for(index, plan, folder, progress))
    index.save(folder / INDEX_NAME)
    plan.save(folder / PLAN_NAME)
    return packed


def open_packed(folder: Path) -> Packed:
    """What :func:`pack_data` wrote. Raises DataError, ChecksumError, UnsupportedFormat as ``Store.open`` does."""
    return Packed(Index.load(folder / INDEX_NAME), Plan.load(folder / PLAN_NAME), Store.open(folder))


def is_packed(folder: Path) -> bool:
    """Whether :func:`pack_data` finished in ``folder``."""
    return (folder / SPEC).is_file() and (folder / PLAN_NAME).is_file()


def plan_for(index: Index, overrides: Mapping[str, Any] | None = None, *, device: str = "cpu") -> Plan:
    """The plan of an index that can be learned from. Raises what :func:`make_plan` does, and DataError, LeakError."""
    require_learnable(index)
    if not teaching(index, "validation"):
        raise DataError(NO_VALIDATION)
    return make_plan(index, overrides, device=device)


def pack_for(index: Index, plan: Plan, folder: Path, progress: Progress | None = None) -> Store:
    """The training and validation studies of an index, packed as the plan reads them. Errors as ``store.pack``."""
    return pack([*teaching(index, "train"), *teaching(index, "validation")], plan.recipe, folder, progress=progress)
