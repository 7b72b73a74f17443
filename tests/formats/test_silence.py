"""What is the process's own comes back as it was, however many threads read at once."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from pydicom import config

from secondread.formats import read_volume
from secondread.formats.dicom import _private
from tests.formats.scans import noise, write_series


def settings() -> tuple[object, object, object]:
    return (
        config.settings._reading_validation_mode,
        config.settings._writing_validation_mode,
        list(warnings.filters),
    )


def test_readers_that_overlap_leave_the_settings_as_they_were(tmp_path: Path) -> None:
    before = settings()
    first, second = _private(tmp_path), _private(tmp_path)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert config.settings.reading_validation_mode == config.IGNORE  # the second still reads
    assert warnings.filters[0][0] == "ignore"
    second.__exit__(None, None, None)
    assert settings() == before


def test_a_file_that_cannot_be_read_puts_them_back_too(tmp_path: Path) -> None:
    before = settings()
    (tmp_path / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 40)
    with ThreadPoolExecutor(4) as pool:
        ends = [pool.submit(read_volume, tmp_path / "broken.dcm") for _ in range(20)]
    assert all(end.exception() is not None for end in ends)
    assert settings() == before


def test_many_threads_read_the_same(tmp_path: Path) -> None:
    before = settings()
    voxels = noise((6, 5, 4), np.uint16)
    write_series(tmp_path / "s", voxels)
    with ThreadPoolExecutor(8) as pool:
        for volume in pool.map(read_volume, [tmp_path / "s"] * 24):
            np.testing.assert_array_equal(volume.voxels, voxels)
    assert settings() == before
