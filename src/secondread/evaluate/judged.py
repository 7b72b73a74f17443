"""One study judged: what the reading said, what the truth is, and what a trivial reader would have said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secondread.errors import DataError
from secondread.evaluate import metrics
from secondread.evaluate.baselines import brightest_region, head_of, scan_for_location
from secondread.evaluate.lesions import LesionCount, Lesions, Mark, count_lesions, diameter, lesions_of, marks_of
from secondread.evaluate.surface import Surface, compare_surfaces

if TYPE_CHECKING:
    from secondread.index import Row
    from secondread.infer import Reading
    from secondread.volume import Study


@dataclass(frozen=True)
class Classes:
    """What a model can say: the abnormal categories, the name of the normal class or None, and whether it learned to
    draw masks (its empty masks are otherwise no answer)."""

    categories: tuple[str, ...]
    normal: str | None
    located: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """All classes, the normal one first."""
        return (self.normal, *self.categories) if self.normal is not None else self.categories

    def probabilities(self, present: float | None, categories: dict[str, float]) -> dict[str, float]:
        """Joint probability of each class: P(normal) = 1 - p and P(k) = p * c_k; c_k alone without a normal class."""
        if self.normal is None or present is None:
            return {name: float(categories[name]) for name in self.categories}
        return {self.normal: 1 - present} | {name: present * float(categories[name]) for name in self.categories}

    def truth(self, row: Row, abnormal: bool | None) -> str | None:
        """The true class of a row among :attr:`names`, None where the model has no such class or nobody knows."""
        if self.normal is not None and abnormal is False:
            return self.normal
        label: str | None = row.label
        if label in self.categories:
            return label
        if label is None and abnormal and len(self.categories) == 1:
            return self.categories[0]
        return None


@dataclass(frozen=True)
class Located:
    """How well the lesion was found in a study with a mask that is not empty.

    Attributes:
        diameters: of each lesion counted, in mm, or in % of the longer side of a picture.
        surface: None for a picture, which has no mm.
    """

    dice: float
    baseline_dice: float
    lesions: LesionCount
    diameters: tuple[float, ...]
    surface: Surface | None
    peak_in_mask: bool
    lesion_share: float
    slice_auc: float
    baseline_slice_auc: float


@dataclass(frozen=True)
class Judged:
    """One study.

    Attributes:
        label: as the data name it; ``truth``: the class of the model that it means.
        abnormal: whether something is there, None where nobody knows.
        decision: ``abnormal``, ``normal``, ``unsure``, or None without a notion of normal.
        presence: probability that something is there, or None.
        categories: as the reading gave them; ``classes``: joint with presence, see :meth:`Classes.probabilities`.
        located: None without a mask, or with an empty one.
        marks: where the model would point; None where it is not known what there was to find.
    """

    study: str
    group: str
    label: str | None
    truth: str | None
    abnormal: bool | None
    decision: str | None
    presence: float | None
    categories: dict[str, float]
    classes: dict[str, float]
    located: Located | None
    marks: tuple[Mark, ...] | None = None

    @property
    def predicted(self) -> str:
        return max(self.classes, key=lambda name: self.classes[name])

    @property
    def confidence(self) -> float:
        """Probability of the predicted class, at most 1."""
        return min(1.0, self.classes[self.predicted])

    @property
    def right(self) -> bool | None:
        return None if self.truth is None else self.truth == self.predicted


def judge(row: Row, study: Study, truth: NDArray[np.uint8] | None, reading: Reading, classes: Classes) -> Judged:
    """Hold one reading against the truth. ``truth`` is the mask on the scan's own grid (N), or None.

    Raises:
        DataError: the reading lies on another grid than the mask, or lacks a category of the model.
    """
    missing = [name for name in classes.categories if name not in reading.categories]
    if missing:
        raise DataError(f"study {row.study!r}: the reading has no probability for {', '.join(missing)}")
    abnormal = abnormality(row, truth, classes)
    present = None if reading.present is None else float(reading.present)
    said = reading.findings.presence
    lesions = None if truth is None or not truth.any() else lesions_of(truth > 0)
    if lesions is not None and reading.mask.shape != lesions.parts.shape:
        raise DataError(f"study {row.study!r}: reading of shape {reading.mask.shape}, mask of {lesions.parts.shape}")
    evidence = reading.evidence.sum(axis=0)
    return Judged(
        study=row.study,
        group=row.group,
        label=row.label,
        truth=classes.truth(row, abnormal),
        abnormal=abnormal,
        decision=None if said is None else said.decision,
        presence=present,
        categories={name: float(p) for name, p in reading.categories.items()},
        classes=classes.probabilities(present, reading.categories),
        located=None if lesions is None else _locate(study, lesions, reading.mask > 0, evidence),
        marks=marks_of(evidence, lesions) if lesions is not None or abnormal is False else None,
    )


def abnormality(row: Row, truth: NDArray[np.uint8] | None, classes: Classes) -> bool | None:
    """Whether something is there, by the normal class or else the mask (N); None where nobody knows."""
    if row.normal is not None:
        return not row.normal
    if classes.normal is not None and row.label is not None:
        # Other data may not know that this name means normal; the model does.
        return row.label != classes.normal
    # Without a normal class a label says nothing about presence (cat or dog); a mask does.
    return None if truth is None else bool(truth.any())


def _locate(study: Study, lesions: Lesions, marked: metrics.Bools, evidence: NDArray[np.float32]) -> Located:
    lesion = lesions.parts > 0
    scan = scan_for_location(study)
    head = head_of(scan)
    bright = brightest_region(scan, head)
    slices = baseline_slices = float("nan")
    surface = None
    size, scale = 1.0, 100 / max(lesion.shape)
    if study.picture is None:
        geometry = study.reference.geometry
        axis = geometry.canonical_axes()[0][2]
        others = tuple(a for a in range(3) if a != axis)
        highest = evidence.max(axis=others).astype(np.float64)
        slices = metrics.slice_auc(highest, lesion, axis, head)
        baseline_slices = metrics.slice_auc(bright.sum(axis=others).astype(np.float64), lesion, axis, head)
        surface = compare_surfaces(marked, lesion, geometry.spacing)
        size, scale = geometry.voxel_mm3, 1.0
    count = count_lesions(marked, lesions)
    return Located(
        dice=metrics.dice(marked, lesion),
        baseline_dice=metrics.dice(bright, lesion),
        lesions=count,
        diameters=tuple(scale * diameter(voxels, size, lesion.ndim) for voxels in count.sizes),
        surface=surface,
        peak_in_mask=metrics.peak_in_mask(evidence, lesion),
        lesion_share=float((lesion & head).sum() / max(1, head.sum())),
        slice_auc=slices,
        baseline_slice_auc=baseline_slices,
    )
