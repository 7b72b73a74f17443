"""Runtimes in torch's place, where they are quicker: ONNX Runtime, and OpenVINO where it is installed.

Both run ``model.onnx`` of a bundle, which is of one size, the model's patch; scans of other sizes are read with torch,
and so are volumes slice by slice, sixteen at a time.
Measured (docs/decisions/007-unsure.md): on pictures ONNX Runtime takes 0.5 to 0.8 of torch's time, on volumes as long
as torch, so it reads pictures; OpenVINO takes 0.6 of torch's time on both.

Axes: B batch, C channels, S space.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secondread.errors import ChecksumError
from secondread.infer.predict import Network
from secondread.infer.spec import ModelSpec
from secondread.models import NetworkSpec, Output, SecondReader

ONNX = "model.onnx"
OUTPUTS = ("evidence", "presence", "category", "features")
"""What the exported network gives, in the order of :class:`secondread.models.Output`."""

TOLERANCE = 1e-3
"""Logits of another runtime may differ from torch's by this much."""

Session = Callable[[NDArray[np.float32]], Sequence[NDArray[np.float32]]]


class Exported:
    """A network that another runtime runs where the input has the exported size, and torch everywhere else."""

    def __init__(self, network: SecondReader, patch: Sequence[int], session: Session) -> None:
        self.spec: NetworkSpec = network.spec
        layout = torch.channels_last if self.spec.dimensions == 2 else torch.channels_last_3d
        self._network = network.to(memory_format=layout).eval()  # type: ignore[call-overload]
        self._shape = (1, self.spec.channels, *patch)
        self._session = session

    def __call__(self, images: Tensor, /) -> Output:
        if images.shape != self._shape:
            return self._network(images)  # type: ignore[no-any-return]
        return Output(*(torch.from_numpy(np.array(part)) for part in self._session(images.contiguous().numpy())))


def fastest(folder: Path, spec: ModelSpec, network: SecondReader, device: str) -> Network | None:
    """The runtime to read the model in ``folder`` with; None for torch.

    OpenVINO is held against torch once here, since the gate of the export was passed with ONNX Runtime, and left out
    where it says something else, or, with a RuntimeWarning, where it cannot be loaded or run: the next in line reads.

    Raises:
        ChecksumError: ``model.onnx`` differs from the manifest.
    """
    if device != "cpu" or spec.sliced or not (folder / ONNX).exists():
        return None
    content = (folder / ONNX).read_bytes()
    manifest = json.loads((folder / "manifest.json").read_bytes())
    if manifest.get(ONNX) != hashlib.sha256(content).hexdigest():
        raise ChecksumError(f"{folder / ONNX} differs from manifest.json: the model is damaged or was edited")
    if importlib.util.find_spec("openvino"):
        try:
            runtime = Exported(network, spec.patch, openvino_session(content))
            if difference(network, runtime, spec) <= TOLERANCE:
                return runtime
        except Exception as error:
            # An extra that is broken, or does not know this processor, must not keep a scan from being read.
            why = f"OpenVINO cannot run {folder / ONNX} and is left out ({type(error).__name__}: {error})"
            warnings.warn(why, RuntimeWarning, stacklevel=2)
    if spec.network.dimensions == 2 and importlib.util.find_spec("onnxruntime"):
        session = onnx_session(content)
        return Exported(network, spec.patch, session) if session else None
    return None


def onnx_session(content: bytes) -> Session | None:
    """ONNX Runtime on as many threads as torch has; None for a network exported before it gave its features."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    if {output.name for output in session.get_outputs()} < set(OUTPUTS):
        return None
    return lambda images: list(session.run(list(OUTPUTS), {"images": images}))


def openvino_session(content: bytes) -> Session:
    """OpenVINO with 32-bit floats: by itself it may choose 16 bits, which moved outputs by 0.06."""
    import openvino

    core: Any = openvino.Core()
    hints = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    request = core.compile_model(core.read_model(content), "CPU", hints).create_infer_request()

    def run(images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        found = request.infer([images])
        return [np.array(found[name]) for name in OUTPUTS]

    return run


@torch.inference_mode()
def difference(network: SecondReader, runtime: Network, spec: ModelSpec) -> float:
    """The largest difference of any output between torch and a runtime, on one input of noise; inf if it is none."""
    rng = torch.Generator().manual_seed(0)
    images = torch.randn(1, spec.network.channels, *spec.patch, generator=rng)
    ours, theirs = network(images), runtime(images)
    gaps = [float((getattr(ours, name) - getattr(theirs, name)).abs().max()) for name in OUTPUTS]
    return max(gaps) if all(np.isfinite(gaps)) else float("inf")
