"""Plans side by side, each trained with one seed or several: curves, figures over seeds, and which is best."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from secondread.errors import SecondreadError, UsageError, writing
from secondread.evaluate import plots
from secondread.evaluate.curves import WATCHED, Epoch, Verdict, kept, read_history, series, verdict
from secondread.evaluate.intervals import wilson
from secondread.evaluate.seeds import OverSeeds, behind, over_seeds
from secondread.files import write_whole

PLAN_KEYS = ("optimizer", "learning_rate", "loss", "network", "start", "batch", "epochs", "minutes")
METRICS = ("evaluation/metrics.json", "metrics.json")
"""Where a run's own evaluation lies, if it has one."""

NAMED = 5
"""So many plans are named in a sentence, the others counted."""


@dataclass(frozen=True)
class Contender:
    """One plan of a comparison.

    Attributes:
        name: to show.
        runs: its finished runs, one a seed.
        diverged: how many more seeds came apart.
    """

    name: str
    runs: tuple[Path, ...]
    diverged: int = 0


@dataclass(frozen=True)
class RunLine:
    """One run. The best epoch is the one kept, else that of the lowest validation loss; ``figures`` are its figures on
    the validation split, by name."""

    name: str
    epochs: int
    seconds: float | None
    best_epoch: int | None
    figures: dict[str, float]
    verdict: Verdict
    plan: dict[str, Any]
    test: dict[str, Any] | None
    groups: int | None

    def to_json(self) -> dict[str, Any]:
        return {
            "epochs": self.epochs,
            "seconds": self.seconds,
            "best_epoch": self.best_epoch,
            "validation": self.figures,
            "verdict": self.verdict.to_json(),
            "plan": self.plan,
            "test": self.test,
        }


@dataclass(frozen=True)
class Standing:
    """A plan's place: its figures over seeds, and whether it is ``behind`` the best by more than seeds do (None: it is
    the best itself, or one seed cannot say)."""

    name: str
    lines: tuple[RunLine, ...]
    figures: dict[str, OverSeeds]
    diverged: int
    behind: bool | None = None

    @property
    def plan(self) -> dict[str, Any]:
        return self.lines[0].plan if self.lines else {}

    def to_json(self) -> dict[str, Any]:
        return {
            "figures": {name: figure.to_json() for name, figure in self.figures.items()},
            "diverged": self.diverged,
            "behind": self.behind,
            "runs": [line.name for line in self.lines],
        }


def compare_report(contenders: Sequence[Contender], out: Path) -> Path:
    """Compare plans that were trained on one data set.

    Args:
        contenders: at least one of them with a finished run.
        out: folder for ``compare.json`` and ``report.html``; made where it is not there.

    Returns:
        The path of ``report.html``.

    Raises:
        UsageError: no runs, or a folder that is no run. DataError: a history that is damaged.
        ResourceError: no space or permission for ``out``.
    """
    from secondread.evaluate.report import environment, versions

    if not any(contender.runs for contender in contenders):
        raise UsageError("there is no run to compare")
    histories = {c.name: [read_history(run) for run in c.runs] for c in contenders}
    standings = [_standing(c, histories[c.name]) for c in contenders]
    shown = _shown(standings)
    ranked = _ranked(standings, shown)
    first = ranked[0] if shown and shown in ranked[0].figures else None
    sentences = _sentences(ranked, first, shown)
    summary = {
        "summary": sentences[0],
        "caveats": sentences[1:],
        "watched": shown,
        "first": None if first is None else first.name,
        "plans": {standing.name: standing.to_json() for standing in ranked},
        "runs": {line.name: line.to_json() for standing in ranked for line in standing.lines},
        "versions": versions(),
    }
    common, varied = _settings(ranked)
    figures = [name for name in (*WATCHED, "loss") if any(name in standing.figures for standing in ranked)]
    page = (
        environment()
        .get_template("compare.html.j2")
        .render(
            title="Comparison of plans",
            standings=ranked,
            first=first,
            figures=figures,
            titles=plots.TITLES,
            curves=plots.compare_svg({s.name: histories[s.name] for s in ranked}),
            rates=plots.rates_svg(_by_rate(ranked, shown), shown) if shown else None,
            sentences=sentences,
            common=common,
            varied=varied,
            losses=len({s.plan.get("loss") for s in ranked if s.lines}),
            lines=[line for standing in ranked for line in standing.lines],
            versions=versions(),
        )
    )
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / "compare.json", (json.dumps(summary, indent=2, ensure_ascii=False) + "\n").encode())
        write_whole(out / "report.html", page.encode())
    return out / "report.html"


def watched_value(run: Path) -> float:
    """What a search makes as high as it can: the watched figure of the run's best epoch on the validation split; minus
    the loss where nothing is watched. NaN without either. Raises UsageError, DataError as :func:`read_history`."""
    found = _figures(read_history(run))[1]
    name = next((name for name in WATCHED if name in found), None)
    return found[name] if name else -found.get("loss", math.nan)


def _standing(contender: Contender, histories: Sequence[Sequence[Epoch]]) -> Standing:
    lines = tuple(_line(run, history) for run, history in zip(contender.runs, histories, strict=True))
    figures = {}
    for name in (*WATCHED, "loss"):
        values = [line.figures[name] for line in lines if name in line.figures]
        if figure := over_seeds(values, share=name != "loss"):
            figures[name] = figure
    return Standing(contender.name, lines, figures, contender.diverged)


def _line(run: Path, history: Sequence[Epoch]) -> RunLine:
    plan = _json(run / "plan.json")
    position, figures = _figures(history)
    seconds = [float(epoch["seconds"]) for epoch in history if epoch.get("seconds") is not None]
    network = plan.get("network")
    return RunLine(
        name=run.name,
        epochs=len(history),
        seconds=max(seconds) if seconds else None,
        best_epoch=None if position is None else int(history[position]["epoch"]),
        figures=figures,
        verdict=verdict(history, plan),
        plan={key: value for key, value in plan.items() if key in PLAN_KEYS}
        | ({"network": network.get("name")} if isinstance(network, dict) else {}),
        test=next((m for place in METRICS if (m := _json(run / place).get("metrics"))), None),
        groups=_validation_groups(run),
    )


def _figures(history: Sequence[Epoch]) -> tuple[int | None, dict[str, float]]:
    """Position of the best epoch, and what validation gave there."""
    position = kept(history)
    losses = series(history, "validation", "loss")
    if position is None and np.isfinite(losses).any():
        position = int(np.nanargmin(losses))
    if position is None:
        return None, {}
    found = {name: float(series(history, "validation", name)[position]) for name in (*WATCHED, "loss")}
    return position, {name: value for name, value in found.items() if math.isfinite(value)}


def _shown(standings: Sequence[Standing]) -> str | None:
    """The figure to rank by: the first of WATCHED that any has; the loss where nothing else is and all share one."""
    for name in WATCHED:
        if any(name in standing.figures for standing in standings):
            return name
    return "loss" if len(_losses(standings)) == 1 else None


def _losses(standings: Sequence[Standing]) -> set[Any]:
    return {standing.plan.get("loss") for standing in standings if standing.lines}


def _ranked(standings: Sequence[Standing], shown: str | None) -> list[Standing]:
    """Best first: fewest diverged seeds, then the shown figure, then the loss where all share one."""
    sign = 1.0 if shown == "loss" else -1.0

    def place(standing: Standing) -> tuple[bool, float, float, float]:
        figure, loss = standing.figures.get(shown or ""), standing.figures.get("loss")
        seeds = len(standing.lines) + standing.diverged
        return (
            figure is None,
            standing.diverged / max(1, seeds),
            math.inf if figure is None else sign * figure.value,
            math.inf if loss is None or len(_losses(standings)) > 1 else loss.value,
        )

    ranked = sorted(standings, key=place)
    if shown is None or shown not in ranked[0].figures:
        return ranked
    values = {s.name: [-sign * v for v in s.figures[shown].values] for s in ranked if shown in s.figures}
    told = behind(ranked[0].name, values)
    return [Standing(s.name, s.lines, s.figures, s.diverged, told.get(s.name)) for s in ranked]


def _sentences(ranked: Sequence[Standing], first: Standing | None, shown: str | None) -> list[str]:
    """Which is best and whether by more than seeds do; then what else to know."""
    if first is None or shown is None:
        several = len(_losses(ranked)) > 1
        return [
            "Losses of different kinds are on no common scale, and no run has another validation figure."
            if several
            else "No run has a validation figure yet."
        ]
    title = "loss" if shown == "loss" else plots.TITLES[shown][0].lower() + plots.TITLES[shown][1:]
    figure = first.figures[shown]
    seeds = len(figure.values)
    sign = -1 if shown == "loss" else 1
    others = [standing for standing in ranked if standing is not first and shown in standing.figures]
    beaten = all(sign * standing.figures[shown].value <= sign * figure.value for standing in others)
    superlative = f"{'lowest' if shown == 'loss' else 'highest'} {'mean ' * (seeds > 1)}validation {title}"
    among = "" if beaten else " of those with fewest diverged seeds"
    lead = f"{first.name} reached the {superlative}{among}, {figure.value:.3f}"
    if seeds == 1:
        said = f"{lead} in epoch {first.lines[0].best_epoch} (one seed: no interval)"
    else:
        said = f"{lead} ({figure.low:.3f} to {figure.high:.3f} over {seeds} seeds)"
    level = [standing.name for standing in others if standing.behind is False]
    unknown = [standing.name for standing in others if standing.behind is None]
    if not others:
        said += "; there is no other to hold it against."
    elif len(unknown) == len(others):
        said += f". {_chance(first, shown, others)}"
    elif level or unknown:
        said += f". That is no more than seeds do: {_listed(level + unknown)} cannot be told from it."
    else:
        runner_up = f"{others[0].name}, {others[0].figures[shown].value:.3f}"
        said += f", ahead of every other by more than seeds do (next: {runner_up})."
    return [said, *_caveats(ranked, first, shown)]


def _chance(first: Standing, shown: str, others: Sequence[Standing]) -> str:
    """Where each plan was trained once: what chance allows on so few validation groups."""
    again = "another seed may change the order (--seeds 3 or more would tell)"
    groups = first.lines[0].groups
    if groups is None or shown != "accuracy":
        return f"One run each: {again}."
    low, high = wilson(first.figures[shown].value, groups)
    level = [standing.name for standing in others if standing.figures[shown].value >= low]
    if not level:
        return f"No other comes within what chance allows ({low:.3f} to {high:.3f} on {groups} groups), but {again}."
    return (
        f"On {groups} validation groups chance allows {low:.3f} to {high:.3f}, so {_listed(level)} cannot be told from "
        f"it; {again}."
    )


def _caveats(ranked: Sequence[Standing], first: Standing, shown: str) -> list[str]:
    out = []
    if lost := [f"{s.name} ({s.diverged} of {s.diverged + len(s.lines)})" for s in ranked if s.diverged]:
        out.append(f"Seeds that diverged, which rank a plan behind those without: {_listed(lost)}.")
    if len(first.figures[shown].values) > 1:
        groups = first.lines[0].groups
        allowed = ""
        if groups is not None and shown == "accuracy":
            low, high = wilson(first.figures[shown].value, groups)
            allowed = f"; on {groups} validation groups chance alone allows {low:.3f} to {high:.3f}"
        out.append(f"Other seeds on the same split: the intervals say nothing about other patients{allowed}.")
    if len(ranked) > 1:
        out.append(
            f"The best of {len(ranked)} on the validation split flatters itself: judge it on the test split "
            "(secondread evaluate)."
        )
    return out


def _listed(names: Sequence[str]) -> str:
    shown = [*names[:NAMED], *([f"{len(names) - NAMED} more"] if len(names) > NAMED else [])]
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


def _settings(ranked: Sequence[Standing]) -> tuple[dict[str, Any], list[str]]:
    """Settings that all plans share, and the names of those that differ."""
    plans = [standing.plan for standing in ranked if standing.lines]
    used = [key for key in PLAN_KEYS if any(plan.get(key) is not None for plan in plans)]
    varied = [key for key in used if len({plan.get(key) for plan in plans}) > 1]
    return {key: plans[0].get(key) for key in used if key not in varied}, varied


def _by_rate(ranked: Sequence[Standing], shown: str | None) -> dict[str, list[tuple[float, OverSeeds]]]:
    """The shown figure over the learning rate, a series per combination of the other settings that differ."""
    varied = [key for key in _settings(ranked)[1] if key != "learning_rate"]
    out: dict[str, list[tuple[float, OverSeeds]]] = {}
    for standing in ranked:
        rate, figure = standing.plan.get("learning_rate"), standing.figures.get(shown or "")
        if rate is not None and figure is not None:
            name = ", ".join(str(standing.plan.get(key)) for key in varied)
            out.setdefault(name, []).append((float(rate), figure))
    return {name: sorted(points, key=lambda point: point[0]) for name, points in out.items()}


def _validation_groups(run: Path) -> int | None:
    from secondread.index import Index

    try:
        return len({row.group for row in Index.load(run / "index.parquet").rows("validation")}) or None
    except SecondreadError:
        return None


def _json(path: Path) -> Mapping[str, Any]:
    """What a JSON file holds; empty where it is absent or damaged: a comparison does not hang on it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
