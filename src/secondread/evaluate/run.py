"""Judge a run: read the studies it never learned from, and write what came of it.

The folder OUT gets ``predictions.parquet`` (a row per study), ``metrics.json`` and one self-contained ``report.html``.
The last two call studies by numbers; ``names.csv`` says which is which (docs/decisions/006).
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from secondread.discreet import without_places
from secondread.errors import DataError, ResourceError, SecondreadError, UsageError, writing
from secondread.evaluate import alarms
from secondread.evaluate.about import About, read_about
from secondread.evaluate.aliases import Aliases
from secondread.evaluate.audit import audit_shortcuts
from secondread.evaluate.baselines import majority
from secondread.evaluate.curves import read_history, verdict
from secondread.evaluate.evaluation import Evaluation, Unread
from secondread.evaluate.figures import tabulate
from secondread.evaluate.gallery import Gallery
from secondread.evaluate.judged import Classes, Judged, abnormality, judge
from secondread.evaluate.labels import exhibits, find_label_errors
from secondread.evaluate.predictions import PREDICTIONS, columns_to_compare
from secondread.evaluate.sites import leave_one_site_out
from secondread.evaluate.splitgap import split_gap
from secondread.evaluate.start import gain_of_starter
from secondread.evaluate.subgroups import by_subgroup, properties_of
from secondread.files import write_whole

if TYPE_CHECKING:
    from secondread.index import Index, Row
    from secondread.infer import Reading
    from secondread.volume import Study

Progress = Callable[[str, int, int], None]

STAMP = "LEAK ACCEPTED: this run learned from a split that divides patients. No figure here is evidence."
"""Stands on every page of a report on such a run."""


class StudyReader(Protocol):
    """What judging needs of a :class:`secondread.infer.Reader`."""

    @property
    def spec(self) -> Any: ...

    @property
    def sha256(self) -> str: ...

    def read(self, study: Study) -> Reading: ...


def evaluate(
    run: Path,
    out: Path,
    *,
    index: Index | None = None,
    reader: StudyReader | None = None,
    about: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Judge ``run`` on its test split, or on every study of ``index``.

    Args:
        run: folder with ``index.parquet``, ``history.jsonl``, ``plan.json`` and ``model/``.
        out: folder for the results; made where it is not there.
        index: other data to judge on; what of it the run was trained on is said in the report.
        reader: the model; None loads RUN/model.
        about: a table of properties of patients or studies (sex, age), to tell figures by subgroup.
        progress: called as ``progress(what, done, total)``.

    Returns:
        The path of ``report.html``.

    Raises:
        UsageError: ``run`` is no run folder. DataError: no study to judge, or none could be read.
        LabelError: ``about`` cannot be used.
        ResourceError: no space or permission for ``out``. ChecksumError: the model is damaged.
    """
    from secondread.index import Index
    from secondread.index.split import divided as divided_in
    from secondread.infer import load_model

    if not run.is_dir():
        raise UsageError(f"there is no run at {run}; give the folder that `secondread train -o` wrote")
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    own = Index.load(run / "index.parquet")
    history, plan = read_history(run), _plan(run)
    reader = load_model(run / "model") if reader is None else reader
    classes = Classes(tuple(reader.spec.categories), reader.spec.normal, _draws_masks(reader))
    data = own if index is None else index
    rows = _rows_to_judge(own, index, run.name)
    said = About() if about is None else read_about(about, rows)
    names = Aliases(data.all_rows())
    points = alarms.choose(_validation_scores(run, own.rows("validation"), reader, classes, progress))
    gallery, lesions = Gallery(names.of), dict[str, float]()
    judged, unread = _judge_all(rows, reader, classes, gallery, names, lesions, progress)
    trained = own.rows("train")
    learned = Counter(classes.truth(row, None if row.normal is None else not row.normal) for row in trained)
    divided = divided_in(own.rows(None))
    leaks = _accepted(divided) if divided and index is None else find_leaks(trained, own.rows("validation"), rows)
    result = Evaluation(
        run=run.name,
        origin=f"the test split of the run {run.name}" if index is None else "other data than the run's own",
        model=_model(reader),
        classes=classes,
        judged=tuple(judged),
        unread=tuple(unread),
        lines=tuple(tabulate(judged, classes, learned, points)),
        alarms=points,
        majority=majority(learned),
        history=tuple(history),
        verdict=verdict(history, plan) if history else None,
        audit=audit_shortcuts(data.rows(None), progress=progress),
        leaks=tuple(leaks),
        rows=tuple(data.rows(None)),
        excluded=_excluded(data, names),
        notes=tuple(names.hide(note) for note in data.notes),
        plan=plan,
        index_sha256=data.fingerprint(),
        command=_command(run, out, data=index is not None, about=about is not None),
        about_sha256=None if about is None else hashlib.sha256(about.read_bytes()).hexdigest(),
        learned=tuple(trained),
        own_data=index is None,
        gap=split_gap(own, judged if divided and index is None else ()),
        sites=leave_one_site_out(data.rows(None)),
        labels=find_label_errors(data.rows(None), () if leaks else judged),
        subgroups=tuple(by_subgroup(judged, classes, properties_of(judged, rows, lesions, said.properties))),
        untold=tuple(names.hide(note) for note in said.notes),
        stamp=STAMP if leak_accepted(own, divided) else None,
    )
    write_whole(out / "names.csv", names.to_csv())
    write_whole(out / PREDICTIONS, _predictions(result))
    _write(replace(result, start=gain_of_starter(run, out, plan)), out, gallery, names)
    return out / "report.html"


def _command(run: Path, out: Path, *, data: bool, about: bool) -> str:
    """What makes the report again, where the run lies; DATA and TABLE stand for places, which may name people."""
    place = "" if out.resolve() == (run / "evaluation").resolve() else f" -o {quote(out.name)}"
    return f"secondread evaluate {quote(run.name)}{' --data DATA' * data}{place}{' --about TABLE' * about}"


def _write(result: Evaluation, out: Path, gallery: Gallery, names: Aliases) -> None:
    from secondread.evaluate.report import render

    figures = json.dumps(to_json(result, names), indent=2, ensure_ascii=False) + "\n"
    write_whole(out / "label_errors.csv", result.labels.to_csv(names))
    write_whole(out / "metrics.json", figures.encode())
    write_whole(out / "report.html", render(result, gallery, exhibits(result.labels, names)).encode())


def find_leaks(trained: Sequence[Row], validation: Sequence[Row], rows: Sequence[Row]) -> list[str]:
    """Sentences about studies among ``rows`` that the run has seen: the same bytes, the same patients by name.

    A study that nothing is known of is a patient of its own, under its file's name: two data sets may share that.
    """
    out = []
    for part, seen, use in (
        ("training", trained, "learned from"),
        ("validation", validation, "took its thresholds from, and where it could its epoch"),
    ):
        prints, groups = {row.sha256 for row in seen if row.sha256}, _patients(seen)
        same = sum(row.sha256 in prints for row in rows)
        patients = _patients(rows) & groups
        if same or patients:
            what = [f"{same} of {len(rows)} studies are byte for byte the same as one"] if same else []
            what += [f"{len(patients)} groups bear the name of one"] if patients else []
            out.append(
                f"LEAK: {' and '.join(what)} in the run's {part} set, which the model {use}. "
                "The figures are too good by an unknown amount."
            )
    return out


def _patients(rows: Sequence[Row]) -> set[str]:
    return {row.group for row in rows if row.group_from != "study"}


def to_json(result: Evaluation, names: Aliases) -> dict[str, Any]:
    """The content of metrics.json."""
    from secondread.evaluate.report import versions

    figures: dict[str, Any] = {}
    for line in result.lines:
        figures[line.name] = line.figure.to_json()
        if line.baseline is not None and not isinstance(line.baseline, float):
            figures[f"baseline_{line.name}"] = line.baseline.to_json()
    return {
        "metrics": figures,
        "model": result.model,
        "data": {
            "origin": result.origin,
            "index_sha256": result.index_sha256,
            "about_sha256": result.about_sha256,
            "studies": result.counts.studies,
            "groups": result.counts.groups,
            "unread": [{"study": u.study, "reason": u.reason} for u in result.unread],
            "majority_class": result.majority,
            "leaks": list(result.leaks),
        },
        "summary": list(result.summary),
        "verdict": None if result.verdict is None else result.verdict.to_json(),
        "audit": result.audit.to_json(),
        "split_gap": result.gap.to_json(),
        "sites": result.sites.to_json(),
        "label_errors": result.labels.to_json(names),
        "subgroups": [subgroup.to_json() for subgroup in result.subgroups],
        "left_out_of_about": list(result.untold),
        "stamp": result.stamp,
        "versions": versions(),
        "command": result.command,
    }


def _rows_to_judge(own: Index, other: Index | None, name: str) -> list[Row]:
    rows = own.rows("test") if other is None else other.rows(None)
    if not rows:
        raise DataError(
            f"{f'the test split of {name}' if other is None else 'the data given'} holds no study to judge; "
            "give other data with --data, or train again on more groups"
        )
    return rows


def leak_accepted(own: Index, divided: int) -> bool:
    """Whether someone let the run learn from a split that leaks: the index says so, or the split itself."""
    return own.accepted_leak is not None or divided > 0


def _accepted(divided: int) -> list[str]:
    """The sentence about a run's own split that divides so many patients or clusters."""
    from secondread.index.split import patients_or_clusters

    return [
        f"LEAK: the split of this run divides {patients_or_clusters(divided)} between training, validation and test. "
        "The figures are too good; what is left without that stands below, beside what the split "
        "claims."
    ]


def _judge_all(
    rows: Sequence[Row],
    reader: StudyReader,
    classes: Classes,
    gallery: Gallery,
    names: Aliases,
    lesions: dict[str, float],
    progress: Progress | None,
) -> tuple[list[Judged], list[Unread]]:
    """The studies judged, and those that could not be. Fills ``lesions`` with sizes: mm³, of a picture pixels."""
    judged: list[Judged] = []
    unread: list[Unread] = []
    first = ""
    for done, row in enumerate(rows, 1):
        try:
            study, truth = _load(row)
            reading = reader.read(study)
            answer = judge(row, study, truth, reading, classes)
        except ResourceError:
            raise
        except (SecondreadError, OSError) as error:
            unread.append(Unread(names.of(row.study), names.hide(str(error), row.study)))
            first = first or f"{row.study}: {without_places(str(error), row.images, row.study)}"
        else:
            judged.append(answer)
            if truth is not None and truth.any():
                voxel = 1.0 if study.picture is not None else study.reference.geometry.voxel_mm3
                lesions[row.study] = float(np.count_nonzero(truth)) * voxel
            gallery.offer(answer, study, reading, truth, drawn=classes.located)
        if progress is not None:
            progress("judging", done, len(rows))
    if not judged:
        raise DataError(f"none of {len(rows)} studies could be read; the first: {first}")
    return judged, unread


def _validation_scores(
    run: Path, rows: Sequence[Row], reader: StudyReader, classes: Classes, progress: Progress | None
) -> list[alarms.Score]:
    """Presence of the run's validation studies, as kept in its folder or read now and kept there."""
    if (known := alarms.kept(run, reader.sha256)) is not None:
        return known
    scores: list[alarms.Score] = []
    if classes.normal is None:  # then a mask alone can say that something is there
        rows = [row for row in rows if row.normal is not None or row.mask is not None]
    for done, row in enumerate(rows, 1):
        try:
            study, truth = _load(row)
            abnormal = abnormality(row, truth, classes)
            present = reader.read(study).present if abnormal is not None else None
        except ResourceError:
            raise
        except (SecondreadError, OSError):
            continue  # the run learned without it as well, or its scans are out of reach: fewer normals choose
        if abnormal is not None and present is not None:
            scores.append(alarms.Score(row.study, row.group, abnormal, float(present)))
        if progress is not None:
            progress("validation, for thresholds", done, len(rows))
    if scores:
        alarms.keep(run, reader.sha256, scores)
    return scores


def _load(row: Row) -> tuple[Study, NDArray[np.uint8] | None]:
    """The study, and its mask on the scan's own grid where it has one."""
    from secondread.formats import read_mask, read_study

    study = read_study(row.study, row.images, row.contrasts)
    if row.mask is None:
        return study, None
    if study.picture is not None:
        rows, columns = study.picture.pixels.shape[:2]
        return study, read_mask(row.mask, (rows, columns))
    return study, read_mask(row.mask, study.reference.geometry).labels


def _draws_masks(reader: StudyReader) -> bool:
    task = getattr(reader.spec, "task", None)
    return bool(getattr(task, "located", True))


def _model(reader: StudyReader) -> dict[str, Any]:
    spec = reader.spec
    return {
        "name": spec.name,
        "version": spec.version,
        "sha256": reader.sha256,
        "categories": list(spec.categories),
        "normal": spec.normal,
        "trained_on": getattr(spec, "trained_on", {}),
    }


def _plan(run: Path) -> dict[str, Any]:
    path = run / "plan.json"
    if not path.is_file():
        raise UsageError(f"{run} holds no plan.json; give the folder that `secondread train -o` wrote")
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    if not isinstance(plan, dict):
        raise DataError(f"{path}: a plan is a JSON object, not {type(plan).__name__}")
    return plan


def _excluded(index: Index, names: Aliases) -> tuple[Unread, ...]:
    return tuple(
        Unread(names.of(row.study), names.hide(row.reason or "no reason given", row.study))
        for row in index.all_rows()
        if row.excluded
    )


def _predictions(result: Evaluation) -> bytes:
    """Parquet: study, group, label, truth, predicted, confidence, decision, presence, p_<category> (as in
    findings.json: given that something is there), dice; then those of :func:`columns_to_compare`."""
    import polars as pl

    judged = result.judged
    several = len(result.classes.names) > 1
    columns: dict[str, Any] = {
        "study": pl.Series([j.study for j in judged], dtype=pl.String),
        "group": pl.Series([j.group for j in judged], dtype=pl.String),
        "label": pl.Series([j.label for j in judged], dtype=pl.String),
        "truth": pl.Series([j.truth for j in judged], dtype=pl.String),
        "predicted": pl.Series([j.predicted if several else None for j in judged], dtype=pl.String),
        "confidence": pl.Series([j.confidence if several else None for j in judged], dtype=pl.Float64),
        "decision": pl.Series([j.decision for j in judged], dtype=pl.String),
        "presence": pl.Series([j.presence for j in judged], dtype=pl.Float64),
    }
    for name in result.classes.categories:
        columns[f"p_{name}"] = pl.Series([j.categories[name] for j in judged], dtype=pl.Float64)
    scores = [j.located.dice if j.located is not None and result.classes.located else math.nan for j in judged]
    columns["dice"] = pl.Series([None if math.isnan(d) else d for d in scores], dtype=pl.Float64)
    columns |= columns_to_compare(judged, result.classes, result.alarms)
    buffer = io.BytesIO()
    pl.DataFrame(columns).write_parquet(buffer)
    return buffer.getvalue()
