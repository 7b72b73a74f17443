from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from secondread.infer import Reading
from secondread.infer.picture import MARKED, answer, reading_picture, save_picture, shown_evidence
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


def test_a_volume_says_which_side_is_which_and_how_long_20_mm_are() -> None:
    shape, mm = (60, 70, 80), 1.5
    geometry = Geometry(shape, np.diag([mm, mm, mm, 1.0]))
    still = np.zeros(shape, np.float32)
    study = Study("s", {"t1": Volume(geometry, still)})
    said = Findings("s", ModelId("m", "1", "0"), Presence(0.1, "normal"))
    image = reading_picture(study, Reading(said, still[None], still.astype(np.uint8), 0.1, {"lesion": 1.0}), panel=240)
    pixels = np.asarray(image).astype(int).sum(axis=2)
    # All of the scan is black: what is bright in the upper row of panels are letters, at half their height.
    axial = pixels[48 : 48 + 240, 14 : 14 + 180]
    for side in (axial[:, :30], axial[:, -30:]):
        rows = np.flatnonzero((side > 300).any(axis=1))
        assert abs(rows.mean() - 120) < 5
    assert not (axial[:, 30:-30] > 300).any()
    # 240 pixels are 120 mm, so that 20 mm are 40: between two ticks of the legend.
    legend = pixels[-20, :] > 300
    starts_and_ends = np.flatnonzero(np.diff(np.concatenate([[0], legend, [0]])))
    runs = np.diff(starts_and_ends)[::2]
    assert 41 in runs
