"""One packed store of volumes and one of pictures, made once; tests that damage a store take a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from secondread.store import Store, pack
from secondread.volume import Recipe

from .scans import CONTRASTS, FakeRow, picture_row, volume_row

VOLUMES = Recipe(CONTRASTS, spacing=(1.0, 1.0, 1.0))
PICTURES = Recipe(("red", "green", "blue"), size=(16, 16))


@pytest.fixture(scope="session")
def volume_rows(tmp_path_factory: pytest.TempPathFactory) -> list[FakeRow]:
    folder = tmp_path_factory.mktemp("volumes")
    return [
        volume_row(folder, "glioma-1", label="glioma", normal=False, lesion=True),
        volume_row(folder, "glioma-2", label="glioma", normal=False),
        volume_row(folder, "healthy-1", label="healthy", normal=True),
        volume_row(folder, "healthy-2", label="healthy", normal=True, shape=(20, 44, 22)),
        volume_row(folder, "unlabelled-1", lesion=True, contrasts=("t1",)),
        volume_row(folder, "unlabelled-2", lesion=False),
    ]


@pytest.fixture(scope="session")
def packed_volumes(volume_rows: list[FakeRow], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(volume_rows, VOLUMES, tmp_path_factory.mktemp("store") / "volumes").folder


@pytest.fixture(scope="session")
def packed_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    rows = [picture_row(folder, f"cat-{n}", label="cat") for n in range(5)]
    rows += [picture_row(folder, f"dog-{n}", label="dog", lesion=True) for n in range(3)]
    return pack(rows, PICTURES, tmp_path_factory.mktemp("store") / "pictures").folder


@pytest.fixture
def volumes(packed_volumes: Path, tmp_path: Path) -> Store:
    """A store of its own, to do with as one likes."""
    return Store.open(Path(shutil.copytree(packed_volumes, tmp_path / "volumes")))


@pytest.fixture
def pictures(packed_pictures: Path, tmp_path: Path) -> Store:
    return Store.open(Path(shutil.copytree(packed_pictures, tmp_path / "pictures")))
