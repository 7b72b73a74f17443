from __future__ import annotations

from collections.abc import Iterator

import pytest

from secondread.evaluate import audit, quick


@pytest.fixture(autouse=True, scope="session")
def small_forests() -> Iterator[None]:
    """Twenty trees tell these pictures apart as well as a hundred."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit, "TREES", 20)
        patch.setattr(quick, "TREES", 20)
        yield
