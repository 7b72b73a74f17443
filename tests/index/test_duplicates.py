from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import zoom

from secondread.formats import read_picture
from secondread.index import Row
from secondread.index.duplicates import LEVELS, SIDE, cluster, find_pairs, sha256_of, thumbprint
from secondread.index.likeness import likeness
from secondread.volume import Geometry, Picture, Volume
from tests.index.makers import picture, row


def _row(name: str, path: Path) -> Row:
    return row(name, thumbprint=thumbprint(read_picture(path)), sha256=sha256_of([path])[0])


def test_copies_join_and_others_stay_apart(tmp_path: Path) -> None:
    rows = [_row(f"s{n}", picture(tmp_path / f"{n}.png", n)) for n in range(30)]
    with Image.open(tmp_path / "3.png") as image:
        image.save(tmp_path / "3.jpg", quality=60)
        image.resize((97, 61), Image.Resampling.BICUBIC).save(tmp_path / "scaled.png")
    rows += [
        _row("jpeg", tmp_path / "3.jpg"),
        _row("scaled", tmp_path / "scaled.png"),
        _row("same", tmp_path / "3.png"),
    ]
    numbers, notes = cluster(rows)
    assert numbers[:30] == list(range(30))
    assert numbers[30:] == [3, 3, 3]
    assert notes == []


def test_blank_pictures_are_not_alike_but_equal_bytes_are() -> None:
    blank = thumbprint(Picture(np.full((20, 20, 1), 7, np.uint8)))
    assert blank == bytes(SIDE * SIDE)
    rows = [row("a", thumbprint=blank), row("b", thumbprint=blank), row("c", thumbprint=blank, sha256="a")]
    assert cluster(rows)[0] == [0, 1, 0]


def test_nearly_blank_pictures_do_not_collapse() -> None:
    rng = np.random.default_rng(0)
    pictures = [Picture(rng.integers(0, 3, (64, 64, 1)).astype(np.uint8)) for _ in range(30)]
    rows = [row(f"s{n}", thumbprint=thumbprint(p)) for n, p in enumerate(pictures)]
    assert len(set(cluster(rows)[0])) == 30


def test_a_set_on_one_template_does_not_become_one_cluster() -> None:
    rng = np.random.default_rng(0)
    template = zoom(rng.random((6, 6)), 8, order=1) * 255
    rows = []
    for n in range(60):
        noisy = np.clip(template + rng.normal(0, 2, template.shape), 0, 255).astype(np.uint8)
        rows.append(row(f"s{n}", thumbprint=thumbprint(Picture(noisy[..., None]))))
    numbers, notes = cluster(rows)
    assert len(set(numbers)) > 30
    assert any("so much alike" in note for note in notes)


def test_a_volume_is_known_again_resampled_and_turned() -> None:
    rng = np.random.default_rng(1)
    voxels = zoom(rng.random((8, 8, 8)), 5, order=1).astype(np.float32)
    scan = Volume(Geometry((40, 40, 40), np.eye(4)), voxels)
    smaller = zoom(voxels, 0.7, order=1)
    turned = np.ascontiguousarray(smaller.transpose(2, 0, 1)[::-1])
    affine = np.zeros((4, 4))
    affine[2, 0], affine[0, 1], affine[1, 2], affine[3, 3] = -1 / 0.7, 1 / 0.7, 1 / 0.7, 1
    copy = Volume(Geometry((28, 28, 28), affine), turned)
    other = Volume(scan.geometry, zoom(rng.random((8, 8, 8)), 5, order=1).astype(np.float32))
    rows = [row(str(n), thumbprint=thumbprint(v)) for n, v in enumerate((scan, copy, other))]
    assert cluster(rows)[0] == [0, 0, 1]
    assert len(rows[0].thumbprint) == 3 * SIDE * SIDE


def test_two_people_on_one_template_are_two() -> None:
    """Two volumes that share much and lie alike, and each of whose planes, as a picture, would count as a copy."""
    rng = np.random.default_rng(5)
    shared, *own = (zoom(rng.random((8, 8, 8)), 6, order=1) for _ in range(3))
    prints = [
        thumbprint(Volume(Geometry((48, 48, 48), np.eye(4)), (shared + 0.5 * more).astype(np.float32))) for more in own
    ]
    both = np.frombuffer(b"".join(prints), np.uint8).reshape(2, 3, SIDE, SIDE)
    alike = likeness(both, np.array([[0, 1]]))[0]
    assert LEVELS[0] < alike < LEVELS[1]
    assert len(find_pairs(both)[0]) == 0
    assert len(find_pairs(both[:, :1])[0]) == 1


def test_pictures_and_volumes_are_never_compared() -> None:
    rng = np.random.default_rng(1)
    voxels = zoom(rng.random((8, 8, 8)), 5, order=1).astype(np.float32)
    a = thumbprint(Volume(Geometry((40, 40, 40), np.eye(4)), voxels))
    b = thumbprint(Picture((voxels[20, :, :, None] * 255).astype(np.uint8)))
    assert cluster([row("a", thumbprint=a), row("b", thumbprint=b)])[0] == [0, 1]


def test_excluded_rows_are_in_no_cluster() -> None:
    assert cluster([row("a"), row("b", sha256="a", excluded=True)])[0] == [0, -1]


def test_sha256_of_several_files_forgets_their_order(tmp_path: Path) -> None:
    a, b = picture(tmp_path / "a.png", 1), picture(tmp_path / "b.png", 2)
    assert sha256_of([a, b]) == sha256_of([b, a])
    assert sha256_of([a])[0] != sha256_of([b])[0]
    assert sha256_of([a, b])[1] == a.stat().st_size + b.stat().st_size
