"""Likely label errors: studies whose label a reader that has not learned from them finds improbable.

Confident learning (Northcutt, Jiang and Chuang, J. Artif. Intell. Res. 70, 2021): every study gets class probabilities
from a reader that has not learned from it. The threshold of a class is the mean probability that its own studies get
for it, so that a class which the reader knows badly asks for less. A label is *likely wrong* where another class
reaches its threshold and is more probable than the label, *doubtful* where it is only more probable; the margin
between the two ranks.

The reader is the quick one (:mod:`secondread.evaluate.quick`), cross-validated over studies and not over patients:
no figure is claimed here, and who knows the other pictures of a patient sees best that one of them is filed wrongly.
Where the model itself has judged a study, and learned from no other of that patient, both must agree: the geometric
mean of their probabilities counts. An error that all studies of a patient share is therefore not found here; on the
studies judged it stands among the most certain and wrong (docs/decisions/010).
"""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondread.errors import SecondreadError
from secondread.evaluate import quick
from secondread.evaluate.audit import grey_of
from secondread.evaluate.gallery import JPEG_QUALITY, Exhibit

if TYPE_CHECKING:
    from secondread.evaluate.aliases import Aliases
    from secondread.evaluate.judged import Judged
    from secondread.index import Row

FEWEST = 10
"""Studies of a class; the threshold of a smaller one would say nothing."""

FLOOR = 1e-3
"""Least probability in a geometric mean: no single reader may rule a class out."""

SHOWN = 24
SIDE = 150
"""Longest side of a picture in pixels."""


@dataclass(frozen=True)
class Suspect:
    """A study whose label may be wrong, what it may be instead, and how probable the readers find either; ``likely``,
    or only doubtful."""

    row: Row
    label: str
    instead: str
    of_label: float
    of_instead: float
    likely: bool


@dataclass(frozen=True)
class LabelErrors:
    """Attributes: ``suspects``, the likely ones first and each kind by margin; ``studies`` looked at; ``named``: of how
    many the label is what the reader finds most probable; ``blocked``: why none were looked at, or nothing is told."""

    suspects: tuple[Suspect, ...] = ()
    studies: int = 0
    named: int = 0
    blocked: str | None = None

    @property
    def likely(self) -> tuple[Suspect, ...]:
        return tuple(suspect for suspect in self.suspects if suspect.likely)

    @property
    def sentence(self) -> str:
        if self.blocked is not None:
            return f"No label is named as likely wrong: {self.blocked}."
        likely, doubtful = len(self.likely), len(self.suspects) - len(self.likely)
        return (
            f"{likely:,} of {self.studies:,} labels are likely wrong and {doubtful:,} more doubtful, by a reader that "
            f"has not learned from their studies and would label {self.named:,} of them as they are. Errors, hard "
            "cases and mistakes of the reader are among them: a person decides."
        )

    def to_json(self, names: Aliases) -> dict[str, Any]:
        return {
            "studies": self.studies,
            "likely": [{"study": names.of(s.row.study)} | _told(s) for s in self.likely],
            "doubtful": len(self.suspects) - len(self.likely),
            "sentence": self.sentence,
            "blocked": self.blocked,
        }

    def to_csv(self, names: Aliases) -> bytes:
        """A line per suspect, in their order, with its number in the report and its name in the index."""
        text = io.StringIO()
        columns = ("report", "study", "likely", "label", "instead", "p_label", "p_instead")
        table = csv.DictWriter(text, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(
            {"report": names.of(s.row.study), "study": s.row.study, "likely": str(s.likely).lower()} | _told(s)
            for s in self.suspects
        )
        return text.getvalue().encode()


def find_label_errors(rows: Sequence[Row], judged: Sequence[Judged] = (), *, seed: int = 0) -> LabelErrors:
    """Check the labels of included rows. ``judged``: studies that a model has judged without having learned from their
    patients; of others the quick reader speaks alone."""
    from sklearn.metrics import balanced_accuracy_score

    known = quick.sampled(quick.readable(rows), seed)
    labels = quick.classes(known)
    # Files with equal bytes are one study, see _probabilities.
    distinct = {(row.sha256 or row.study, label) for row, label in zip(known, labels.tolist(), strict=True)}
    names, counts = np.unique([label for _, label in distinct], return_counts=True)
    enough = set(names[counts >= FEWEST].tolist())
    known = [row for row, label in zip(known, labels, strict=True) if label in enough]
    if len(enough) < 2:
        return LabelErrors(blocked=f"there are no two classes with {FEWEST} studies that the index has thumbprints of")
    labels = quick.classes(known)
    names, truth = np.unique(labels, return_inverse=True)
    given = _probabilities(known, labels, names, seed)
    said = {j.study: j.classes for j in judged if set(names) <= set(j.classes)}
    told = np.array([row.study in said for row in known])
    for at in np.flatnonzero(told):
        of_model = np.array([said[known[at].study][name] for name in names])
        both = np.sqrt((given[at] + FLOOR) * (of_model + FLOOR))
        given[at] = both / both.sum()
    named = int((given.argmax(1) == truth).sum())
    if balanced_accuracy_score(truth, given.argmax(1)) <= 1 / len(names):
        why = (
            f"the reader labels {named:,} of {len(known):,} studies as they are, and of a class no more than by chance"
        )
        return LabelErrors(studies=len(known), named=named, blocked=why)
    best, margin, likely = np.zeros(len(known), np.intp), np.zeros(len(known)), np.zeros(len(known), bool)
    for part in (told, ~told):  # each has probabilities of its own kind, so thresholds of its own
        if part.any():
            best[part], margin[part], likely[part] = confident(given[part], truth[part])
    order = np.lexsort((-margin, ~likely))
    found = [
        Suspect(
            known[n],
            str(names[truth[n]]),
            str(names[best[n]]),
            float(given[n, truth[n]]),
            float(given[n, best[n]]),
            bool(likely[n]),
        )
        for n in order
        if margin[n] > 0
    ]
    return LabelErrors(tuple(found), len(known), named)


def confident(
    given: NDArray[np.float64], truth: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.bool_]]:
    """The class (n) that each study may be instead of ``truth`` (n), by how much it is more probable (n; 0 or below:
    nothing speaks against the label), and whether it reaches its threshold, too (n). ``given``: probabilities
    (n, classes)."""
    rows, classes = np.arange(len(truth)), range(given.shape[1])
    # A class that nobody is labelled with here has no studies to take a threshold from.
    thresholds = np.array([given[truth == k, k].mean() if (truth == k).any() else np.inf for k in classes])
    others = given.copy()
    others[rows, truth] = -1.0
    reached = np.where(others >= thresholds, others, -1.0)
    best = np.where(reached.max(axis=1) >= 0, reached.argmax(axis=1), others.argmax(axis=1))
    margin = given[rows, best] - given[rows, truth]
    return best, margin, (reached.max(axis=1) >= 0) & (margin > 0)


def exhibits(found: LabelErrors, names: Aliases) -> list[Exhibit]:
    """The likely ones, drawn small: the picture in grey, or the central axial plane; without those that cannot be read
    now."""
    out = []
    for suspect in found.likely[:SHOWN]:
        try:
            picture = _inline(grey_of(suspect.row))
        except (SecondreadError, OSError):
            continue
        study = names.of(suspect.row.study)
        words = (
            f"labelled {suspect.label} ({suspect.of_label:.2f}), perhaps {suspect.instead} ({suspect.of_instead:.2f})"
        )
        out.append(Exhibit(study, picture, f"Scan of {study}: {words}.", words))
    return out


def _probabilities(
    known: Sequence[Row], labels: NDArray[np.str_], names: NDArray[np.str_], seed: int
) -> NDArray[np.float64]:
    """Of each class (n, classes), from readers that have not learned from the study. Equal bytes are one study: a copy
    under the same wrong label would speak for it."""
    table = quick.features(known)
    _, copy = np.unique([row.sha256 or row.study for row in known], return_inverse=True)
    fold = (np.random.default_rng(seed).permutation(int(copy.max()) + 1) % quick.FOLDS)[copy]
    out = np.zeros((len(known), len(names)))
    for number in range(quick.FOLDS):
        judge, learn = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        if len(judge):
            out[judge] = quick.probabilities(table, labels, learn, judge, names, seed)
    return out


def _inline(grey: NDArray[np.float32]) -> str:
    from PIL import Image

    image = Image.fromarray((grey * 255).clip(0, 255).astype(np.uint8))
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _told(suspect: Suspect) -> dict[str, Any]:
    return {
        "label": suspect.label,
        "instead": suspect.instead,
        "p_label": round(suspect.of_label, 4),
        "p_instead": round(suspect.of_instead, 4),
    }
