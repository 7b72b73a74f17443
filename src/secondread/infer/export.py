"""A model as a bundle: the model folder, and the network as ONNX, which is written only if it says the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from secondread.errors import RefusedError, UsageError, writing
from secondread.files import write_whole
from secondread.infer.spec import ModelSpec, open_model, save_model
from secondread.models import SecondReader

TOLERANCE = 1e-3
"""Logits of the exported network may differ from torch's by this much."""

PARITY_INPUTS = 3
OUTPUTS = ("evidence", "presence", "category")


class _Plain(nn.Module):
    """The network with its outputs as a tuple, which is what ONNX knows."""

    def __init__(self, network: SecondReader) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        out = self.network(images)
        return out.evidence, out.presence, out.category


def export_bundle(model: Path, out: Path) -> Path:
    """Write ``model.json``, ``weights.safetensors``, ``CARD.md``, ``model.onnx`` and ``manifest.json`` into ``out``.

    ``model.onnx`` takes ``images`` (1, C, *patch) float32, prepared, and gives ``evidence`` (1, K, *patch),
    ``presence`` (1,) and ``category`` (1, K), all logits.

    Raises:
        UsageError: the ``export`` extra is not installed, or ``out`` is the model itself.
        RefusedError: the exported network's logits differ by more than TOLERANCE.
        DataError, ChecksumError: as :func:`secondread.infer.open_model`.
    """
    inner = model / "model"
    source = inner if inner.is_dir() else model
    if out.resolve() == source.resolve():
        raise UsageError(f"{out} is the model itself: name another folder")
    spec, network, _ = open_model(source)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    content = _onnx(network, spec)
    _check_parity(network, spec, content)
    save_model(out, spec, network.state_dict(), (source / "CARD.md").read_text())
    with writing(out):
        write_whole(out / "model.onnx", content)
        manifest = json.loads((out / "manifest.json").read_text())
        manifest["model.onnx"] = hashlib.sha256(content).hexdigest()
        write_whole(out / "manifest.json", (json.dumps(manifest, indent=2) + "\n").encode())
    return out


def _onnx(network: SecondReader, spec: ModelSpec) -> bytes:
    import tempfile

    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UsageError("export needs more packages: pip install 'secondread[export]'") from error
    example = torch.zeros(1, spec.network.channels, *spec.patch)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            _Plain(network).eval(),
            (example,),
            str(path),
            input_names=["images"],
            output_names=list(OUTPUTS),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        return path.read_bytes()


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what torch's exporter says to its own developers; errors still come through."""
    import logging
    import warnings

    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        logger.setLevel(level)


def _check_parity(network: SecondReader, spec: ModelSpec, content: bytes) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    rng = torch.Generator().manual_seed(0)
    for _ in range(PARITY_INPUTS):
        images = torch.randn(1, spec.network.channels, *spec.patch, generator=rng)
        with torch.inference_mode():
            ours = _Plain(network)(images)
        theirs = session.run(list(OUTPUTS), {"images": images.numpy()})
        for name, a, b in zip(OUTPUTS, ours, theirs, strict=True):
            gap = float(np.abs(a.numpy() - b).max())
            if not gap <= TOLERANCE:
                raise RefusedError(f"the exported network's {name} differs by {gap:.2g}, more than {TOLERANCE:g}")
