"""Geometry: there and back, what makes no sense, and which axis is which."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondread.errors import DataError, GeometryError, MaskError
from secondread.volume import RAS_TO_LPS, Category, Findings, Geometry, Location, Mask, ModelId, Picture, Study, Volume
from tests.formats.scans import geometries

CUBE = Geometry((4, 5, 6), np.diag([2.0, 2, 3, 1]))


@settings(max_examples=30, deadline=None)
@given(geometries(), st.tuples(*[st.floats(-50, 50)] * 3))
def test_mm_and_index_are_inverse(geometry: Geometry, index: tuple[float, float, float]) -> None:
    np.testing.assert_allclose(geometry.to_index(geometry.to_mm(index)), index, atol=1e-6)
    many = np.array([index, (0, 0, 0)])
    np.testing.assert_allclose(geometry.to_mm(many)[0], geometry.to_mm(index))
    np.testing.assert_allclose(geometry.to_mm(many)[1], geometry.affine[:3, 3])


@settings(max_examples=30, deadline=None)
@given(geometries())
def test_spacing_and_volume(geometry: Geometry) -> None:
    np.testing.assert_allclose(geometry.voxel_mm3, np.prod(geometry.spacing))
    step = geometry.to_mm((1, 0, 0)) - geometry.to_mm((0, 0, 0))
    np.testing.assert_allclose(np.linalg.norm(step), geometry.spacing[0])


@settings(max_examples=50, deadline=None)
@given(geometries())
def test_canonical_axes_are_a_permutation(geometry: Geometry) -> None:
    order, flips = geometry.canonical_axes()
    assert sorted(order) == [0, 1, 2]
    for world, (axis, flip) in enumerate(zip(order, flips, strict=True)):
        assert (geometry.affine[world, axis] < 0) == flip


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", list(itertools.product([1.0, -1.0], repeat=3)))
def test_canonical_axes_of_right_angles(order: tuple[int, ...], signs: tuple[float, ...]) -> None:
    affine = np.eye(4)
    affine[:3, :3] = 0
    for world, axis in enumerate(order):
        affine[world, axis] = signs[world] * (1 + world)
    got_order, got_flips = Geometry((3, 4, 5), affine).canonical_axes()
    assert got_order == order
    assert got_flips == tuple(s < 0 for s in signs)


def test_the_affine_is_read_only_and_a_copy() -> None:
    affine = np.eye(4)
    geometry = Geometry((2, 2, 2), affine)
    affine[0, 0] = 5
    assert geometry.affine[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        geometry.affine[0, 0] = 2


@pytest.mark.parametrize(
    ("shape", "affine", "said"),
    [
        ((0, 4, 4), np.eye(4), "at least one voxel"),
        ((4, 4), np.eye(4), "three axes"),
        ((4, 4, 4), np.eye(3), "4x4"),
        ((4, 4, 4), np.diag([1, np.nan, 1, 1]), "finite"),
        ((4, 4, 4), np.diag([1, 0, 1, 1]), "spacing"),
        ((4, 4, 4), np.diag([1, 5e3, 1, 1]), "spacing"),
        ((4, 4, 4), np.array([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1.0]]), "singular"),
        ((4, 4, 4), np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1.0]]), "last row"),
    ],
)
def test_what_makes_no_sense(shape: tuple[int, int, int], affine: np.ndarray, said: str) -> None:
    with pytest.raises(GeometryError, match=said):
        Geometry(shape, affine)


def test_matches_within_a_tolerance() -> None:
    moved = CUBE.affine.copy()
    moved[0, 3] += 5e-4
    assert CUBE.matches(Geometry(CUBE.shape, moved))
    assert not CUBE.matches(Geometry(CUBE.shape, moved), 1e-4)
    assert not CUBE.matches(Geometry((4, 5, 7), CUBE.affine))
    np.testing.assert_array_equal(RAS_TO_LPS @ RAS_TO_LPS, np.eye(4))


def test_types_refuse_what_does_not_fit() -> None:
    with pytest.raises(DataError):
        Volume(CUBE, np.zeros((4, 5, 5)))
    with pytest.raises(MaskError):
        Mask(CUBE, np.zeros((5, 4, 6), np.uint8))
    with pytest.raises(DataError):
        Picture(np.zeros((9, 9), np.uint8))
    with pytest.raises(DataError):
        Study("nothing")
    picture = Picture(np.zeros((9, 9, 1), np.uint8), ("odd",))
    with pytest.raises(DataError):
        _ = Study("p", picture=picture).reference
    assert Study("p", picture=picture).warnings == ("odd",)


def test_findings_as_json() -> None:
    findings = Findings(
        "s",
        ModelId("m", "1", "0" * 64),
        None,
        (Category("glioma", 1 / 3),),
        (Location(0.5, 1, center_mm=(1.0, 2.0, 3.00000049), volume_mm3=8.0), Location(0.5, 2, center_px=(3.0, 4.0))),
    )
    plain = findings.to_json()
    assert plain["categories"] == [{"name": "glioma", "probability": 0.333333}]
    assert plain["locations"][0] == {"probability": 0.5, "label": 1, "center_mm": [1.0, 2.0, 3.0], "volume_mm3": 8.0}
    assert plain["locations"][1] == {"probability": 0.5, "label": 2, "center_px": [3.0, 4.0]}
    assert plain["presence"] is None
