from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from secondread.infer import Reading
from secondread.infer.picture import (
    MARKED,
    Plane,
    _draw,
    _planes,
    answer,
    reading_picture,
    save_picture,
    shown_evidence,
)
from secondread.volume import Findings, Geometry, ModelId, Picture, Presence, Study, Volume


def reading(shape: tuple[int, ...], *, presence: bool = True) -> Reading:
    evidence = np.zeros((2, *shape), np.float32)
    evidence[1][tuple(slice(n // 4, n // 2) for n in shape)] = 0.9
    said = Presence(0.97, "abnormal") if presence else None
    findings = Findings("s", ModelId("m", "1", "0"), said)
    mask = (evidence.sum(0) > 0.5).astype(np.uint8)
    return Reading(findings, evidence, mask, 0.97 if presence else None, {"a": 0.2, "b": 0.8})


def test_a_picture_and_its_evidence_stand_side_by_side(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 120, (60, 40, 1)).astype(np.uint8)
    study = Study("Ölgemälde/Ναός", picture=Picture(pixels))
    plain = reading_picture(study, reading((60, 40)), panel=120, caption=False)
    assert plain.size == (2 * 80 + 8, 120)
    left, right = np.asarray(plain)[:, :80], np.asarray(plain)[:, 88:]
    outside = np.s_[90:, :]
    assert (left[outside] == right[outside]).all()
    assert (left != right).any()
    assert (right == MARKED).all(axis=2).any()
    whole = reading_picture(study, reading((60, 40)), np.ones((60, 40), np.uint8), panel=120)
    save_picture(whole, tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").size == whole.size


def test_volumes_hang_with_left_on_the_right_and_superior_up() -> None:
    # Stored in (S, R, A): index 0 grows upward, index 1 to the right, index 2 to the front.
    affine = np.array([[0, -1.0, 0, 0], [0, 0, -1.0, 0], [1.0, 0, 0, 0], [0, 0, 0, 1]])
    geometry = Geometry((20, 30, 40), affine)
    voxels = np.full(geometry.shape, 50.0, np.float32)
    voxels[0, 0, 0] = 0.0
    voxels[15:, :10, 30:] = 200.0  # superior, left, anterior
    evidence = np.zeros((1, *geometry.shape), np.float32)
    evidence[0, 17, 5, 35] = 1.0
    empty = Reading(
        Findings("s", ModelId("m", "1", "0"), Presence(0.1, "normal")),
        evidence,
        np.zeros(geometry.shape, np.uint8),
        0.1,
        {"lesion": 1.0},
    )
    study = Study("s", {"t1": Volume(geometry, voxels)})
    image = np.asarray(reading_picture(study, empty, panel=80, caption=False)).mean(axis=2)
    # One millimetre is two pixels: axial 60 x 80, coronal 60 x 40, sagittal 80 x 40, scan above evidence.
    assert image.shape == (80 + 8 + 80, 60 + 8 + 60 + 8 + 80)
    axial, coronal, sagittal = image[:80, :60], image[20:60, 68:128], image[20:60, 136:]
    assert axial[10, 50] > 2 * axial[70, 10]
    assert axial[10, 50] > 2 * axial[10, 10]
    assert coronal[4, 50] > 2 * coronal[4, 10]
    assert coronal[4, 50] > 2 * coronal[36, 50]
    assert sagittal[4, 10] > 2 * sagittal[4, 70]


def test_answers_in_one_line() -> None:
    assert answer(reading((4, 4))) == "abnormal, presence 0.97 · b 0.80"
    assert answer(reading((4, 4), presence=False)) == "b 0.80"


def test_without_a_normal_class_the_named_category_is_shown() -> None:
    made = reading((8, 8), presence=False)
    assert (shown_evidence(made) == made.evidence[1]).all()


def test_blank_and_16_bit_scans_are_drawn() -> None:
    for pixels in (np.zeros((9, 9, 1), np.uint8), np.full((9, 9, 3), 60000, np.uint16)):
        reading_picture(Study("s", picture=Picture(pixels)), reading((9, 9)), panel=50)
    flat = Volume(Geometry((5, 5, 5), np.eye(4)), np.zeros((5, 5, 5), np.int16))
    reading_picture(Study("s", {"t1": flat}), reading((5, 5, 5)), panel=50)


@pytest.mark.parametrize("flipped", [False, True])
def test_a_volume_says_which_side_is_which_and_how_long_20_mm_are(flipped: bool) -> None:
    shape, mm = (60, 70, 80), 1.5
    # Index 0 grows to the patient's left (LPS), or to the right.
    affine = np.diag([-mm if flipped else mm, mm, mm, 1.0])
    scan = np.zeros(shape, np.float32)
    left = np.s_[2:6] if flipped else np.s_[-6:-2]
    scan[left, 10:20, 38:42] = 0.5  # a spot far left, in the plane that is shown, anterior of the letters
    scan[30, 35, 40] = 0.01
    study = Study("s", {"t1": Volume(Geometry(shape, affine), scan)})
    said = Findings("s", ModelId("m", "1", "0"), Presence(0.1, "normal"))
    none = np.zeros(shape, np.float32)
    reading = Reading(said, none[None], none.astype(np.uint8), 0.1, {"lesion": 1.0})
    planes = _planes(study, reading, None)
    bright = np.flatnonzero(planes[0].grey[..., 0].max(axis=0) > 100)
    assert planes[0].sides is not None
    assert planes[0].sides[int(bright.mean() > planes[0].grey.shape[1] / 2)] == "L"
    assert [plane.sides for plane in planes] == [("R", "L"), ("R", "L"), ("A", "P")]
    legend = np.asarray(reading_picture(study, reading, panel=240)).astype(int).sum(axis=2)[-20] > 300
    starts_and_ends = np.flatnonzero(np.diff(np.concatenate([[0], legend, [0]])))
    zoom = 240 / max(max(plane.extent) for plane in planes)
    assert round(20 * zoom) + 1 in np.diff(starts_and_ends)[::2]


def test_the_letters_stand_at_their_sides() -> None:
    blank = Plane(
        np.zeros((60, 80, 3), np.uint8), np.zeros((60, 80), np.float32), np.zeros((60, 80), bool), None, (1, 1)
    )
    shown = np.asarray(_draw(replace(blank, sides=("R", "L")), 2.0, evidence=False)).max(axis=2) > 128
    assert not np.asarray(_draw(blank, 2.0, evidence=False)).any()
    right, left = (_glyph(half) for half in (shown[:, :80], shown[:, 80:]))
    # An L has nothing in its upper right quarter, an R has.
    assert right[: len(right) // 2, right.shape[1] // 2 :].any()
    assert not left[: len(left) // 2, left.shape[1] // 2 :].any()


def _glyph(where: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero(where.any(1)), np.flatnonzero(where.any(0))
    return where[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
