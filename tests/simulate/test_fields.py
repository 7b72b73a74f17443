from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from secondread.simulate.fields import lattice_positions, lattice_shape, smooth_noise, upsample


@given(st.tuples(*[st.integers(2, 20)] * 3), st.floats(0.5, 8.0), st.floats(1.0, 60.0))
def test_a_spline_keeps_constants_and_straight_lines(shape: tuple[int, int, int], spacing: float, step: float) -> None:
    m = lattice_shape(shape, spacing, step)
    along = [lattice_positions(n, size) for n, size in zip(shape, m, strict=True)]
    plane = (along[0][:, None, None] - 2 * along[1][None, :, None] + along[2][None, None, :] + 3).astype(np.float32)
    i, j, k = np.indices(shape)
    np.testing.assert_allclose(upsample(plane, shape), i - 2 * j + k + 3, atol=2e-4)


def test_smooth_noise_has_unit_spread_and_the_asked_smoothness() -> None:
    fine = smooth_noise(np.random.default_rng(0), (60, 60, 60), 2.0, 6.0)
    coarse = smooth_noise(np.random.default_rng(0), (60, 60, 60), 2.0, 24.0)
    assert abs(float(fine.mean())) < 0.05
    assert 0.9 < float(fine.std()) < 1.1
    assert np.abs(np.diff(coarse, axis=0)).mean() < 0.4 * np.abs(np.diff(fine, axis=0)).mean()
