from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from secondread.evaluate.audit import Audit, audit_shortcuts, border_features, metadata_features, thumbnail_features
from secondread.index import Row

from .fakes import moved, write_pictures, write_volumes

DATA = Path(__file__).parents[2] / "../shared/data"


def by_name(found: Audit) -> dict[tuple[str, str], float]:
    return {(line.control, line.label): line.figure.value for line in found.controls}


def test_fair_pictures_give_no_alarm(tmp_path: Path) -> None:
    found = audit_shortcuts(write_pictures(tmp_path, 40, ("no_tumor", "glioma")))
    aucs = by_name(found)
    assert abs(aucs["border", "no_tumor"] - 0.5) < 0.2
    assert not found.normal_differs
    assert not any("border" in sentence for sentence in found.sentences)


def test_a_border_that_gives_the_normal_class_away_is_called_by_name(tmp_path: Path) -> None:
    rows = write_pictures(tmp_path, 20)
    for row in rows:
        if row.normal:
            pixels = np.asarray(Image.open(row.images[0])).copy()
            pixels[:3] = 200
            Image.fromarray(pixels).save(row.images[0])
    found = audit_shortcuts(rows)
    assert by_name(found)["border", "no_tumor"] > 0.99
    assert found.normal_differs
    (sentence,) = [s for s in found.sentences if s.startswith("The no_tumor pictures")]
    assert "by their border alone (AUC 1.00" in sentence
    assert "differ in source from the others" in sentence
    assert "Presence figures on these data are no evidence of detection." in sentence


def test_metadata_that_gives_a_class_away(tmp_path: Path) -> None:
    rows = [moved(r, bytes=9000) if r.label == "glioma" else moved(r, bytes=2000) for r in write_pictures(tmp_path, 20)]
    found = audit_shortcuts(rows)
    sentence = next(s for s in found.sentences if s.startswith("The glioma pictures"))
    assert "file size, shape and header alone" in sentence
    assert "Figures for glioma may owe their height to that" in sentence
    assert not found.normal_differs


def test_nothing_to_tell_apart(tmp_path: Path) -> None:
    rows = write_pictures(tmp_path / "p", 6)
    assert "one class only" in (audit_shortcuts([r for r in rows if r.label == "glioma"]).blocked or "")
    alone = [moved(r, group="all of them") if r.label == "glioma" else r for r in rows]
    assert "one group only" in (audit_shortcuts(alone).blocked or "")
    assert audit_shortcuts(write_volumes(tmp_path / "v", 2)).blocked is not None


def test_volumes_are_audited_by_their_middle_plane(tmp_path: Path) -> None:
    rows = [moved(row, normal=at % 2 == 0) for at, row in enumerate(write_volumes(tmp_path, 12))]
    found = audit_shortcuts(rows)
    assert found.studies == 12
    assert found.unread == 0
    assert {line.label for line in found.controls} == {"normal", "abnormal"}


def test_unreadable_pictures_are_counted(tmp_path: Path) -> None:
    rows = write_pictures(tmp_path, 8)
    rows[0].images[0].unlink()
    assert audit_shortcuts(rows).unread == 1


def test_same_seed_same_audit(tmp_path: Path) -> None:
    rows = write_pictures(tmp_path, 8)
    assert audit_shortcuts(rows) == audit_shortcuts(rows)


def test_features_by_hand() -> None:
    grey = np.zeros((100, 100), np.float32)
    grey[50, 50] = 1.0
    inside = border_features(grey)
    assert (inside == 0).all()
    grey[0, :] = 1.0
    framed = border_features(grey)
    assert framed[2] == 1  # the brightest of the whole frame
    assert framed[3] == pytest.approx(1 / 8)  # the upper side: one of eight rows
    assert framed[6] == 0  # the lower side
    half = np.zeros((64, 32), np.float32)
    half[32:] = 9
    thumb = thumbnail_features(half).reshape(8, 8)
    assert (thumb[:4] == 0).all()
    assert thumb[4:] == pytest.approx(1.0)
    row = Row("a", "a", "csv", (Path("a"),), ("t1",), shape=(10, 20), bytes=7, kind="picture")
    assert metadata_features([row])[0, :4].tolist() == [10, 20, 0, 0.5]


@pytest.mark.skipif(not (DATA / "slices.csv").is_file(), reason="the pictures of shared/data are not here")
@pytest.mark.slow
def test_real_pictures_without_tumour_differ_in_source() -> None:
    from secondread.index import build_index

    rows = build_index([DATA / "slices.csv"]).rows(None)
    began = time.monotonic()
    found = audit_shortcuts(rows)
    assert time.monotonic() - began < 60
    assert found.normal_differs
    assert any(s.startswith("The no_tumor pictures can be told from the others") for s in found.sentences)
