"""The shortcut audit: can what must not matter tell the labels apart?

Negative controls are trained on what must not matter: what the file and its header say, the site, the frame of the
picture's edges, a thumbnail of 8 x 8, how often each brightness occurs. Each is a random forest (Breiman, Machine
Learning 45, 2001: no scaling to choose, and ranges such as "between 10 and 20 kB" come naturally), cross-validated over
groups, all included studies at once. A control whose AUC for a class has a lower bound above SEPARABLE, or that never
errs, says that the class comes from another source than the others, and a model may have learned the source.

A thumbnail shows the plane and the head's position and, blurred, a large lesion; a histogram shows contrast and
scaling and, without its place, a bright lesion. Both are told apart from the controls that are blind to the brain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondread.errors import SecondreadError
from secondread.evaluate.intervals import FEW_GROUPS, Figure
from secondread.evaluate.lines import auc_of, groups_of

if TYPE_CHECKING:
    from secondread.index import Row

SEPARABLE = 0.9
CHANCE = 0.5
FLAWLESS_GROUPS = 3
"""A control that makes no error at all is believed from this many groups of the rarer class on."""
MAX_PICTURES, MAX_VOLUMES = 600, 120
"""At most this many studies are looked at, the same share of every class, drawn by seed."""
FRAME_SHARE = 0.08
"""Width of the frame, as a share of the shorter side."""
PROFILE = 8
"""Samples of brightness along each of the four sides."""
THUMBNAIL = 8
BRIGHTNESSES = 32
"""Bins of the histogram."""
FOLDS = 5
TREES = 100

CONTROLS = {
    "metadata": "file size, shape and header",
    "border": "border",
    "site": "site",
    "thumbnail": "a thumbnail of 8 x 8 pixels",
    "histogram": "a histogram of brightness",
}
BLIND = ("metadata", "border", "site")
"""Controls that see nothing of the brain's inside."""
GIVEN_AWAY, HINTS = "gives it away", "better than chance"
SHOWS = {
    "thumbnail": "which shows the plane and the framing more than any lesion",
    "histogram": "which shows the scanner's contrast and scaling more than any lesion",
}


@dataclass(frozen=True)
class Control:
    """How well one control tells one class from all others. ``rarer``: groups of the class or of the others, whichever
    are fewer."""

    control: str
    label: str
    figure: Figure
    rarer: int

    @property
    def separates(self) -> bool:
        # The interval of an AUC of 1 is cautious as a claim; as a warning a control that never errs is enough.
        flawless = self.figure.value == 1.0 and self.rarer >= FLAWLESS_GROUPS
        return flawless or (not math.isnan(self.figure.low) and self.figure.low > SEPARABLE)

    @property
    def verdict(self) -> str:
        if self.separates:
            return GIVEN_AWAY
        if self.figure.low > CHANCE:
            return HINTS
        return "too few groups to say" if self.rarer < FEW_GROUPS else "no better than chance"


@dataclass(frozen=True)
class Audit:
    """What the negative controls found.

    Attributes:
        controls: a line per control and class.
        sentences: in words, the gravest first, empty where nothing was found.
        grave: whether the first of them is about a control that is blind to the brain.
        studies: how many were looked at; ``unread`` of them gave no picture.
        blocked: why no audit was possible, or None.
        normal_differs: the normal class can be told by what is blind to the brain.
    """

    controls: tuple[Control, ...] = ()
    sentences: tuple[str, ...] = ()
    studies: int = 0
    unread: int = 0
    blocked: str | None = None
    normal_differs: bool = False
    grave: bool = False

    def to_json(self) -> dict[str, Any]:
        found: dict[str, dict[str, Any]] = {}
        for line in self.controls:
            found.setdefault(line.control, {})[line.label] = line.figure.to_json() | {"verdict": line.verdict}
        return {
            "studies": self.studies,
            "unread": self.unread,
            "controls": found,
            "sentences": list(self.sentences),
            "blocked": self.blocked,
        }


def audit_shortcuts(
    rows: Sequence[Row], *, seed: int = 0, progress: Callable[[str, int, int], None] | None = None
) -> Audit:
    """Train the controls on included rows with a known class.

    A study that cannot be read counts as unread and keeps its metadata.
    """
    known = [(row, name) for row in rows if not row.excluded and (name := class_of(row)) is not None]
    names = sorted({name for _, name in known})
    if len(names) < 2:
        return Audit(blocked="there is one class only, so nothing to tell apart")
    chosen = _stratified(known, seed)
    groups = [row.group for row, _ in chosen]
    labels = np.array([names.index(name) for _, name in chosen])
    rarest = min(len({g for g, at in zip(groups, labels, strict=True) if at == k}) for k in range(len(names)))
    if rarest < 2:
        return Audit(studies=len(chosen), blocked="a class has one group only, so nothing can be cross-validated")
    features, unread = _features([row for row, _ in chosen], progress)
    lines = []
    for control, table in features.items():
        if table is None:
            continue
        scores = _cross_validated(table, labels, groups, min(FOLDS, rarest), seed)
        lines += [
            line
            for k, name in enumerate(names)
            if (line := _control(control, name, labels == k, scores[:, k], groups)) is not None
        ]
    normal = {name for row, name in known if row.normal}
    pictures = all(row.kind == "picture" for row, _ in known)
    sentences = tuple(_sentences(lines, names, normal, "pictures" if pictures else "scans"))
    differs = any(line.separates and line.label in normal and line.control in BLIND for line in lines)
    grave = any(line.separates and line.control in BLIND for line in lines)
    return Audit(tuple(lines), sentences, len(chosen), unread, None, differs, grave)


def class_of(row: Row) -> str | None:
    """The label; without one ``normal`` or ``abnormal`` where that is known."""
    if row.label is not None:
        return str(row.label)
    return None if row.normal is None else ("normal" if row.normal else "abnormal")


def metadata_features(rows: Sequence[Row]) -> NDArray[np.float64]:
    """What file and header say, one row per study: extent along each axis, aspect, bytes, channels, spacing, kind of
    file, which contrasts there are."""
    kinds = sorted({row.kind or "" for row in rows})
    contrasts = sorted({contrast for row in rows for contrast in row.contrasts})
    table = []
    for row in rows:
        shape = [float(n) for n in row.shape[:3]] + [0.0] * (3 - len(row.shape[:3]))
        spacing = [float(s) for s in row.spacing[:3]] if row.spacing else [0.0, 0.0, 0.0]
        table.append(
            [
                *shape,
                shape[0] / max(1.0, shape[1]),
                math.log1p(row.bytes),
                float(row.channels),
                *spacing,
                *[float((row.kind or "") == kind) for kind in kinds],
                *[float(contrast in row.contrasts) for contrast in contrasts],
            ]
        )
    return np.array(table, np.float64)


def border_features(grey: NDArray[np.float32]) -> NDArray[np.float64]:
    """The frame of ``grey`` (row, column): mean, spread and brightest of the whole and of each side, and PROFILE means
    along each side."""
    width = max(1, round(FRAME_SHARE * min(grey.shape)))
    sides = (grey[:width], grey[-width:], grey[:, :width].T, grey[:, -width:].T)
    whole = np.concatenate([side.ravel() for side in sides])
    out = [float(f) for part in (whole, *sides) for f in (part.mean(), part.std(), part.max())]
    for side in sides:
        out += [float(part.mean()) if part.size else 0.0 for part in np.array_split(side.mean(axis=0), PROFILE)]
    return np.array(out, np.float64)


def thumbnail_features(grey: NDArray[np.float32]) -> NDArray[np.float64]:
    """``grey`` (row, column) as THUMBNAIL x THUMBNAIL means, from 0 to 1 of its own range, one after the other."""
    from PIL import Image

    low, high = float(grey.min()), float(grey.max())
    image = Image.fromarray(np.ascontiguousarray((grey - low) / max(high - low, 1e-6), np.float32))
    return np.asarray(image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX), np.float64).ravel()


def histogram_features(grey: NDArray[np.float32]) -> NDArray[np.float64]:
    """Share of pixels of ``grey`` (row, column), 0 to 1, in each of BRIGHTNESSES equal bins."""
    return np.histogram(grey, BRIGHTNESSES, (0.0, 1.0))[0] / max(1, grey.size)


def site_features(rows: Sequence[Row]) -> NDArray[np.float64] | None:
    """Which site each row is from, (n, sites); None where fewer than two are known."""
    sites = sorted({row.site for row in rows if row.site is not None})
    if len(sites) < 2:
        return None
    return np.array([[float(row.site == site) for site in sites] for row in rows])


def grey_of(row: Row) -> NDArray[np.float32]:
    """The picture in grey, 0 to 1 of its dtype's range, or the central axial plane of the reference series, 0 to 1 of
    its 99th percentile. (row, column). Raises FormatError and its kin."""
    from secondread.formats import read_picture, read_volume

    source: Path = row.images[0]
    if row.kind == "picture":
        pixels = read_picture(source).pixels
        limit = float(np.iinfo(pixels.dtype).max) if np.issubdtype(pixels.dtype, np.integer) else 1.0
        return np.asarray(pixels.astype(np.float32).mean(axis=2) / limit, np.float32)
    volume = read_volume(source)
    axis = volume.geometry.canonical_axes()[0][2]
    plane = np.take(volume.voxels, volume.voxels.shape[axis] // 2, axis=axis).astype(np.float32)
    return np.asarray((plane / max(float(np.percentile(plane, 99)), 1e-6)).clip(0, 1), np.float32)


def _features(
    rows: Sequence[Row], progress: Callable[[str, int, int], None] | None
) -> tuple[dict[str, NDArray[np.float64] | None], int]:
    looks = {"border": border_features, "thumbnail": thumbnail_features, "histogram": histogram_features}
    found: dict[str, list[NDArray[np.float64] | None]] = {name: [] for name in looks}
    for done, row in enumerate(rows, 1):
        try:
            grey = grey_of(row)
        except (SecondreadError, OSError):
            grey = None
        for name, look in looks.items():
            found[name].append(None if grey is None else look(grey))
        if progress is not None:
            progress("auditing", done, len(rows))
    unread = sum(features is None for features in found["border"])
    seen = {name: _filled(features) for name, features in found.items()}
    return {"metadata": metadata_features(rows), "site": site_features(rows), **seen}, unread


def _filled(features: Sequence[NDArray[np.float64] | None]) -> NDArray[np.float64] | None:
    """Rows without features take the mean, which favours no class; None where there is no row with any."""
    read = [f for f in features if f is not None]
    if not read:
        return None
    middle = np.mean(read, axis=0)
    return np.stack([middle if f is None else f for f in features])


def _stratified(known: Sequence[tuple[Row, str]], seed: int) -> list[tuple[Row, str]]:
    """At most MAX_PICTURES or MAX_VOLUMES studies, in the order given, each class cut by the same share."""
    most = MAX_PICTURES if all(row.kind == "picture" for row, _ in known) else MAX_VOLUMES
    if len(known) <= most:
        return list(known)
    generator = np.random.default_rng(seed)
    names = np.array([name for _, name in known])
    picks: list[int] = []
    for name in np.unique(names):
        members = np.flatnonzero(names == name)
        share = max(min(10, len(members)), round(most * len(members) / len(known)))
        picks += generator.choice(members, share, replace=False).tolist()
    return [known[at] for at in sorted(picks)]


def _cross_validated(
    table: NDArray[np.float64], labels: NDArray[np.intp], groups: Sequence[str], folds: int, seed: int
) -> NDArray[np.float64]:
    """Probability of each class (n, classes) from forests that saw no study of the same group."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedGroupKFold

    scores = np.full((len(labels), int(labels.max()) + 1), np.nan)
    split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(table, labels, groups)
    for train, test in split:
        forest = RandomForestClassifier(TREES, min_samples_leaf=2, class_weight="balanced", random_state=seed)
        forest.fit(table[train], labels[train])
        scores[test] = 0.0
        scores[np.ix_(test, forest.classes_)] = forest.predict_proba(table[test])
    return scores


def _control(
    control: str, name: str, truth: NDArray[np.bool_], scores: NDArray[np.float64], groups: Sequence[str]
) -> Control | None:
    figure = auc_of(truth, scores, groups).figure
    return None if figure is None else Control(control, name, figure, min(groups_of(truth, groups)))


def _sentences(lines: Sequence[Control], names: Sequence[str], normal: set[str], what: str) -> list[str]:
    """What the controls that separate mean: the normal class first, then by blind controls, then by the thumbnail."""
    # With two classes both lines say the same: the normal one speaks for both, else the first.
    spoken = ([n for n in names if n in normal] or list(names[:1])) if len(names) == 2 else list(names)
    out: list[tuple[tuple[bool, bool], str]] = []
    for name in spoken:
        found = [line for line in lines if line.separates and line.label == name]
        blind = [line for line in found if line.control in BLIND]
        by = " and by their ".join(f"{CONTROLS[f.control]} alone (AUC {f.figure.inner_words})" for f in blind)
        if blind:
            consequence = _consequence(f"the {name} {what}", name, name in normal)
            words = f"The {name} {what} can be told from the others by their {by}: {consequence}"
        elif found:
            words = (
                f"The {name} {what} can be told from the others by {CONTROLS[found[0].control]} (AUC "
                f"{found[0].figure.inner_words}), {SHOWS[found[0].control]}. "
                f"Figures for {name} may owe much to that."
            )
        else:
            continue
        out.append(((not blind, name not in normal), words))
    return [words for _, words in sorted(out, key=lambda item: item[0])]


def _consequence(which: str, name: str, is_normal: bool) -> str:
    if is_normal:
        return f"{which} differ in source from the others. Presence figures on these data are no evidence of detection."
    # Abnormal classes are often scanned in planes of their own, which is framing and not another source.
    return (
        f"{which} differ from the others in source or framing. Figures for {name} may owe their height to that and "
        "not to what is in the scan."
    )
