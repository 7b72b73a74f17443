"""Two runs against each other, from their folders: judged where they are not yet, compared on what neither has seen.

A run that has seen a study, or another of its patient, knows it again; whoever learned from a split that leaks would be
called the better one for that. So studies tied to what either run learned from are left out, and where nothing else is
left, nobody is called better.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from secondread.errors import UsageError, writing
from secondread.evaluate.origins import Origin, command, origin_of
from secondread.evaluate.paired import Comparison, compare_predictions
from secondread.evaluate.predictions import PREDICTIONS, read_predictions
from secondread.evaluate.run import Progress, StudyReader, evaluate
from secondread.files import write_whole
from secondread.index.words import counted
from secondread.infer import load_model

if TYPE_CHECKING:
    import polars as pl

    from secondread.index import Index


def compare_runs(
    first: Path,
    second: Path,
    out: Path,
    *,
    index: Index | None = None,
    load: Callable[[Path], StudyReader] | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Compare two runs, and write ``compare.json`` and ``compare.html``. A run that is not judged yet is judged first.

    Studies that one of the runs has seen (tied to its training or validation set by patient or near-duplicate) are left
    out where any others remain. Where none do, figures are of them all, and neither run is called better.

    Args:
        first, second: folders of runs, or of evaluations as :func:`evaluate` writes them.
        out: folder for the results; made where it is not there.
        index: data to judge both on, below ``out``; None takes each run's own evaluation.
        load: gives the reader of a run; None loads RUN/model.
        progress: called as ``progress(what, done, total)``.

    Raises:
        UsageError: neither a run nor an evaluation. DataError: no study in common, or one that the two know otherwise.
        ResourceError: no space or permission for ``out``. As :func:`evaluate`, for a run that is judged here.
    """
    from secondread.evaluate.report import versions

    names, runs = _names(first, second), (first, second)
    folders = [_judged_in(run, name, out, index, load, progress) for run, name in zip(runs, names, strict=True)]
    origins = [origin_of(run, folder, index) for run, folder in zip(runs, folders, strict=True)]
    result = compare_unseen([read_predictions(folder) for folder in folders], origins, names)
    again = command(origins, out, index)
    content = result.to_json() | {
        "runs": {side: origin.to_json() for side, origin in zip(("first", "second"), origins, strict=True)},
        "versions": versions(),
        "command": again,
    }
    page = _page(result, origins, again)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / "compare.json", (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
        write_whole(out / "compare.html", page.encode())
    return result


def _page(result: Comparison, origins: Sequence[Origin], again: str) -> str:
    from secondread.evaluate.report import environment, flat, versions

    facts = [origin.facts for origin in origins]
    plans = [dict(flat(dict(origin.plan))) for origin in origins]
    rows = [(key, plans[0].get(key), plans[1].get(key)) for key in plans[0] | plans[1]] if all(plans) else []
    return (
        environment()
        .get_template("paired.html.j2")
        .render(
            title=f"{result.names[0]} and {result.names[1]}",
            stamp=result.stamp,
            result=result,
            command=again,
            facts=[(what, facts[0][what], facts[1][what]) for what in facts[0]],
            settings=[(key, one, two) for key, one, two in rows if one != two],
            versions=versions(),
        )
    )


def compare_unseen(tables: Sequence[pl.DataFrame], origins: Sequence[Origin], names: tuple[str, str]) -> Comparison:
    """Compare two tables of predictions on the studies that neither run has seen, where there are any; on all that both
    judged, without a winner, where there are none or nobody can tell. Raises DataError as :func:`compare_runs`."""
    shared = set(tables[0]["study"]) & set(tables[1]["study"])
    seen = [None if origin.seen is None else origin.seen & shared for origin in origins]
    doubted = frozenset[str]().union(*(shared if some is None else some for some in seen))
    conclusive = not doubted or doubted < shared
    out = list(doubted) if conclusive else []
    first, second = (table.filter(~table["study"].is_in(out)) for table in tables)
    result = compare_predictions(first, second, names)
    return replace(
        result,
        duels=tuple(replace(duel, void=not conclusive) for duel in result.duels),
        seen=len(out),
        leaks=tuple(_leaks(origins, seen, names, len(shared), len(doubted))),
        conclusive=conclusive,
        stamp=_stamp(origins, conclusive),
    )


def _leaks(
    origins: Sequence[Origin], seen: Sequence[Collection[str] | None], names: Sequence[str], shared: int, doubted: int
) -> list[str]:
    """What to know before any figure: who learned from a split that leaks, and what became of the studies."""
    out = [
        f"LEAK ACCEPTED: {name} learned from a split that divides patients."
        for name, origin in zip(names, origins, strict=True)
        if origin.accepted
    ]
    for name, some in zip(names, seen, strict=True):
        if some is None:
            out.append(
                f"LEAK: which of the studies {name} has seen cannot be told from its evaluation alone; give the run's "
                "folder."
            )
        elif some:
            out.append(
                f"LEAK: {name} has seen {len(some):,} of {counted(shared, 'study')} that both judged, or others of "
                "their patients, or near-duplicates, when it was trained and chosen."
            )
    if doubted == shared:
        out.append("No study is left that surely neither has seen: the figures below are of them all.")
    elif doubted:
        out.append(f"Left out for that: {doubted:,} of {counted(shared, 'study')}.")
    return out


def _stamp(origins: Sequence[Origin], conclusive: bool) -> str | None:
    accepted = [origin.accepted for origin in origins]
    if not any(accepted):
        return None
    who = "both runs" if all(accepted) else ("the first run", "the second run")[accepted.index(True)]
    which = "Figures are of studies that neither run has seen." if conclusive else "No figure here is evidence."
    return f"LEAK ACCEPTED: {who} learned from a split that divides patients. {which}"


def _judged_in(
    run: Path,
    name: str,
    out: Path,
    index: Index | None,
    load: Callable[[Path], StudyReader] | None,
    progress: Progress | None,
) -> Path:
    """The folder that holds the predictions of a run, judged now where they are missing or another model's."""
    if index is None and (run / PREDICTIONS).is_file():
        return run
    if not run.is_dir():
        raise UsageError(f"there is no run at {run}; give the folder that `secondread train -o` wrote")
    folder = run / "evaluation" if index is None else out / name
    reader = load(run) if load is not None else load_model(run)
    if index is not None or not (folder / PREDICTIONS).is_file() or _model_of(folder) != reader.sha256:
        evaluate(run, folder, index=index, reader=reader, progress=progress)
    return folder


def _model_of(folder: Path) -> str | None:
    """SHA-256 of the model that an evaluation judged; None where that cannot be told."""
    try:
        return str(json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["model"]["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _names(first: Path, second: Path) -> tuple[str, str]:
    """A name for each evaluation: its folder's, or the run's where that is called ``evaluation``."""
    said = [(p.parent.name if p.name == "evaluation" else p.name) for p in (first.resolve(), second.resolve())]
    return (said[0], said[1]) if said[0] != said[1] else (f"{said[0]} (first)", f"{said[1]} (second)")
