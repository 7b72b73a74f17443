"""How bright each tissue is in each contrast."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

TISSUES = (
    "csf", "gm", "wm", "bone", "marrow", "fat", "muscle", "vitreous", "vessel", "dura", "choroid",
    "necrosis", "oedema", "enhancing", "meningioma", "pituitary", "plaque",
)  # fmt: skip
"""Order of the tissue axis T."""

INDEX = {name: t for t, name in enumerate(TISSUES)}

LESIONS = TISSUES[TISSUES.index("necrosis") :]

# Signal by tissue, white matter in T1 at 0.8, from the order of brightness that radiology textbooks give. Vessels are
# dark where blood flows out of the slice, and bright with contrast agent.
_ROWS: dict[str, tuple[float, ...]] = {
    #        csf   gm    wm    bone  marr  fat   musc  vitr  vess  dura  chor  necr  oede  enh   meni  pitu  plaq
    "t1":    (0.20, 0.56, 0.80, 0.06, 0.45, 1.10, 0.45, 0.20, 0.45, 0.30, 0.40, 0.32, 0.52, 0.48, 0.56, 0.58, 0.50),
    "t1c":   (0.20, 0.58, 0.80, 0.06, 0.48, 1.10, 0.50, 0.20, 1.25, 0.85, 1.00, 0.32, 0.54, 1.25, 1.20, 1.08, 0.56),
    "t2":    (1.10, 0.66, 0.46, 0.06, 0.35, 0.60, 0.28, 1.10, 0.12, 0.20, 0.90, 1.00, 0.92, 0.74, 0.70, 0.72, 0.90),
    "flair": (0.14, 0.60, 0.50, 0.06, 0.35, 0.65, 0.30, 0.14, 0.20, 0.30, 0.62, 0.72, 1.05, 0.92, 0.74, 0.72, 1.05),
    "pd":    (0.88, 0.82, 0.66, 0.06, 0.45, 0.75, 0.42, 0.88, 0.20, 0.40, 0.85, 0.95, 0.95, 0.88, 0.88, 0.86, 0.95),
}  # fmt: skip

KNOWN = tuple(_ROWS)


def looks_of(contrast: str) -> Floats:
    """Mean signal of each tissue in one of KNOWN, (T) float32."""
    return np.array(_ROWS[contrast], np.float32)


def strange_looks(rng: np.random.Generator) -> Floats:
    """A contrast that no scanner gives, in which lesions still differ from the brain round them; (T) float32."""
    looks = rng.uniform(0.1, 1.1, len(TISSUES))
    looks[INDEX["bone"]] = 0.06
    brain = (looks[INDEX["gm"]], looks[INDEX["wm"]])
    # Oedema and the like are all on one side of white matter, far enough away to be seen.
    way = -1 if max(brain) > 0.8 or (min(brain) > 0.45 and rng.random() < 0.5) else 1
    edge = max(brain) if way > 0 else min(brain)
    for name in LESIONS:
        looks[INDEX[name]] = max(0.03, edge + way * rng.uniform(0.15, 0.6))
    return looks.astype(np.float32)
