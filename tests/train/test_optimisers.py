"""Optimisers: what runs fused does what the plain one does."""

from __future__ import annotations

import pytest
import torch

from secondread.models import NetworkSpec, build
from secondread.train.optimisers import OPTIMIZERS


@pytest.mark.parametrize("name", [name for name, kind in OPTIMIZERS.items() if "fused" in kind.defaults])
def test_fused_steps_are_the_plain_ones(name: str) -> None:
    """In channels last, where a kernel that took one tensor's memory for another's layout would go astray."""
    ends = []
    for fused in (True, False):
        torch.manual_seed(0)
        network = build(NetworkSpec("segresnet", 2, 1, 2, width=8)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        kind = OPTIMIZERS[name]
        optimizer = kind.make(network.parameters(), lr=1e-3, **(kind.defaults | {"fused": fused}))
        for _ in range(3):
            optimizer.zero_grad()
            out = network.eval()(torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(1)))
            (out.evidence.square().mean() + out.presence.sum()).backward()
            optimizer.step()
        ends.append([p.detach().clone() for p in network.parameters()])
    for ours, plain in zip(*ends, strict=True):
        assert torch.allclose(ours, plain, atol=2e-5)
