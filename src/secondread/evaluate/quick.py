"""A quick reader: a forest on thumbprints, seconds to train. No model worth using, but it shows what a split does.

It sees each study as the thumbprint that the index holds (48 x 48 cells of grey per plane, see ``index.duplicates``),
in extremely randomised trees (Geurts et al., Machine Learning 63, 2006). What it gains by having seen other studies of
the same patient, or of the same site, any reader may gain; how much a given network gains only training it again
tells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondread.evaluate.audit import class_of
from secondread.index.split import units

if TYPE_CHECKING:
    from secondread.index import Row

TREES = 100
FOLDS = 5
MAX_STUDIES = 3000
"""At most about this many studies are looked at, whole units, drawn by seed."""


def readable(rows: Sequence[Row]) -> list[Row]:
    """Rows that the quick reader can learn from: with a class, and a thumbprint of the most frequent kind."""
    known = [row for row in rows if not row.excluded and class_of(row) is not None and any(row.thumbprint)]
    if not known:
        return []
    size = Counter(len(row.thumbprint) for row in known).most_common(1)[0][0]
    return [row for row in known if len(row.thumbprint) == size]


def features(rows: Sequence[Row]) -> NDArray[np.uint8]:
    """Thumbprints (n, cells) of rows from :func:`readable`."""
    return np.stack([np.frombuffer(row.thumbprint, np.uint8) for row in rows])


def classes(rows: Sequence[Row]) -> NDArray[np.str_]:
    """The class (n) of each row."""
    return np.array([class_of(row) for row in rows], dtype=np.str_)


def sampled(rows: Sequence[Row], seed: int) -> list[Row]:
    """At most about MAX_STUDIES rows, all of a unit or none, in the order given."""
    if len(rows) <= MAX_STUDIES:
        return list(rows)
    unit = units(rows)
    order = np.random.default_rng(seed).permutation(int(unit.max()) + 1)
    held = np.cumsum(np.bincount(unit)[order])
    taken = np.isin(unit, order[: max(1, int(np.searchsorted(held, MAX_STUDIES)))])
    return [row for row, take in zip(rows, taken, strict=True) if take]


def answers(
    table: NDArray[np.uint8], labels: NDArray[np.str_], learn: NDArray[np.intp], judge: NDArray[np.intp], seed: int
) -> NDArray[np.str_]:
    """The class that a reader trained on rows ``learn`` names for rows ``judge``."""
    return np.asarray(_forest(table, labels, learn, seed).predict(table[judge]), dtype=np.str_)


def probabilities(
    table: NDArray[np.uint8],
    labels: NDArray[np.str_],
    learn: NDArray[np.intp],
    judge: NDArray[np.intp],
    names: NDArray[np.str_],
    seed: int,
) -> NDArray[np.float64]:
    """Of each class of ``names`` (rows, classes), from the same reader; 0 for one that it has not seen."""
    forest = _forest(table, labels, learn, seed)
    out = np.zeros((len(judge), len(names)))
    out[:, np.searchsorted(names, forest.classes_)] = forest.predict_proba(table[judge])
    return out


def _forest(table: NDArray[np.uint8], labels: NDArray[np.str_], learn: NDArray[np.intp], seed: int) -> Any:
    from sklearn.ensemble import ExtraTreesClassifier

    return ExtraTreesClassifier(TREES, random_state=seed, n_jobs=1).fit(table[learn], labels[learn])
