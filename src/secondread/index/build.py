"""From data to a frozen index, on one page."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from secondread.errors import DataError, LabelError
from secondread.formats.header import READABLE
from secondread.index.classes import labelled
from secondread.index.duplicates import cluster
from secondread.index.gather import gather
from secondread.index.inspect import inspect
from secondread.index.leakage import GivenSplitLeaks
from secondread.index.names import is_normal, squeeze
from secondread.index.split import SAME_PATIENT, Leak, find_leaks, freeze
from secondread.index.summary import studies_of_patients
from secondread.index.table import SPLITS, AcceptedLeak, Index, Row
from secondread.index.words import counted

Progress = Callable[[str, int, int], None]

FRACTIONS = (0.7, 0.15, 0.15)
"""Of the studies in train, validation and test."""

GROUP_SOURCES = {
    "csv": "a group column",
    "dicom": "the patient identifier in DICOM (kept as a hash)",
    "brats": "BraTS names",
    "bids": "the subject in BIDS names",
    "folder": "the folder, or the part of the name, that several scans share",
    "study": "nothing, so that each study counts as a patient of its own",
}


def build_index(
    data: Sequence[Path],
    *,
    labels: Path | None = None,
    normal: Sequence[str] = (),
    seed: int = 0,
    fractions: tuple[float, float, float] = FRACTIONS,
    repair: bool = False,
    accept_leak: bool = False,
    progress: Progress | None = None,
) -> Index:
    """Index data in any mixture of forms: a folder per class, per patient or per split, a CSV, a BIDS tree, flat
    folders, scans, and indexes written before (whose splits are kept).

    Args:
        labels: a CSV to join on, see ``join.join_labels``.
        normal: names of labels that mean "nothing abnormal", beside the usual ones.
        seed: decides the split where the data do not.
        fractions: of studies in train, validation and test.
        repair: where a given split leaks, deal what it divides anew instead of refusing.
        accept_leak: where it leaks, keep it, and say so in ``Index.accepted_leak``.
        progress: called as ``progress(what, done, total)``.

    Raises:
        DataError: nothing there, or nothing that can be read.
        LabelError: labels that contradict each other or the files; class folders called after patients.
        GivenSplitLeaks: a given split divides a patient or near-duplicates, and is neither to be repaired nor accepted.
        UsageError: fractions that are no shares.
    """
    if not data:
        raise DataError("no data were given: name a folder, a CSV or an index")
    settle = _Settling(seed, fractions, repair=repair, accept=accept_leak)
    if len(data) == 1 and data[0].suffix.lower() == ".parquet" and labels is None and not normal:
        return _reopened(Index.load(data[0]), settle)
    drafts, indexed, notes = gather([Path(path) for path in data], normal, progress)
    drafts, more = labelled(drafts, None if labels is None else labels.absolute())
    notes += more
    rows = [*indexed, *inspect(drafts, progress)]
    _require_some(rows, data)
    rows, more = _mark_normal(rows, normal)
    notes += more
    clusters, more = cluster(rows, progress)
    notes += more
    rows = [replace(row, cluster=number) for row, number in zip(rows, clusters, strict=True)]
    notes += [*_group_notes(rows), *_oddities(rows)]
    return settle(rows, notes)


@dataclass(frozen=True)
class _Settling:
    """Rows to an index with a frozen split, by what was said about a given one that leaks."""

    seed: int
    fractions: tuple[float, float, float]
    repair: bool
    accept: bool

    def __call__(self, rows: Sequence[Row], notes: Sequence[str]) -> Index:
        leaks = find_leaks(rows)
        if leaks and not (self.repair or self.accept):
            repaired = replace(self, repair=True)(rows, notes)
            raise GivenSplitLeaks(rows, leaks, repaired)
        accept = self.accept and not self.repair
        sides, more = freeze(rows, seed=self.seed, fractions=self.fractions, repair=self.repair, accept=accept)
        frozen = [replace(row, split=side) for row, side in zip(rows, sides, strict=True)]
        accepted = _accepted(frozen, leaks) if leaks and accept else None
        given = {row.study: row.split for row in rows if row.split is not None and not row.excluded}
        said = [str(accepted)] if accepted else []
        every = list(dict.fromkeys([*said, *notes, *more, *_divided_sites(frozen)]))
        return Index.of(frozen, every, given if leaks and not accept else None, accepted)


def _reopened(index: Index, settle: _Settling) -> Index:
    """An index as it is, unless its split leaks: a file that others wrote or edited is not trusted to be clean."""
    rows = index.all_rows()
    return settle(rows, index.notes) if find_leaks(rows) else index


def _accepted(rows: Sequence[Row], leaks: Sequence[Leak]) -> AcceptedLeak:
    kept = [row for row in rows if not row.excluded]
    learned = [row for row in kept if row.split == "train"]
    groups, clusters = {row.group for row in learned}, {row.cluster for row in learned}
    tied = Counter(row.split for row in kept if row.group in groups or row.cluster in clusters)
    patients = sum(leak.why == SAME_PATIENT for leak in leaks)
    return AcceptedLeak(patients, len(leaks) - patients, {side: tied[side] for side in SPLITS[1:]})


def _divided_sites(rows: Sequence[Row]) -> list[str]:
    """Whether test studies come from sites that were learned from: no leak, but it bounds what a figure says."""
    sides: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.site is not None and row.split is not None:
            sides[row.site].add(row.split)
    shared = sum("train" in found and "test" in found for found in sides.values())
    if not shared or len(sides) < 2:
        return []
    return [
        f"{shared:,} of {len(sides):,} sites are in train and in test: figures on the test studies are of these sites, "
        f"and say nothing about a new one."
    ]


def studies_in(data: Sequence[Path], progress: Progress | None = None, *, classes: Collection[str] = ()) -> list[Row]:
    """The studies below ``data``, in any form, to be read and not learned from: labels, masks and splits left aside,
    near-duplicates not looked for. One that cannot be used is there, excluded, with its reason.

    Args:
        classes: that the model names: a folder called after one is called after no person.

    Raises:
        DataError: nothing there that looks like a scan.
    """
    drafts, indexed, _ = gather([Path(path) for path in data], (), progress)
    # Without its label: a folder given to be read is more often a patient's than a class.
    unmarked = [replace(draft, label=None, mask=None, split=None) for draft in drafts]
    rows = [*(replace(row, label=None) for row in indexed), *inspect(unmarked, progress, classes)]
    if not rows:
        names = ", ".join(str(path) for path in data)
        raise DataError(f"no scan in {names}: {READABLE} are read")
    return rows


def require_learnable(index: Index) -> None:
    """Raise DataError where nothing can be learned: no study to train on, or one class only and no mask.

    Normal scans alone will do: lesions are implanted into them.
    """
    train = index.rows("train")
    if not train:
        raise DataError("no study is in train: the data name only other splits; add some, or give a split column")
    labels = sorted({row.label for row in train if row.label is not None})
    if len(labels) > 1 or any(row.mask is not None for row in train):
        return
    if labels and all(row.normal for row in train):
        return
    seen = f"all {len(train)} are {labels[0]!r}" if labels else f"none of the {len(train)} has a label"
    raise DataError(
        f"there is nothing to tell apart in the studies to train on: {seen}, and there are no masks. "
        f"Give a folder per class (two at least), a CSV with a label column, or masks"
    )


def _require_some(rows: Sequence[Row], data: Sequence[Path]) -> None:
    if not rows:
        names = ", ".join(str(path) for path in data)
        raise DataError(f"no scan in {names}: {READABLE} are read")
    if all(row.excluded for row in rows):
        reasons = Counter(row.reason for row in rows).most_common(3)
        said = "; ".join(f"{reason} ({count})" if count > 1 else f"{reason}" for reason, count in reasons)
        which = "the only study cannot" if len(rows) == 1 else f"none of the {len(rows):,} studies can"
        raise DataError(f"{which} be used: {said}")


def _mark_normal(rows: Sequence[Row], named: Sequence[str]) -> tuple[list[Row], list[str]]:
    """``normal`` of every row. Raises LabelError for a ``named`` class that no study has."""
    labels = sorted({row.label for row in rows if row.label is not None})
    unknown = [name for name in named if squeeze(name) not in {squeeze(label) for label in labels}]
    if unknown:
        raise LabelError(f"no study is labelled {unknown[0]!r}, which was named normal; labels are {', '.join(labels)}")
    classes = [label for label in labels if is_normal(label, named)]
    if not classes:
        said = "No class is normal, so that the task is to tell the category" if labels else "There are no labels"
        if len(labels) == 1:
            said = f"Every label is {labels[0]!r}: without a second class or masks there is nothing to tell apart"
        return [replace(row, normal=None) for row in rows], [f"{said}."]
    marked = [replace(row, normal=None if row.label is None else row.label in classes) for row in rows]
    return marked, [f"Normal is {', '.join(repr(label) for label in classes)}."]


def _group_notes(rows: Sequence[Row]) -> list[str]:
    kept = [row for row in rows if not row.excluded]
    sources = Counter(row.group_from for row in kept)
    said = [
        f"{GROUP_SOURCES.get(source, f'the {source.upper()} naming scheme')} ({count:,})"
        for source, count in sources.most_common()
    ]
    known = f"a patient is known by {', '.join(said)}"
    if set(sources) == {"study"}:
        known = "nothing says which of them are of one patient, so each counts as a patient of its own"
    notes = [f"{studies_of_patients(kept)}; {known}."]
    members: dict[str, list[Row]] = defaultdict(list)
    for row in kept:
        if row.label is not None:
            members[row.group].append(row)
    mixed = [group for group in members.values() if len({row.label for row in group}) > 1]
    if mixed:
        first, second = mixed[0][0], next(row for row in mixed[0] if row.label != mixed[0][0].label)
        notes.append(
            f"{counted(len(mixed), 'patient has', 'patients have')} studies with different labels, such as "
            f"{first.study} ({first.label}) and {second.study} ({second.label}): possible for a real patient, a "
            f"mistake for most diagnoses. All studies of a patient stay on one side of the split."
        )
    return notes


def _oddities(rows: Sequence[Row]) -> list[str]:
    kept = [row for row in rows if not row.excluded]
    notes = []
    pictures = sum(row.is_picture for row in kept)
    if 0 < pictures < len(kept):
        notes.append(
            f"Pictures ({pictures:,}) and volumes ({len(kept) - pictures:,}) together: one model reads one of the two."
        )
    unlabelled = sum(row.label is None for row in kept)
    if 0 < unlabelled < len(kept):
        notes.append(f"{counted(unlabelled, 'study has', 'studies have')} no label.")
    members: dict[int, list[Row]] = defaultdict(list)
    for row in kept:
        members[row.cluster].append(row)
    several = [group for group in members.values() if len(group) > 1]
    if several:
        bytes_equal = len(kept) - len({row.sha256 for row in kept})
        notes.append(
            f"{sum(map(len, several)):,} studies form {counted(len(several), 'cluster', 'clusters')} of copies or "
            f"near-copies ({counted(bytes_equal, 'is', 'are')} the same bytes as another)."
        )
    torn = [group for group in several if len({row.label for row in group if row.label is not None}) > 1]
    if torn:
        first, second = torn[0][0], next(row for row in torn[0] if row.label != torn[0][0].label)
        notes.append(
            f"{counted(len(torn), 'cluster of near-copies carries', 'clusters of near-copies carry')} different "
            f"labels, such as {first.study} ({first.label}) and {second.study} ({second.label}): look at them."
        )
    return notes
