from __future__ import annotations

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits

from secondread.simulate import Settings


@pytest.fixture
def coarse() -> Settings:
    """Scans of some thirty voxels a side: a few hundredths of a second each."""
    return Settings(spacing=6.0)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Matrices this small are multiplied faster by one thread than by several that wait for each other."""
    with threadpool_limits(1):
        yield
