from __future__ import annotations

import math
from typing import Any

import pytest

from secondread.errors import UsageError
from secondread.simulate import Settings, draw_scene


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("spacing", 0.0),
        ("spacing", math.nan),
        ("spacing", 50.0),
        ("contrasts", ()),
        ("contrasts", ("t1", "t1")),
        ("contrasts", ("ct",)),
        ("normal", 1.5),
        ("normal", -0.1),
        ("categories", ("cyst",)),
        ("categories", ()),
        ("diameters", (40.0, 10.0)),
        ("diameters", (8.0, 500.0)),
        ("diameters", (8.0,)),
        ("count", (0, 2)),
        ("count", (3, 1)),
        ("faintest", 0.0),
        ("skull", 2.0),
        ("thick", math.inf),
        ("difficulty", -0.1),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=name):
        Settings(**{name: value})


def test_lesions_that_no_voxel_would_show_are_refused() -> None:
    with pytest.raises(UsageError, match="10 mm do not show at a spacing of 6 mm"):
        Settings(spacing=6.0, diameters=(8.0, 10.0))


def test_skull_may_be_yes_or_no() -> None:
    assert draw_scene(1, Settings(spacing=6.0, skull=True)).skull
    assert not draw_scene(1, Settings(spacing=6.0, skull=False)).skull


def test_an_unknown_label_and_a_negative_seed_are_refused(coarse: Settings) -> None:
    with pytest.raises(UsageError, match="normal, glioma, meningioma, pituitary, metastasis, ms, not stroke"):
        draw_scene(1, coarse, "stroke")
    with pytest.raises(UsageError, match="-1"):
        draw_scene(-1, coarse)
