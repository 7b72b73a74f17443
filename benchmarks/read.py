"""How long it takes to read one four-contrast study, against MONAI's eager sliding window with the same weights.

    python benchmarks/read.py [--repeats 3] [--threads 0]

One simulated study, 240 x 240 x 155 at 1 mm without skull, four contrasts, as .nii.gz; the network that a plan for such
studies on a CPU has, with weights of chance; in turn, on the same cores:

- MONAI as in its tutorials: LoadImaged, EnsureChannelFirstd, Orientationd, Spacingd, NormalizeIntensityd, then
  ``sliding_window_inference`` over the whole field of view (overlap 0.5, Gaussian blending, float32, eager);
- ``secondread.infer.Reader.read`` from the same files: mirrored reading, findings and mask in the scan's own grid.

Prints one JSON object: median seconds of each part, by the clock and of processors, and ratios. ``windows`` is network
time alone, ours without the mirror; ``same_windows`` gives both the same prepared array and the same windows, and
``logits`` the largest difference of evidence between MONAI's blending of torch's eager network and our reading of it
there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from secondread.formats import read_study, write_volume
from secondread.infer import ModelSpec, Reader, predict
from secondread.models import NetworkSpec, SecondReader, Task, build
from secondread.simulate import Settings, simulate_study
from secondread.volume import Geometry, Recipe, Volume, prepare

CONTRASTS = ("t1", "t1c", "t2", "flair")
FIELD = (240, 240, 155)
SPACING = 1.7
PATCH = (80, 96, 80)
"""What ``train`` plans on a CPU for heads of this size: 400,000 voxels, the whole head in one patch."""


def write_study(folder: Path) -> dict[str, Path]:
    """One study in the field of view that BraTS scans have, air around the head, as float32 .nii.gz."""
    settings = Settings(spacing=1.0, contrasts=CONTRASTS, skull=0.0, thick=0.0, diameters=(30.0, 50.0))
    study = simulate_study(1, settings, label="glioma")[0]
    paths = {}
    for name, volume in study.series.items():
        voxels = np.full(FIELD, volume.voxels.min(), np.float32)
        takes, puts = [], []
        for n, wanted in zip(volume.voxels.shape, FIELD, strict=True):
            extra = abs(wanted - n) // 2
            takes.append(slice(0, n) if n <= wanted else slice(extra, extra + wanted))
            puts.append(slice(extra, extra + n) if n <= wanted else slice(0, wanted))
        voxels[tuple(puts)] = volume.voxels[tuple(takes)]
        affine = volume.geometry.affine.copy()
        paths[name] = folder / f"{name}.nii.gz"
        write_volume(Volume(Geometry(FIELD, affine), voxels), paths[name])
    return paths


def monai_preparation() -> Callable[[dict[str, Any]], Any]:
    from monai.transforms.compose import Compose
    from monai.transforms.intensity.dictionary import NormalizeIntensityd
    from monai.transforms.io.dictionary import LoadImaged
    from monai.transforms.spatial.dictionary import Orientationd, Spacingd
    from monai.transforms.utility.dictionary import EnsureChannelFirstd

    steps = [
        LoadImaged("image"),
        EnsureChannelFirstd("image"),
        Orientationd("image", axcodes="RAS", labels=None),
        Spacingd("image", pixdim=(SPACING,) * 3, mode="bilinear"),
        NormalizeIntensityd("image", nonzero=True, channel_wise=True),
    ]
    composed: Callable[[dict[str, Any]], Any] = Compose(steps)
    return composed


@torch.inference_mode()
def monai_windows(network: SecondReader, images: torch.Tensor, roi: tuple[int, ...]) -> torch.Tensor:
    from monai.inferers.utils import sliding_window_inference

    out = sliding_window_inference(images, roi, 1, lambda x: network(x).evidence, overlap=0.5, mode="gaussian")
    return torch.as_tensor(out)


def seconds(act: Callable[[], object]) -> tuple[float, float]:
    """Of the clock on the wall, and of processors: the latter bears other work on the machine."""
    began = time.perf_counter(), time.process_time()
    act()
    return time.perf_counter() - began[0], time.process_time() - began[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch takes")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    spec = ModelSpec(
        name="benchmark",
        version="0",
        task=Task(("lesion",), "normal", located=True),
        network=NetworkSpec("segresnet", 3, len(CONTRASTS), 1, width=16),
        recipe=Recipe(CONTRASTS, spacing=(SPACING,) * 3),
        patch=PATCH,
    )
    eager = build(spec.network).eval()
    quick = build(spec.network)
    quick.load_state_dict(eager.state_dict())
    reader = Reader(spec, quick, "0" * 64)
    with tempfile.TemporaryDirectory() as folder:
        paths = write_study(Path(folder))
        files, ready = {"image": [str(paths[name]) for name in CONTRASTS]}, monai_preparation()
        names, images = list(paths), list(paths.values())
        theirs = torch.as_tensor(np.asarray(ready(files)["image"]), dtype=torch.float32)[None]
        array = torch.from_numpy(prepare(read_study("one", images, names), spec.recipe).array)[None]
        acts: dict[str, Callable[[], object]] = {
            "monai_read": lambda: monai_windows(
                eager, torch.as_tensor(np.asarray(ready(files)["image"]), dtype=torch.float32)[None], PATCH
            ),
            "ours_read": lambda: reader.read(read_study("one", images, names)),
            "monai_windows": lambda: monai_windows(eager, theirs, PATCH),
            "ours_windows": lambda: predict(quick, array, PATCH),
            "monai_same_windows": lambda: monai_windows(eager, array, tuple(array.shape[2:])),
        }
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in acts}
        for repeat in range(arguments.repeats + 1):
            for name, act in acts.items():
                spent = seconds(act)
                if repeat:  # the first round warms up
                    taken[name].append(spent)
        gap = monai_windows(eager, array, tuple(array.shape[2:])) - predict(quick, array, PATCH).evidence
    medians, cpu = ({name: statistics.median(v[n] for v in values) for name, values in taken.items()} for n in (0, 1))
    result = {
        "threads": torch.get_num_threads(),
        "grid_monai": list(theirs.shape[2:]),
        "grid_ours": list(array.shape[2:]),
        "seconds": {name: round(value, 3) for name, value in medians.items()},
        "cpu_seconds": {name: round(value, 3) for name, value in cpu.items()},
        "ratio_read": round(medians["monai_read"] / medians["ours_read"], 2),
        "ratio_read_cpu": round(cpu["monai_read"] / cpu["ours_read"], 2),
        "ratio_windows": round(medians["monai_windows"] / medians["ours_windows"], 2),
        "ratio_same_windows": round(medians["monai_same_windows"] / medians["ours_windows"], 2),
        "logits": float(gap.abs().max()),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
