"""Images to a grid: what is accepted, and what each refusal says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondread.errors import FormatError, GeometryError, SeriesError
from secondread.formats.stack import Slice, stack
from tests.formats.scans import PLANES, expected_affine, position

HERE = Path("series")


def images(count: int = 6, plane: str = "axial", step: float = 2.5) -> list[Slice]:
    return [
        Slice(Path(f"{k}"), 0, f"1.2.{k}", k + 1, 8, 9, PLANES[plane], tuple(position(k, plane, step)), (0.8, 0.9))
        for k in range(count)
    ]


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(PLANES)), st.integers(2, 9), st.floats(0.3, 8), st.randoms(use_true_random=False))
def test_any_order_gives_one_grid(plane: str, count: int, step: float, random: object) -> None:
    mixed = images(count, plane, step)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    geometry, ordered, warnings = stack(mixed, HERE)
    assert geometry.shape == (9, 8, count)
    np.testing.assert_allclose(geometry.affine, expected_affine(plane, step), atol=1e-6)
    assert [s.number for s in ordered] == list(range(1, count + 1))
    assert np.linalg.det(geometry.affine) > 0
    assert warnings == ()


def test_a_tilted_gantry_keeps_its_shear() -> None:
    tilted = [
        replace(s, position=(s.position[0], s.position[1] + 0.5 * k, s.position[2])) for k, s in enumerate(images())
    ]
    geometry, _, _ = stack(tilted, HERE)
    np.testing.assert_allclose(geometry.affine[:3, 2], (0, 0.5, 2.5))


@pytest.mark.parametrize("gone", [1, 3, 4])
def test_a_missing_image(gone: int) -> None:
    with pytest.raises(SeriesError, match=r"series: about 1 images are missing; spacing is 2\.500 mm, but 5\.000"):
        stack([s for k, s in enumerate(images(8)) if k != gone], HERE)


def test_a_missing_end_is_a_warning() -> None:
    assert "numbers run from 2 to 6" in stack(images()[1:], HERE)[2][0]


def test_an_image_twice() -> None:
    six = images()
    with pytest.raises(SeriesError, match="same SOPInstanceUID"):
        stack([*six, replace(six[2], path=Path("copy"))], HERE)
    with pytest.raises(SeriesError, match="1 of 6 positions hold several"):
        stack([*six, replace(six[2], instance="1.2.99")], HERE)


def test_four_dimensions_are_named() -> None:
    twice = [
        replace(s, instance=f"{s.instance}.{echo}", traits=(("echo time", echo),))
        for s in images()
        for echo in ("2.3", "4.6")
    ]
    with pytest.raises(
        FormatError, match=r"2 images at each of 6 positions \(echo time 2.3, 4.6\): a 4D series"
    ) as caught:
        stack(twice, HERE)
    assert not isinstance(caught.value, SeriesError)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rows": 16}, "2 sizes"),
        ({"spacing": (1.0, 1.0)}, "pixel spacings"),
        ({"orientation": PLANES["sagittal"]}, "2 orientations"),
        ({"position": (-100.0, 20.5, 3.25 + 2 * 2.5 + 0.4)}, "unevenly"),
        ({"position": (-97.0, 20.5, 3.25 + 2 * 2.5)}, "one line"),
    ],
)
def test_one_image_that_differs(changes: dict[str, object], said: str) -> None:
    six = images()
    six[2] = replace(six[2], **changes)  # type: ignore[arg-type]
    with pytest.raises(SeriesError, match=said):
        stack(six, HERE)


def test_one_image_is_no_volume() -> None:
    with pytest.raises(SeriesError, match="one image"):
        stack(images(1), HERE)


@pytest.mark.parametrize("orientation", [(1.0, 0, 0, 1, 0, 0), (0.0,) * 6, (float("nan"),) * 6])
def test_cosines_that_are_none(orientation: tuple[float, ...]) -> None:
    with pytest.raises(GeometryError, match="right angles"):
        stack([replace(s, orientation=orientation) for s in images()], HERE)
