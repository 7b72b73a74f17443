"""Volumes read by a network of pictures: which way up slices are, and where their evidence goes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from secondread.infer import ModelSpec, Reader, predict, slicewise
from secondread.infer.predict import AIR_LOGIT
from secondread.infer.slicewise import ANY, SIDE, Slicewise
from secondread.models import NetworkSpec, Output, SecondReader, Task, build
from secondread.volume import Geometry, Recipe, Study, Volume

SHAPE = (40, 48, 36)
PATCH = (256, 256, 256)


def network() -> SecondReader:
    torch.manual_seed(0)
    return build(NetworkSpec("segresnet", 2, 1, 2, width=8, stem=4)).eval()


class Echo(SecondReader):
    """Says as evidence what it sees, and keeps it."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__(NetworkSpec("segresnet", 2, channels, 2, width=8, stem=4))
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor, precision: torch.dtype = torch.float32) -> Output:
        self.seen.append(images)
        out = super().forward(images, precision)
        return Output(images.expand(-1, 2, -1, -1), out.presence, out.category, out.features)


def head(mark: tuple[int, int, int] | None = None) -> Tensor:
    """(1, 1, *SHAPE): a ball of tissue in air, with one bright voxel's neighbourhood."""
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij"))
    values = ((grid**2).sum(0) < 0.9).astype(np.float32) * np.random.default_rng(0).uniform(0.8, 1, SHAPE)
    if mark:
        values[tuple(slice(m - 1, m + 2) for m in mark)] = 4
    return torch.from_numpy(values.astype(np.float32))[None, None]


@pytest.mark.parametrize("plane", [0, 1, 2])
def test_evidence_of_each_plane_comes_back_to_where_it_was_seen(monkeypatch: pytest.MonkeyPatch, plane: int) -> None:
    monkeypatch.setattr(slicewise, "PLANES", (slicewise.PLANES[plane],))
    mark = (11, 31, 22)
    with torch.inference_mode():
        out = Slicewise(Echo().eval(), PATCH)(head(mark))
    assert out.evidence.shape == (1, 2, *SHAPE)
    peak = np.unravel_index(int(out.evidence[0, 0].argmax()), SHAPE)
    assert max(abs(int(p) - m) for p, m in zip(peak, mark, strict=True)) <= 1


def test_slices_hang_as_the_simulator_draws_them() -> None:
    """Coronal and sagittal: superior on top. Axial: anterior on top. Left is on the right of the picture."""
    ramps = torch.stack(torch.meshgrid(*(torch.arange(float(n)) for n in SHAPE), indexing="ij"))
    for axis, (row, column) in slicewise.PLANES:
        for world, picture_axis, up in ((row, 2, row == 2), (column, 3, False)):
            one = slicewise.slices_of(ramps[world][None] + 100, axis, [SHAPE[axis] // 2], PATCH)
            assert one.shape == (1, 1, SIDE, SIDE)
            line = one[0, 0].amax(3 - picture_axis)[_inside(SHAPE[world])]
            assert bool((line.diff() < 0).all()) is up, (axis, world)


def _inside(n: int) -> slice:
    before = (SIDE - n) // 2
    return slice(before, before + n)


def test_air_is_not_read_and_has_no_evidence() -> None:
    volume = torch.zeros(1, 1, 40, 48, 36)
    volume[..., 10:30, 10:40, 8:16] = head()[..., 10:30, 10:40, 8:16]
    echo = Echo().eval()
    with torch.inference_mode():
        out = Slicewise(echo, PATCH)(volume)
    assert sum(len(seen) for seen in echo.seen) < sum(SHAPE) / 2
    assert float(out.evidence[0, 0, 0, 0, 0]) == AIR_LOGIT
    with torch.inference_mode():
        nothing = Slicewise(Echo().eval(), PATCH)(torch.zeros(1, 1, 8, 8, 8))
    assert bool((nothing.evidence == AIR_LOGIT).all())
    assert torch.isfinite(nothing.category).all()


def test_a_volume_is_read_in_its_own_geometry_from_its_clearest_series() -> None:
    spec = ModelSpec(
        name="small",
        version="0",
        task=Task(("a", "b"), "normal", located=True),
        network=network().spec,
        recipe=Recipe((ANY,), spacing=(4.0, 4.0, 4.0)),
        patch=PATCH,
    )
    values = head((11, 31, 22))[0, 0].numpy() * 100
    t1 = Volume(Geometry(SHAPE, np.diag([-3.0, -3.0, 3.0, 1.0])), values)
    flair = Volume(Geometry((20, 24, 18), np.diag([-6.0, -6.0, 6.0, 1.0])), values[::2, ::2, ::2].copy())
    reader = Reader(spec, network(), "0" * 64)
    both = reader.read(Study("both", {"t1": t1, "flair": flair}))
    assert both.mask.shape == SHAPE
    assert any("read from flair alone" in warning for warning in both.findings.warnings)
    alone = reader.read(Study("alone", {"t1": t1}))
    assert not alone.findings.warnings
    assert not np.array_equal(alone.evidence, both.evidence)


def test_mirrored_reading_is_symmetric() -> None:
    volume = head((11, 31, 22))
    net = Slicewise(network(), PATCH)
    one = predict(net, volume, PATCH, mirror=True)
    other = predict(net, volume.flip(2), PATCH, mirror=True)
    torch.testing.assert_close(one.evidence, other.evidence.flip(2), atol=1e-4, rtol=0)


def test_the_neck_is_not_read() -> None:
    echo = Echo().eval()
    with torch.inference_mode():
        out = Slicewise(echo, PATCH, 20)(head((11, 31, 5)))
        top = Slicewise(Echo().eval(), PATCH, 20)(head((11, 31, 5))[..., 16:])
    assert bool((out.evidence[..., :16] == AIR_LOGIT).all())
    assert torch.equal(out.evidence[..., 16:], top.evidence)
    assert torch.equal(out.presence, top.presence)


def test_several_contrasts_are_read_together_and_one_that_is_missing_stays_zero() -> None:
    net = Echo(channels=2).eval()
    study = torch.cat([head((11, 31, 22)), torch.zeros(1, 1, *SHAPE)], dim=1)
    with torch.inference_mode():
        out = Slicewise(net, (32, 64, 32))(study)
    assert out.evidence.shape == (1, 2, *SHAPE)
    assert {tuple(seen.shape[2:]) for seen in net.seen} == {(64, 40), (36, 40), (36, 64)}
    assert all(bool(seen[:, 0].any()) and not bool(seen[:, 1].any()) for seen in net.seen)


def test_slices_are_parts_of_their_volume_or_pictures_of_their_own() -> None:
    study = head((11, 31, 22))
    for apart in (False, True):
        once, louder = Echo().eval(), Echo().eval()
        with torch.inference_mode():
            Slicewise(once, PATCH, apart=apart)(study)
            Slicewise(louder, PATCH, apart=apart)(3 * study)
        for one, other in zip(once.seen, louder.seen, strict=True):
            torch.testing.assert_close(other, one if apart else 3 * one, atol=1e-4, rtol=1e-4)


def test_a_glance_gives_the_features_of_a_whole_reading() -> None:
    net, study = network(), head((11, 31, 22))
    with torch.inference_mode():
        whole, glance = Slicewise(net, PATCH)(study), Slicewise(net, PATCH, glance=True)(study)
    torch.testing.assert_close(glance.features, whole.features, atol=1e-5, rtol=1e-4)
    assert not torch.equal(glance.evidence, whole.evidence)


def test_a_volume_much_larger_than_a_head_is_read_in_whole_slices_of_which_fewer_go_at_once() -> None:
    large = torch.nn.functional.interpolate(head(), size=(320, 40, 240), mode="nearest")
    echo = Echo().eval()
    predict(Slicewise(echo, (40, 40, 40)), large, (40, 40, 40))
    assert {tuple(images.shape[2:]) for images in echo.seen} == {(40, 320), (240, 320), (240, 40)}
    assert max(images.shape[0] * images[0, 0].numel() for images in echo.seen) <= slicewise.AT_ONCE * SIDE**2
