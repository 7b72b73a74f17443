"""A model as a bundle: the model folder, and the network as ONNX, which is written only if it says the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from secondread.errors import RefusedError, UsageError, writing
from secondread.files import write_whole
from secondread.infer.brightness import with_brightness
from secondread.infer.reader import voxel_probability
from secondread.infer.runtime import OUTPUTS, TOLERANCE, Exported, onnx_session
from secondread.infer.slicewise import slices_of
from secondread.infer.spec import ModelSpec, Thresholds, open_model, save_model
from secondread.models import Output, SecondReader
from secondread.volume import Study, prepare

MASK_CHANGE = 1e-4
"""Share of voxels whose label may differ between torch's masks and the exported network's."""

PARITY_HEADS = 4


class _Plain(nn.Module):
    """The network with its outputs as a tuple, which is what ONNX knows."""

    def __init__(self, network: SecondReader) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        out: Output = self.network(images)
        return tuple(getattr(out, name) for name in OUTPUTS)


def export_bundle(model: Path, out: Path, studies: Sequence[Study] = ()) -> Path:
    """Write ``model.json``, ``weights.safetensors``, ``CARD.md``, ``model.onnx`` and ``manifest.json`` into ``out``.

    ``model.onnx`` takes ``images`` (1, C, *window) float32, prepared, and gives ``evidence`` (1, K, *window),
    ``presence`` (1,) and ``category`` (1, K), all logits, and ``features`` (1, 2 F). It is written only if ONNX Runtime
    and torch agree on noise, on heads made here, and on ``studies``, all at the model's full size. Where the model's
    thresholds ask the scan's brightness, that comes after the network and is not in it; nor is, of a model that reads
    volumes slice by slice, how slices are cut and joined (:mod:`secondread.infer.slicewise`).

    Raises:
        UsageError: the ``export`` extra is not installed, or ``out`` is the model itself.
        RefusedError: the exported network's outputs differ by more than TOLERANCE, or its masks by MASK_CHANGE.
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
    _check_parity(network, spec, content, studies)
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
    example = torch.zeros(1, spec.network.channels, *spec.window)
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


def _check_parity(network: SecondReader, spec: ModelSpec, content: bytes, studies: Sequence[Study]) -> None:
    """Raise RefusedError unless torch and ONNX Runtime agree on heads made here, on noise, and on ``studies``."""
    session = onnx_session(content)
    if session is None:
        raise RefusedError(f"the exported network does not give {', '.join(OUTPUTS)}")
    changed, voxels = 0, 0
    runtime = Exported(network, spec.window, session)
    for images in _inputs(spec, studies):
        with torch.inference_mode():
            ours, theirs = network(images), runtime(images)
        for name in OUTPUTS:
            gap = float((getattr(ours, name) - getattr(theirs, name)).abs().max())
            if not gap <= TOLERANCE:
                raise RefusedError(f"the exported network's {name} differs by {gap:.2g}, more than {TOLERANCE:g}")
        a, b = (_mask(out.evidence[0], images[0], spec.thresholds) for out in (ours, theirs))
        changed, voxels = changed + int((a != b).sum()), voxels + a.numel()
    if changed > MASK_CHANGE * voxels:
        raise RefusedError(
            f"the exported network's masks differ in {changed} of {voxels} voxels, more than {MASK_CHANGE:.2%}"
        )


def _inputs(spec: ModelSpec, studies: Sequence[Study]) -> Iterator[Tensor]:
    """Inputs (1, C, *window) to compare on."""
    rng = np.random.default_rng(0)
    shape = (spec.network.channels, *spec.window)
    for array in [rng.normal(size=shape), *(_head(shape, rng) for _ in range(PARITY_HEADS))]:
        yield torch.from_numpy(array.astype(np.float32))[None]
    for study in studies:
        scan = prepare(study, spec.recipe).array
        if spec.sliced:
            scan = slices_of(torch.from_numpy(scan), 2, [scan.shape[3] // 2], spec.patch)[0].numpy()
        yield torch.from_numpy(_to_size(scan, spec.window))[None]


def _head(shape: Sequence[int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Something like a prepared head (C, *window): an ellipsoid with folds, a bright blob, air of -2 around."""
    grid = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape[1:]), indexing="ij", sparse=True)
    waves = sum(np.sin(rng.uniform(4, 20) * axis + rng.uniform(0, 6)) for axis in grid)
    radius = np.sqrt(sum((axis / rng.uniform(0.8, 1.0)) ** 2 for axis in grid))
    centre = rng.uniform(-0.4, 0.4, len(grid))
    blob = sum((axis - c) ** 2 for axis, c in zip(grid, centre, strict=True)) < rng.uniform(0.1, 0.35) ** 2
    channels = [np.where(radius < 1, 0.6 * waves * rng.normal() + blob * rng.normal(1, 1), -2) for _ in range(shape[0])]
    return np.stack(channels) + rng.normal(0, 0.1, tuple(shape))


def _to_size(array: NDArray[np.float32], window: Sequence[int]) -> NDArray[np.float32]:
    """(C, S) cut or padded at its ends to (C, *window)."""
    for axis, wanted in enumerate(window, start=1):
        extra = array.shape[axis] - wanted
        if extra > 0:
            array = np.take(array, range(extra // 2, extra // 2 + wanted), axis)
        elif extra < 0:
            pads = [(0, 0)] * array.ndim
            pads[axis] = (-extra // 2, -extra - -extra // 2)
            array = np.pad(array, pads, mode="edge")
    return np.ascontiguousarray(array)


def _mask(evidence: Tensor, image: Tensor, thresholds: Thresholds) -> Tensor:
    """Evidence logits (K, *S) of a scan (C, *S) to labels (*S): 0, or 1 + the likeliest category where something is."""
    p = voxel_probability(with_brightness(evidence, image, thresholds.brightness))
    return torch.where(p.sum(0) >= thresholds.mask, 1 + p.argmax(0), 0)
