from __future__ import annotations

import pytest

from secondread.simulate import Settings


@pytest.fixture
def coarse() -> Settings:
    """Scans of some thirty voxels a side: a tenth of a second each."""
    return Settings(spacing=6.0)
