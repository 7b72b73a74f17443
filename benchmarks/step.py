"""How many samples a second a training step takes in, against the same network in the form of MONAI's tutorials.

    python benchmarks/step.py [--rounds 3] [--workers N] [--cases pictures,volumes] [--precision float32]

Both train the network that ``make_plan`` chooses for a CPU, from the same weights, on the same simulated studies, in
turn and on the same cores:

- MONAI as in its tutorials: the prepared studies in memory (what ``CacheDataset`` holds), augmentation per sample in
  the workers of a ``DataLoader``, float32, channels first, ``DiceCELoss(sigmoid=True)`` on the evidence, cross-entropy
  on the two heads, Adam. Each of our augmentations has its nearest transform there, as often and as strong; of two
  ways to bend a volume the quicker, and its transforms draw one value where ours draw one per contrast;
- ours: :func:`secondread.train.loop.fit` itself: reading from the store, augmentation, all its loss terms, averaged
  weights and the figures of the epoch; in bfloat16 where the hardware has it, unless ``--precision`` says otherwise.

Prints one JSON object: median over the rounds of samples per second, the first step left out, and their ratio; and
``network``: CPU seconds of one forward and backward pass alone, channels first and channels last.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from secondread.index import build_index
from secondread.models import Precision, SecondReader, build, in_words, precision_of
from secondread.simulate import Settings, simulate_study, write_studies
from secondread.store import Feed, Store
from secondread.train import Plan, make_plan
from secondread.train.loop import fit
from secondread.train.packed import pack_for
from secondread.train.plan import PRECISIONS

CONTRASTS = ("t1", "t1c", "t2", "flair")
STUDIES = 8
SLICES = 6
STEPS = {2: 9, 3: 5}
"""Steps of each in a round, by dimensions; the first is not counted."""


def write_pictures(folder: Path) -> Path:
    """Slices of simulated heads as PNG, their masks, and the CSV that lists them."""
    settings = Settings(spacing=1.2, contrasts=("t1c",), diameters=(30.0, 50.0), categories=("glioma", "meningioma"))
    lines = ["image,label,mask,group"]
    folder.mkdir()
    for seed in range(STUDIES):
        study, mask, label, _ = simulate_study(seed, settings, label=("normal", *settings.categories)[seed % 3])
        voxels = study.reference.voxels.astype(np.float32)
        grey = (255 * np.clip(voxels / np.percentile(voxels, 99.5), 0, 1)).astype(np.uint8)
        for k in np.linspace(0.45, 0.6, SLICES) * grey.shape[2]:
            name = f"{seed}-{int(k)}"
            Image.fromarray(grey[:, :, int(k)].T.copy()).save(folder / f"{name}.png")
            inside = (mask.labels[:, :, int(k)].T > 0).astype(np.uint8)
            Image.fromarray(255 * inside).save(folder / f"{name}-mask.png")
            lines.append(f"{name}.png,{label},{f'{name}-mask.png' if inside.any() else ''},{seed}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder / "labels.csv"


def write_volumes(folder: Path) -> Path:
    """Simulated heads of four contrasts; a finer grid than the plan's, so that nothing is enlarged."""
    return write_studies(folder, STUDIES, 1, Settings(spacing=1.8, contrasts=CONTRASTS, categories=("glioma",)))


def prepared(feed: Feed, store: Store, plan: Plan) -> list[dict[str, Any]]:
    """The training studies as MONAI's cache holds them: image (C, *patch), mask (1, *patch), abnormal, category."""
    from monai.transforms.croppad.array import ResizeWithPadOrCrop

    fitted = ResizeWithPadOrCrop(plan.patch)
    rows: list[dict[str, Any]] = []
    for batch in feed.whole([case for case in store.cases if case.split == "train"]):
        for at in range(len(batch.studies)):
            rows.append(
                {
                    "image": torch.as_tensor(fitted(batch.images[at].clone())),
                    "mask": torch.as_tensor(fitted((batch.masks[at, None] > 0).float())),
                    "abnormal": batch.abnormal[at].clone(),
                    "category": batch.category[at].clone(),
                }
            )
    return rows


def monai_augmentation(plan: Plan) -> Any:
    """Each augmentation of the plan by MONAI's nearest transform."""
    from monai.transforms.compose import Compose
    from monai.transforms.intensity.dictionary import (
        RandAdjustContrastd,
        RandBiasFieldd,
        RandGaussianNoised,
        RandGaussianSmoothd,
        RandScaleIntensityd,
        RandShiftIntensityd,
    )
    from monai.transforms.spatial.dictionary import (
        Rand2DElasticd,
        RandAffined,
        RandFlipd,
        RandGridDistortiond,
        RandSimulateLowResolutiond,
    )

    s, d = plan.strength, len(plan.patch)
    both, ways = ("image", "mask"), ("bilinear", "nearest")
    moves: dict[str, Any] = {
        "prob": 1.0,
        "rotate_range": (math.radians(s.rotation),) * (1 if d == 2 else 3),
        "translate_range": tuple(s.shift * n / 2 for n in plan.patch),
        "scale_range": s.zoom,
        "mode": ways,
        "padding_mode": "border",
    }
    size = plan.patch[0]
    shape = (
        [Rand2DElasticd(both, spacing=(size / 4,) * 2, magnitude_range=(0, s.elastic * size / 2), **moves)]
        if d == 2
        else [
            RandAffined(both, **moves),
            RandGridDistortiond(both, num_cells=4, prob=1.0, distort_limit=s.elastic, mode=ways),  # type: ignore[arg-type]
        ]
    )
    composed: Any = Compose(
        [
            RandFlipd(both, prob=s.mirror, spatial_axis=0 if d == 3 else 1),
            *shape,
            RandGaussianSmoothd("image", (0.05, s.blur), (0.05, s.blur), (0.05, s.blur), prob=0.2),
            RandSimulateLowResolutiond(
                "image",
                prob=0.2,
                zoom_range=(1 / (1 + s.coarse), 1.0),
                upsample_mode="bilinear" if d == 2 else "trilinear",
            ),
            RandAdjustContrastd("image", prob=1.0, gamma=(math.exp(-s.gamma), math.exp(s.gamma))),
            RandBiasFieldd("image", prob=1.0, coeff_range=(-s.bias, s.bias)),
            RandScaleIntensityd("image", factors=s.gain, prob=1.0, channel_wise=True),
            RandShiftIntensityd("image", offsets=s.offset, prob=1.0, channel_wise=True),
            RandGaussianNoised("image", prob=0.5, std=s.noise),
        ]
    )
    return composed


def monai_loss(network: SecondReader, batch: dict[str, Tensor], dice: Any) -> Tensor:
    """DiceCELoss where each category's lesion is, cross-entropy of presence and of the known categories."""
    out = network(torch.as_tensor(batch["image"]))
    k = network.spec.categories
    which = functional.one_hot(batch["category"].clamp_min(0), k).reshape(-1, k, *[1] * network.spec.dimensions)
    loss = dice(out.evidence, torch.as_tensor(batch["mask"]) * which)
    loss = loss + functional.binary_cross_entropy_with_logits(out.presence, batch["abnormal"].float())
    known = batch["category"] >= 0
    if k > 1 and known.any():
        loss = loss + functional.cross_entropy(out.category[known], batch["category"][known])
    return torch.as_tensor(loss)


def monai_rate(plan: Plan, rows: list[dict[str, Any]], steps: int, workers: int) -> float:
    """Samples a second of the tutorials' loop."""
    from monai.data.dataloader import DataLoader
    from monai.data.dataset import Dataset
    from monai.losses.dice import DiceCELoss

    torch.manual_seed(plan.seed)
    network = build(plan.network).train()
    dice, optimizer = DiceCELoss(sigmoid=True), torch.optim.Adam(network.parameters(), plan.learning_rate)
    wanted = [rows[i % len(rows)] for i in range(steps * plan.batch)]
    loader = DataLoader(
        Dataset(wanted, monai_augmentation(plan)), batch_size=plan.batch, shuffle=True, num_workers=workers
    )
    ends, spent = [], 0.0
    for batch in loader:
        optimizer.zero_grad()
        loss = monai_loss(network, batch, dice)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        spent += loss.item()
        ends.append(time.perf_counter())
    return plan.batch * (len(ends) - 1) / (ends[-1] - ends[0])


def our_rate(plan: Plan, feed: Feed, run: Path, steps: int) -> float:
    """Samples a second of one epoch of ``fit``."""
    ends: list[float] = []
    plan = replace(plan, samples=steps * plan.batch, epochs=1)
    fit(plan, feed, [], run, report=lambda *_: ends.append(time.perf_counter()))
    return plan.batch * (len(ends) - 1) / (ends[-1] - ends[0])


def network_seconds(plan: Plan, layout: torch.memory_format) -> float:
    """CPU seconds of one forward and backward pass, after one that is not counted."""
    torch.manual_seed(0)
    network = build(plan.network).to(memory_format=layout)  # type: ignore[call-overload]
    images = torch.randn(plan.batch, plan.network.channels, *plan.patch)
    for _ in range(2):
        began = time.process_time()
        out = network(images)
        (out.evidence.square().mean() + out.presence.sum() + out.category.sum()).backward()
        seconds = time.process_time() - began
    return seconds


def measured(name: str, folder: Path, rounds: int, workers: int, precision: Precision) -> dict[str, Any]:
    """One kind of scan, ours and MONAI's in turn."""
    labels = write_pictures(folder / name) if name == "pictures" else write_volumes(folder / name)
    index = build_index([labels], fractions=(0.8, 0.1, 0.1))
    plan = make_plan(index, {"precision": precision} | ({"dimensions": 3} if name == "volumes" else {}))
    store = pack_for(index, plan, folder / f"{name}-store")
    cases = [case for case in store.cases if case.split == "train"]
    feed = Feed(store, cases, plan.task.categories, patch=plan.patch, batch=plan.batch, seed=plan.seed)
    rows, steps = prepared(feed, store, plan), STEPS[len(plan.patch)]
    theirs, ours = [], []
    for at in range(rounds):
        theirs.append(monai_rate(plan, rows, steps, workers))
        ours.append(our_rate(plan, feed, folder / f"{name}-run{at}", steps))
    last = torch.channels_last if len(plan.patch) == 2 else torch.channels_last_3d
    return {
        "precision": in_words(precision_of(plan.precision, "cpu", len(plan.patch))),
        "batch": plan.batch,
        "patch": plan.patch,
        "monai_samples_per_s": round(statistics.median(theirs), 2),
        "our_samples_per_s": round(statistics.median(ours), 2),
        "ratio": round(statistics.median(a / b for a, b in zip(ours, theirs, strict=True)), 2),
        "network": [round(network_seconds(plan, layout), 3) for layout in (torch.contiguous_format, last)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="of MONAI's DataLoader")
    parser.add_argument("--cases", default="pictures,volumes")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="of ours")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = {
            name: measured(name, Path(folder), arguments.rounds, arguments.workers, arguments.precision)
            for name in arguments.cases.split(",")
        }
    print(json.dumps({"threads": torch.get_num_threads(), "workers": arguments.workers, **result}))


if __name__ == "__main__":
    main()
