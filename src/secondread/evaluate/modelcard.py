"""The model card of a report: what the run knows of its model, and blanks where a person must answer.

The headings follow Mitchell et al., "Model Cards for Model Reporting", FAT* 2019.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from secondread.evaluate.audit import CONTROLS, GIVEN_AWAY, HINTS, class_of
from secondread.index.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from secondread.evaluate.evaluation import Evaluation
    from secondread.index import Row

Card = list[tuple[str, str | None]]
"""Heading and text; None is a blank for a person."""


def model_card(result: Evaluation) -> Card:
    """The card. Raises nothing: what is not known is a blank."""
    return [
        ("Model", f"{result.model['name']}, version {result.model['version']}. {_answers(result)}"),
        ("Made by, contact, licence", None),
        ("Intended use", "A second reader beside a person, for research. Not cleared for patients by anyone."),
        (
            "Not for",
            "Deciding about a patient; scans unlike those below (other contrast, region, age, scanner); ruling "
            "a disease "
            "out alone.",
        ),
        ("Learned from", described(result.learned)),
        ("How it learned", how_it_learned(result)),
        ("Judged on", f"{described_judged(result)} {result.origin[:1].upper()}{result.origin[1:]}."),
        ("Figures", figures(result)),
        ("Works less well for", weaker(result)),
        ("Known weaknesses", weaknesses(result)),
        ("Who may be harmed by an error, and how that is met", None),
        ("Who watches it in use, and when it is judged again", None),
    ]


def described(rows: Sequence[Row]) -> str:
    """Studies, patients, classes, sites and contrasts of rows, in words."""
    if not rows:
        return "Unknown: the run's index names no study to learn from."
    counts = Counter(class_of(row) or "no label" for row in rows)
    classes = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    sites = {row.site for row in rows if row.site is not None}
    contrasts = sorted({contrast for row in rows for contrast in row.contrasts})
    masks = sum(row.mask is not None for row in rows)
    return (
        f"{counted(len(rows), 'study')} of {counted(len({row.group for row in rows}), 'patient')} ({classes}), "
        f"{masks} with a mask; "
        f"{f'{len(sites)} sites' if sites else 'sites unknown'}; contrasts: {', '.join(contrasts)}."
    )


def described_judged(result: Evaluation) -> str:
    counts = result.counts
    unread = f", {counts.unread} more could not be read" if counts.unread else ""
    return f"{counted(counts.studies, 'study')} of {counted(counts.groups, 'patient')}{unread}."


def how_it_learned(result: Evaluation) -> str:
    """Optimiser, loss, length and choice of the epoch."""
    plan = result.plan
    network = plan.get("network")
    name = network.get("name", "") if isinstance(network, dict) else ""
    parts = [
        f"{label} {plan[key]}"
        for key, label in (("optimizer", "optimiser"), ("loss", "loss"), ("learning_rate", "rate"), ("seed", "seed"))
        if plan.get(key) is not None
    ]
    facts = result.model.get("trained_on", {})
    parts += [facts["precision"]] if "precision" in facts else []
    epochs = counted(len(result.history), "epoch") if result.history else "epochs unknown"
    kept = (
        "the epoch kept was chosen on the validation split"
        if result.epoch_chosen
        else "the last epoch was kept, for validation has too few patients, or too few with a lesion, to choose one"
    )
    return f"{' '.join(['Network', str(name)]).strip()}; {', '.join([*parts, epochs])}; {kept}."


def figures(result: Evaluation) -> str:
    """The first figures of the table with their intervals."""
    return "; ".join(f"{line.title} {line.figure.words}" for line in result.lines[:6]) or "None could be formed."


def weaker(result: Evaluation) -> str:
    worse = [f"{s.trait} {s.value} ({', '.join(s.worse)})" for s in result.subgroups if s.worse and not s.few]
    if worse:
        return "; ".join(worse) + "."
    known = sorted({s.trait for s in result.subgroups})
    return f"No subgroup is known to be worse; looked at: {', '.join(known)}." if known else "No subgroup is known."


def weaknesses(result: Evaluation) -> str:
    """What the audits found, in short; the report says it in full where it belongs."""

    def by(verdict: str) -> str:
        lines = (line for line in result.audit.controls if line.verdict == verdict)
        return ", ".join(f"{line.label} by {CONTROLS[line.control]}" for line in lines)

    told, hinted = by(GIVEN_AWAY), by(HINTS)
    said = ["The split leaks, as said at the top."] if result.leaks else []
    said += [f"Classes can be told by what must not matter: {told}."] if told else []
    said += [f"Shortcuts could not be looked for: {result.audit.blocked}."] if result.audit.blocked else []
    if hinted and not told:
        said += [f"Told from the others better than by chance, if not so well that it must be a shortcut: {hinted}."]
    return " ".join(said) or "The audits of this report found none; other sites, scanners and people are untested."


def _answers(result: Evaluation) -> str:
    classes = result.classes
    what = [f"whether anything abnormal is there (against {classes.normal})"] if classes.normal is not None else []
    what += [f"which of {', '.join(classes.categories)}"] if len(classes.categories) > 1 else []
    what += ["where"] if classes.located else []
    return f"It answers {', '.join(what)}." if what else "It names one class."
