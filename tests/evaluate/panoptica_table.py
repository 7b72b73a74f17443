"""What panoptica 2.1.7 says of made masks.

It is not among the development tools: it needs numpy below 2.3 and connected-components-3d below 4. The table was
printed in an environment with nothing but panoptica in it, from the top of the repository:

    python -m venv elsewhere && elsewhere/bin/pip install panoptica==2.1.7
    elsewhere/bin/python tests/evaluate/panoptica_table.py

Masks are drawn by formula, so that they are the same everywhere. Axes (i, j, k) or (row, column).
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]

COVERED = 0.1
"""panoptica's threshold on IoU here. Where every region drawn lies within its lesion, IoU is the share covered."""

TOLERANCE_MM = 2.0

SPACINGS = {
    "blobs": (1.0, 1.5, 3.0),
    "thick slices": (0.9, 0.9, 5.0),
    "parts of lesions": (1.0, 1.0, 1.0),
    "picture": (1.0, 1.0),
}


def masks(name: str) -> tuple[Bools, Bools]:
    """The predicted and the true mask (N) of a case of SPACINGS."""
    shape = (64, 56) if name == "picture" else (40, 36, 24)
    at = np.indices(shape)
    truth, predicted = (np.zeros(shape, bool) for _ in range(2))
    if name == "parts of lesions":
        # Six boxes, of each of which another share is covered, and a region that meets none.
        for n, covered in enumerate((10, 5, 3, 2, 1, 0)):
            low = (2 + 12 * (n % 3), 3 + 16 * (n // 3), 4)
            truth[low[0] : low[0] + 10, low[1] : low[1] + 6, 4:10] = True
            predicted[low[0] : low[0] + covered, low[1] : low[1] + 6, 4:10] = True
        predicted[20:23, 30:33, 20:23] = True
        return predicted, truth
    for n in range(5):
        centre = [(7 + 13 * n + 5 * axis) % side for axis, side in enumerate(shape)]
        ball = sum((a - c) ** 2 for a, c in zip(at, centre, strict=True))
        truth |= ball < (5 + n % 3) ** 2
        shifted = sum((a - c - n % 2 - 1) ** 2 for a, c in zip(at, centre, strict=True))
        predicted |= shifted < (4 + n % 4) ** 2
    if name == "thick slices":
        predicted &= at[0] % 9 > 0
    return predicted, truth


TABLE: dict[str, dict[str, Any]] = {
    "blobs": {
        "true": 4,
        "marked": 4,
        "matched": 4,
        "dice": 0.5925127099060237,
        "distances": [(1454, 2.489584327316299, 9.0, 835), (1195, 1.9684330469853304, 6.0, 764)],
    },
    "thick slices": {
        "true": 4,
        "marked": 7,
        "matched": 4,
        "dice": 0.5511326860841423,
        "distances": [
            (1454, 2.544717378198569, 10.41242131486003, 940),
            (1471, 1.5788508133363286, 4.846648326421054, 1011),
        ],
    },
    "parts of lesions": {
        "true": 6,
        "marked": 6,
        "matched": 4,
        "dice": 0.5137614678899083,
        "distances": [(1392, 4.140657584261778, 14.7648230602334, 676), (590, 0.7082223559885787, 2.0, 564)],
    },
    "picture": {
        "true": 5,
        "marked": 5,
        "matched": 5,
        "dice": 0.7289504036908881,
        "distances": [
            (148, 1.4883142909893572, 3.605551275463989, 105),
            (130, 1.3276992991445853, 3.822498073958794, 103),
        ],
    },
}


def said_by_panoptica(name: str) -> dict[str, Any]:
    """Components, matched components, Dice, and of the distances between the surfaces (mm), from each to the other,
    their number, mean, 95th percentile and how many are within TOLERANCE_MM."""
    from panoptica import (  # type: ignore[import-not-found]
        ConnectedComponentsInstanceApproximator,
        InputType,
        NaiveThresholdMatching,
        Panoptica_Evaluator,
    )
    from panoptica.metrics import Metric  # type: ignore[import-not-found]
    from panoptica.metrics._surface_distances import _surface_distance_pair  # type: ignore[import-not-found]

    predicted, truth = masks(name)
    judge = Panoptica_Evaluator(
        expected_input=InputType.SEMANTIC,
        instance_approximator=ConnectedComponentsInstanceApproximator(),
        instance_matcher=NaiveThresholdMatching(matching_metric=Metric.IOU, matching_threshold=COVERED + 1e-9),
        instance_metrics=[Metric.DSC, Metric.IOU],
        global_metrics=[Metric.DSC],
    )
    found = judge.evaluate(predicted.astype(np.uint8), truth.astype(np.uint8))
    found = next(iter(found.values())) if isinstance(found, dict) else found
    there, back = _surface_distance_pair(truth, predicted, voxelspacing=SPACINGS[name])
    return {
        "true": int(found.n_ref_instances),
        "marked": int(found.n_pred_instances),
        "matched": int(found.tp),
        "dice": float(found.global_bin_dsc),
        "distances": [
            (len(d), float(d.mean()), float(np.percentile(d, 95)), int((d <= TOLERANCE_MM).sum()))
            for d in (there, back)
        ],
    }


if __name__ == "__main__":
    for case in SPACINGS:
        sys.stdout.write(f"    {case!r}: {said_by_panoptica(case)!r},\n")
