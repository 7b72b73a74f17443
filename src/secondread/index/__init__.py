"""Folders to one table of studies: labels, patients, sites, near-duplicates, and a frozen split.

``polars`` and ``faiss`` are imported with the first name that needs them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from secondread.index.build import build_index, require_learnable, studies_in
    from secondread.index.conflicts import write_conflicts
    from secondread.index.leakage import GivenSplitLeaks, reporting_leaks
    from secondread.index.summary import excluded_lines, summarise
    from secondread.index.table import SPLITS, AcceptedLeak, Index, Row

_HOMES = {
    "SPLITS": "table",
    "AcceptedLeak": "table",
    "GivenSplitLeaks": "leakage",
    "Index": "table",
    "Row": "table",
    "build_index": "build",
    "excluded_lines": "summary",
    "reporting_leaks": "leakage",
    "require_learnable": "build",
    "studies_in": "build",
    "summarise": "summary",
    "write_conflicts": "conflicts",
}

__all__ = [
    "SPLITS",
    "AcceptedLeak",
    "GivenSplitLeaks",
    "Index",
    "Row",
    "build_index",
    "excluded_lines",
    "reporting_leaks",
    "require_learnable",
    "studies_in",
    "summarise",
    "write_conflicts",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
