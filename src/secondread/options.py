"""Options that verbs share, and what some of them stand for: an index, a store, a device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from secondread.console import Progress
    from secondread.index import Index
    from secondread.train import Packed


def place(text: str) -> Path:
    """A path that was given. An empty one, as of a variable that is not set, would be the current folder.

    Raises typer.BadParameter: there is nothing in it.
    """
    if not text.strip():
        raise typer.BadParameter("an empty name: name a folder or file ('.' is the current folder)")
    return Path(text)


Data = Annotated[
    list[Path],
    typer.Argument(
        help="A folder per class, a CSV, a BIDS tree, a folder of scans, or an index.", show_default=False, parser=place
    ),
]
Model = Annotated[Path, typer.Argument(help="A model folder, or a run that holds one.", show_default=False)]
Labels = Annotated[Path | None, typer.Option(help="CSV that joins labels to studies (study, image or group; label).")]
Normal = Annotated[
    list[str] | None, typer.Option(help="Name of a class that means 'nothing abnormal'; may be repeated.")
]
Seed = Annotated[int | None, typer.Option(help="Seed of everything drawn.", min=0, show_default="0")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]
PlanFile = Annotated[Path | None, typer.Option("--plan", help="YAML with any of the settings below.")]
Optimizer = Annotated[str | None, typer.Option(help="adamw, adam, rmsprop, sgd or rprop.", show_default="adamw")]
LossName = Annotated[
    str | None, typer.Option("--loss", help="bce, focal, dice-bce or label-smoothing.", show_default="by the data")
]
Minutes = Annotated[float | None, typer.Option(help="Budget of wall-clock time; the schedule ends with it.")]
Epochs = Annotated[int | None, typer.Option(help="How many epochs.", show_default="30, or as many as the minutes hold")]
Batch = Annotated[int | None, typer.Option(help="Samples a step.")]
Rate = Annotated[
    float | None, typer.Option(help="Highest learning rate.", show_default="by the optimizer and the start")
]
Size = Annotated[int | None, typer.Option(help="Side of a prepared picture in pixels.")]
Spacing = Annotated[float | None, typer.Option(help="Grid of a prepared volume in mm.")]
Dimensions = Annotated[
    int | None,
    typer.Option(
        help="Of the network that reads volumes: 2 for slices in three planes, 3 for volumes.",
        show_default="2 where every abnormal scan has a mask (or none is abnormal) and voxels are of 2.8 mm or less",
    ),
]
Network = Annotated[str | None, typer.Option(help="segresnet, unet or resnet18.", show_default="segresnet")]
ErrorRate = Annotated[
    float | None,
    typer.Option(
        help="Share of new patients' studies that 'unsure' is to keep from the wrong word.", show_default="0.1"
    ),
]
Implant = Annotated[
    float | None,
    typer.Option(
        help="Share of the normal scans of each batch that get a lesion implanted.",
        show_default="0; 0.5 where all scans are normal",
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        help="float32 or bfloat16 in training.",
        show_default="bfloat16 where the hardware has it, on a CPU for pictures and slices alone",
    ),
]
Memory = Annotated[int | None, typer.Option(help="MiB that the feed may hold.", show_default="400")]
Optimizers = Annotated[
    str | None,
    typer.Option("--optimizer", help="Optimizers.", show_default="adamw,rmsprop,sgd,rprop if no list is given"),
]
Losses = Annotated[str | None, typer.Option("--loss", help="Losses.", show_default="by the data")]
Networks = Annotated[str | None, typer.Option("--network", help="Networks.", show_default="segresnet")]
Rates = Annotated[
    str | None,
    typer.Option(
        help="Highest learning rates; for a search also LOW..HIGH.", show_default="by the optimizer and the start"
    ),
]
Seeds = Annotated[int, typer.Option(help="Runs of each plan, each with a seed of its own.", min=1)]
Trials = Annotated[
    int | None,
    typer.Option("--search", help="Try N plans out of the lists and learning rates, proposed by Optuna.", min=1),
]
Cold = Annotated[bool, typer.Option("--cold", help="Begin with random weights, not the starter model's.")]
AcceptLeak = Annotated[bool, typer.Option("--accept-leak", help="Train on a split that leaks; the report says so.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


def index_of(
    data: list[Path],
    labels: Path | None,
    normal: list[str] | None,
    seed: Any,
    progress: Progress,
    *,
    repair: bool = False,
    accept_leak: bool = False,
    beside: Path | None = None,
) -> Index:
    """The studies that Data, Labels, Normal and Seed stand for; a split that leaks is reported ``beside``.

    Raises:
        UsageError: the seed is no whole number. InputError, LeakError: as :func:`secondread.index.build_index`.
    """
    from secondread.config import whole_number
    from secondread.index import build_index, reporting_leaks

    number = whole_number("seed", seed or 0)
    with reporting_leaks(beside):
        return build_index(
            data,
            labels=labels,
            normal=normal or (),
            seed=number,
            repair=repair,
            accept_leak=accept_leak,
            progress=progress,
        )


def source_of(
    data: list[Path],
    labels: Path | None,
    normal: list[str] | None,
    seed: Any,
    progress: Progress,
    *,
    accept_leak: bool = False,
    beside: Path | None = None,
) -> Index | Packed:
    """What to train on: a store, where DATA is one, else an index. Raises as :func:`index_of` and open_packed."""
    from secondread.errors import UsageError
    from secondread.train import is_packed, open_packed

    if len(data) == 1 and is_packed(data[0]):
        if labels or normal:
            raise UsageError("labels were settled when the store was packed: give them to pack")
        return open_packed(data[0])
    return index_of(data, labels, normal, seed, progress, accept_leak=accept_leak, beside=beside)


def device_of(name: str) -> str:
    """The device that Device stands for. Raises UsageError where there is no such here."""
    from secondread.errors import UsageError

    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"no device called {name!r}; there are auto, cpu and cuda")
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA device here; leave --device away, or run secondread doctor")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"
