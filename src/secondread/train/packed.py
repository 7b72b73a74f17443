"""What training starts from once the scans have been read: packed cases, with the index and the plan they belong to.

STORE/...             what :mod:`secondread.store` keeps
STORE/index.parquet   the studies and their split
STORE/plan.json       the plan that decided the grid
STORE/sums.json       sealed: the SHA-256 of those two
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondread.errors import ChecksumError, DataError
from secondread.index import Index, require_learnable
from secondread.store import SPEC, Folder, Place, Store, pack, place_of
from secondread.store.sealed import seal, unseal
from secondread.train.plan import Plan
from secondread.train.planning import make_plan, teaching

INDEX_NAME, PLAN_NAME, SUMS_NAME = "index.parquet", "plan.json", "sums.json"

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
    where: str | Path | Place,
    plan: Plan,
    *,
    progress: Progress | None = None,
) -> Packed:
    """Pack into a folder or ``s3://bucket/prefix`` what the plan (:func:`plan_for`) reads. Complete blocks are kept.

    The plan is written last, and what an earlier call left of it goes first: where it is, all three belong together.

    Raises:
        UsageError, DataError: as :func:`secondread.store.pack`.
        ResourceError: disk, memory or permission.
    """
    place = place_of(where)
    place.remove(PLAN_NAME)
    packed = Packed(index, plan, pack_for(index, plan, place, progress))
    contents = {INDEX_NAME: index.to_bytes(), PLAN_NAME: plan.to_bytes()}
    place.write(SUMS_NAME, seal({name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}))
    for name, content in contents.items():
        place.write(name, content)
    return packed


def open_packed(where: str | Path | Place) -> Packed:
    """What :func:`pack_data` wrote. Raises DataError, ChecksumError, UnsupportedFormat as ``Store.open`` does."""
    place = place_of(where)
    index, plan, sums = (place.read(name) for name in (INDEX_NAME, PLAN_NAME, SUMS_NAME))
    if index is None or plan is None or sums is None:
        raise DataError(f"{place} holds no store that pack has finished; pack into it again")
    expected = unseal(sums, f"{place}/{SUMS_NAME}")
    for name, content in ((INDEX_NAME, index), (PLAN_NAME, plan)):
        if hashlib.sha256(content).hexdigest() != expected[name]:
            raise ChecksumError(f"{place}/{name} does not match its SHA-256; pack again")
    return Packed(
        Index.from_bytes(index, f"{place}/{INDEX_NAME}"),
        Plan.from_bytes(plan, f"{place}/{PLAN_NAME}"),
        Store.open(place),
    )


def is_packed(where: str | Path) -> bool:
    """Whether this names a store: a folder where :func:`pack_data` finished, or any place that is no folder."""
    place = place_of(where)
    return not isinstance(place, Folder) or (place.size(PLAN_NAME) is not None and place.size(SPEC) is not None)


def plan_for(index: Index, overrides: Mapping[str, Any] | None = None, *, device: str = "cpu") -> Plan:
    """The plan of an index that can be learned from. Raises what :func:`make_plan` does, and DataError, LeakError."""
    require_learnable(index)
    if not teaching(index, "validation"):
        raise DataError(NO_VALIDATION)
    return make_plan(index, overrides, device=device)


def pack_for(index: Index, plan: Plan, where: str | Path | Place, progress: Progress | None = None) -> Store:
    """The training and validation studies of an index, packed as the plan reads them. Errors as ``store.pack``."""
    return pack([*teaching(index, "train"), *teaching(index, "validation")], plan.recipe, where, progress=progress)
