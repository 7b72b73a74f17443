"""Where training stands, kept so that a kill at any moment loses at most one epoch and never leaves a bad file.

``checkpoints/epoch-00000007.safetensors`` holds the tensors;
``checkpoints/latest.json`` names the newest complete one with
its SHA-256 and the numbers beside the tensors. Both are written under another name, flushed and renamed, the tensors
first: whatever ``latest.json`` names was whole before it was named.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor

from secondread.errors import ChecksumError, DataError, writing
from secondread.files import write_whole
from secondread.models import SecondReader

FORMAT_VERSION = 1


@dataclass
class Progress:
    """The numbers of a training state. ``history`` is what ``history.jsonl`` holds, so that the two cannot part."""

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    best_epoch: int = 0
    best_score: float = float("-inf")
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass(eq=False)
class State:
    """All that training carries from one epoch to the next.

    Attributes:
        network: the weights being trained.
        averaged: their exponential moving average, which is validated and kept.
        best: the averaged weights of the epoch kept so far.
    """

    network: SecondReader
    averaged: SecondReader
    optimizer: torch.optim.Optimizer
    best: dict[str, Tensor]
    progress: Progress


def save_checkpoint(folder: Path, state: State) -> None:
    """Keep ``state`` as the newest checkpoint, and the one before it. Raises ResourceError."""
    from safetensors.torch import save

    tensors = {f"network/{k}": v for k, v in state.network.state_dict().items()}
    tensors |= {f"averaged/{k}": v for k, v in state.averaged.state_dict().items()}
    tensors |= {f"best/{k}": v for k, v in state.best.items()}
    for index, values in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{k}": v for k, v in values.items() if isinstance(v, Tensor)}
    # Cloned, because safetensors refuses tensors that share memory.
    content = save({k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()})
    name = f"epoch-{state.progress.epoch:08d}.safetensors"
    latest = {
        "version": FORMAT_VERSION,
        "file": name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "progress": asdict(state.progress),
    }
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / name, content)
        write_whole(folder / "latest.json", json.dumps(latest).encode())
        for old in sorted(folder.glob("epoch-*.safetensors"))[:-2]:
            old.unlink(missing_ok=True)


def load_checkpoint(folder: Path, state: State) -> bool:
    """Bring ``state`` to the newest checkpoint. False where there is none yet.

    Raises:
        ChecksumError: the checkpoint's bytes are not those that were written.
        DataError: it was written by another version.
    """
    from safetensors.torch import load

    latest = _latest(folder)
    if latest is None:
        return False
    path = folder / latest["file"]
    content = path.read_bytes() if path.exists() else b""
    if hashlib.sha256(content).hexdigest() != latest["sha256"]:
        raise ChecksumError(f"{path} is damaged; remove {folder} and train again without --resume")
    tensors = load(content)
    state.network.load_state_dict(_under("network/", tensors))
    state.averaged.load_state_dict(_under("averaged/", tensors))
    state.best = _under("best/", tensors)
    whole = state.optimizer.state_dict()
    whole["state"] = {}
    parameters = [p for group in state.optimizer.param_groups for p in group["params"]]
    for name, value in _under("optimizer/", tensors).items():
        index, _, key = name.partition("/")
        like = parameters[int(index)]
        # In the parameter's own memory layout, as it was before: other kernels may round otherwise.
        placed = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
        whole["state"].setdefault(int(index), {})[key] = placed
    state.optimizer.load_state_dict(whole)
    state.progress = latest["progress"]
    return True


def epochs_done(folder: Path) -> int:
    """How many epochs the newest checkpoint has behind it; 0 where there is none. Raises as :func:`load_checkpoint`."""
    latest = _latest(folder)
    return 0 if latest is None else latest["progress"].epoch


def _latest(folder: Path) -> dict[str, Any] | None:
    path = folder / "latest.json"
    try:
        latest: dict[str, Any] = json.loads(path.read_text())
        version = latest["version"]
        if version == FORMAT_VERSION:
            progress = TypeAdapter(Progress).validate_python(latest["progress"])
            return {"file": str(latest["file"]), "sha256": str(latest["sha256"]), "progress": progress}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ChecksumError(f"{path} is damaged; remove {folder} and train again without --resume") from error
    raise DataError(f"{path} has version {version}, this release reads {FORMAT_VERSION}")


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
