"""Where air ends: in clean scans, in noisy ones, and where there is none."""

import numpy as np
import pytest
from numpy.typing import NDArray

from secondread.volume import Geometry, Recipe, Study, Volume, prepare
from secondread.volume.foreground import FOREGROUND_LEVEL, box_of, foreground

HEAD = (slice(30, 70), slice(24, 80), slice(20, 60))


def head(shape: tuple[int, ...] = (100, 100, 80)) -> NDArray[np.float32]:
    """An ellipsoid of tissue from 300 (fluid) to 1000 (fat) in black air."""
    size = [part.stop - part.start for part in HEAD]
    places = [(np.arange(n) + 0.5) / n * 2 - 1 for n in size]
    inside = sum(x**2 for x in np.meshgrid(*places, indexing="ij")) < 1
    scan = np.zeros(shape, np.float32)
    scan[HEAD] = np.random.default_rng(5).uniform(300, 1000, size) * inside
    return scan


def noisy(scan: NDArray[np.float32], noise: float) -> NDArray[np.float32]:
    """As a receiver of two channels measures it."""
    rng = np.random.default_rng(7)
    return np.hypot(scan + rng.normal(0, noise, scan.shape), rng.normal(0, noise, scan.shape)).astype(np.float32)


@pytest.mark.parametrize("noise", [0.0, 20.0, 50.0, 70.0])
def test_the_box_is_the_heads_however_noisy_the_air(noise: float) -> None:
    low, high = box_of(foreground(noisy(head(), noise)))
    for axis, (first, last) in enumerate(zip(low, high, strict=True)):
        assert abs(first - HEAD[axis].start) <= 2
        assert abs(last - HEAD[axis].stop) <= 2


def test_noisy_air_moves_the_normalised_head_by_little() -> None:
    recipe = Recipe(("flair",), spacing=(1.0, 1.0, 1.0))
    middles = []
    for noise in (0.0, 70.0):
        volume = Volume(Geometry((100, 100, 80), np.eye(4)), noisy(head(), noise))
        array = prepare(Study("noisy", {"flair": volume}), recipe).array[0]
        middles.append(array[tuple(slice(n // 2 - 10, n // 2 + 10) for n in array.shape)])
    assert middles[1].mean() == pytest.approx(middles[0].mean(), abs=0.15)
    assert middles[1].std() == pytest.approx(middles[0].std(), abs=0.15)


def test_noise_in_a_frame_of_zeros_is_found() -> None:
    framed = np.pad(noisy(head(), 60.0), 30)
    low, high = box_of(foreground(framed))
    assert all(abs(first - 30 - part.start) <= 4 for first, part in zip(low, HEAD, strict=True))
    assert all(abs(last - 30 - part.stop) <= 4 for last, part in zip(high, HEAD, strict=True))


@pytest.mark.parametrize("receivers", [1, 32])
def test_noise_of_many_receivers_is_found_and_an_even_ground_is_none(receivers: int) -> None:
    rng = np.random.default_rng(7)
    channels = rng.normal(0, 60.0 / np.sqrt(receivers), (2 * receivers, *head().shape))
    scan = np.sqrt(head() ** 2 + (channels**2).sum(0)).astype(np.float32)
    low, high = box_of(foreground(scan))
    assert all(abs(first - part.start) <= 2 for first, part in zip(low, HEAD, strict=True))
    assert all(abs(last - part.stop) <= 2 for last, part in zip(high, HEAD, strict=True))
    # Drawn: something of 60 on a ground of 50, beside one black voxel and what is much brighter.
    drawn = np.full((40, 40, 40), 50.0, np.float32)
    drawn[20:, 20:, 20:], drawn[0, 0, 0], drawn[30:34] = 60.0, 0.0, 200.0
    assert (foreground(drawn) == plain(drawn)).all()
    assert foreground(drawn).mean() > 0.99


def plain(scan: NDArray[np.float32]) -> NDArray[np.bool_]:
    low, high = scan.min(), np.percentile(scan, 99)
    return np.asarray(scan > low + FOREGROUND_LEVEL * (high - low))


def test_clean_air_leaves_the_level_where_it_was() -> None:
    scan = noisy(head(), 20.0)
    assert (foreground(scan) == plain(scan)).mean() > 0.9999


def test_a_stripped_brain_and_a_scan_without_air_keep_their_dark_tissue() -> None:
    places = np.indices((60, 60, 60)) - 29.5
    radius = np.sqrt((places**2).sum(0))
    # Fluid at the brain's rim is as dark as noisy air would be, and lies at the border of what is not black.
    stripped = np.where(radius < 30, np.where(radius > 26, 120.0, 700.0), 0.0).astype(np.float32)
    stripped *= np.random.default_rng(3).uniform(0.8, 1.2, stripped.shape)
    assert foreground(stripped)[(radius < 29) & (radius > 26)].all()
    full = head()[40:60, 40:60, 30:50]
    assert (foreground(full) == plain(full)).all()


def test_slices_and_flat_volumes_have_a_foreground() -> None:
    scan = noisy(head(), 60.0)
    low, high = box_of(foreground(scan[:, :, 40]))
    assert all(abs(first - part.start) <= 2 for first, part in zip(low, HEAD[:2], strict=True))
    assert all(abs(last - part.stop) <= 2 for last, part in zip(high, HEAD[:2], strict=True))
    assert foreground(scan[:, :, 40:41]).shape == (100, 100, 1)
    assert not foreground(np.zeros((4, 5), np.float32)).any()
