"""CLAIM and TRIPOD+AI, filled in as far as a run knows, with blanks where a person must answer.

Numbers are those of CLAIM, 2024 update (Tejani et al., Radiology: Artificial Intelligence 6(4), e240300, 2024) and of
TRIPOD+AI (Collins et al., BMJ 385, e078378, 2024). The wording of each item is our own and no substitute for theirs.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from secondread.evaluate import modelcard
from secondread.evaluate.audit import class_of
from secondread.evaluate.intervals import DRAWS
from secondread.train.plan import learned_beside

if TYPE_CHECKING:
    from secondread.evaluate.evaluation import Evaluation

SOURCES = (
    "CLAIM, 2024 update: Tejani et al., Radiology: Artificial Intelligence 6(4), e240300, 2024",
    "TRIPOD+AI: Collins et al., BMJ 385, e078378, 2024",
)


@dataclass(frozen=True)
class Item:
    """One line: what is asked, where either list asks it, and the answer; None is for a person to give."""

    section: str
    claim: str
    tripod: str
    asks: str
    answer: str | None = None


def checklist(result: Evaluation) -> list[Item]:
    """Every item, in the order of a paper."""
    return [*_introduction(), *_data(result), *_model(result), *_evaluation(result), *_results(result), *_rest(result)]


def _introduction() -> list[Item]:
    part = "Title and introduction"
    return [
        Item(part, "1", "1", "Does the title say that it is a model, and of which kind?"),
        Item(part, "2", "2", "Is there a structured summary?"),
        Item(part, "3", "3a, 3b", "What is known, what is the model for, and who would use it where?"),
        Item(part, "–", "3c", "Which inequalities between people are known in this field?"),
        Item(part, "4", "4", "What was to be shown?"),
        Item(part, "5, 6", "4", "Prospective or retrospective; to make a model, to judge one, or both?"),
        Item(part, "34", "18c, 18d", "Was it registered, and is there a protocol?"),
    ]


def _data(result: Evaluation) -> list[Item]:
    part = "Data"
    rows = result.rows
    labelled = sum(class_of(row) is not None for row in rows)
    masks = sum(row.mask is not None for row in rows)
    excluded = Counter(item.reason for item in result.excluded).most_common(3)
    reasons = "; ".join(f"{reason} ({count})" for reason, count in excluded)
    grouped = ", ".join(f"{name} ({count})" for name, count in Counter(row.group_from for row in rows).most_common())
    sides = ", ".join(
        f"{split} {sum(row.split == split for row in rows)} studies of "
        f"{len({row.group for row in rows if row.split == split})} patients"
        for split in ("train", "validation", "test")
        if any(row.split == split for row in rows)
    )
    return [
        Item(part, "7", "5a", "Where do the data come from?", modelcard.described(rows)),
        Item(part, "7", "5b, 6a", "When and where were they gathered?"),
        Item(part, "8", "6b, 6c", "Who was taken in, who was left out, what treatment had they had?"),
        Item(part, "9", "7, 12b", "How were scans prepared?", _prepared(result)),
        Item(
            part, "10", "7", "Was a part of the data chosen?",
            f"{len(result.excluded)} studies were left out by the index{f': {reasons}' if reasons else ''}.",
        ),
        Item(
            part, "11", "–", "How were the data de-identified?",
            "Of what a header says about the patient, a hash of the number, the sex and the age in whole years enter "
            "the index; this report names studies by number. What was done to the scans themselves, and to names "
            "burned into pictures, only a person knows.",
        ),
        Item(
            part, "12", "11", "How was missing data handled?",
            f"{labelled} of {len(rows)} studies have a class and {masks} a mask; each teaches what it has, and is "
            f"judged by what it has. {result.counts.unread} could not be read.",
        ),
        Item(part, "13", "9b", "How were the images acquired?", _acquired(result)),
        Item(part, "14–16", "8a, 8b", "What is the truth, who said so, and why is it to be believed?"),
        Item(part, "17, 18", "8b, 8c", "Who labelled the test studies, and how well do readers agree?"),
        Item(part, "19", "12a", "How were studies dealt to training, validation and test?", f"{sides or 'No split'}."),
        Item(
            part, "20", "12a", "At which level are the parts disjoint?",
            f"Patients, known by: {grouped}; near-duplicates count as one. "
            f"{'The split leaks, as said at the top.' if result.leaks else 'No leak was found.'}",
        ),
        Item(
            part, "21", "10", "Why so many studies?",
            f"All that there were: {len({j.group for j in result.judged})} patients were judged. How many would be "
            "needed was not computed here.",
        ),
    ]  # fmt: skip


def _model(result: Evaluation) -> list[Item]:
    part = "Model and training"
    plan = result.plan
    reasons = plan.get("reasons")
    said = [*map(str, reasons if isinstance(reasons, list | tuple) else ()), *learned_beside(plan)]
    why = f" Why: {'; '.join(said)}." if said else ""
    return [
        Item(
            part, "22", "9a, 12c", "What is the model, and what does it see?",
            f"{modelcard.how_it_learned(result)} It sees {_seen(result)}. The plan below is complete.",
        ),
        Item(
            part, "23", "–", "With which software?",
            "secondread and the packages listed at the end, with versions.",
        ),
        Item(part, "24", "12c", "What did the weights start from?", _started(result)),
        Item(part, "25", "12c", "How was it trained?", f"As the plan below says.{why}"),
        Item(
            part, "26", "12c", "How was the final model chosen?",
            f"{_chosen(result)} The test split chose nothing.",
        ),
        Item(part, "27", "12c", "Were models combined?", "No: one network, its weights averaged over steps."),
        Item(part, "–", "13", "What was done about classes of unequal size?", _balance(result)),
        Item(part, "–", "14", "What was done for fairness between people, and why?"),
        Item(
            part, "–", "12g, 15", "What does it give out, and with which thresholds?",
            "Probabilities of presence and category, a mask, and normal, abnormal or unsure by thresholds in "
            "model/model.json.",
        ),
        Item(part, "–", "16", "How do training and test differ?", _differ(result)),
    ]  # fmt: skip


def _chosen(result: Evaluation) -> str:
    if result.epoch_chosen:
        return "By the validation split, epoch by epoch; so were the thresholds of decision and how masks are made."
    return (
        "The last epoch was kept, and masks begin at a probability of a half, for validation has too few patients, or "
        "too few with a lesion, to choose either; thresholds of decision were fitted there, as far as there were "
        "studies enough."
    )


def _evaluation(result: Evaluation) -> list[Item]:
    part = "Evaluation"
    sites = result.sites
    looked = ", ".join(sorted({s.trait for s in result.subgroups})) or "none is known"
    robust = [
        f"negative controls ({'none possible' if result.audit.blocked else 'done'})",
        f"leave one site out ({sites.blocked or 'done'})",
        f"subgroups ({looked})",
    ]
    return [
        Item(part, "28", "12e", "Which measures?", f"{', '.join(line.title for line in result.lines)}."),
        Item(
            part, "29", "12e", "How uncertain are they?",
            f"Intervals of 95 % by {DRAWS} bootstrap draws of patients; differences are paired.",
        ),
        Item(part, "30", "12d", "How robust is it?", f"{'; '.join(robust).capitalize()}."),
        Item(
            part, "31", "–", "Can its answers be explained?",
            "By its evidence map, drawn over the scans shown above.",
        ),
        Item(part, "32", "12a", "How was it judged on data of its own kind?", f"On {result.origin}."),
        Item(
            part, "33", "16", "How was it judged on data from elsewhere?",
            None if result.own_data else "This report is on other data than the run's own.",
        ),
    ]  # fmt: skip


def _results(result: Evaluation) -> list[Item]:
    part = "Results"
    counts = result.counts
    wrong = sum(j.right is False for j in result.judged)
    return [
        Item(
            part, "35", "20a, 21", "How many patients and studies came in and fell out?",
            f"{len(result.rows)} in the index, {len(result.excluded)} left out of it; {counts.studies} studies of "
            f"{counts.groups} patients judged, {counts.unread} unread.",
        ),
        Item(part, "36", "20b, 20c", "Who are they (age, sex, stage), in each part?", _people(result)),
        Item(part, "37, 38", "23a", "How well does it do, how surely?", modelcard.figures(result)),
        Item(part, "–", "23a, 23b", "How does that differ between sites and people?", modelcard.weaker(result)),
        Item(
            part, "39", "–", "Where does it fail?",
            f"{wrong} studies were given the wrong class; the gravest are drawn above.",
        ),
        Item(part, "–", "22", "Is the model given in full?", f"model/ of the run, SHA-256 {result.model['sha256']}."),
        Item(part, "–", "12f, 24", "Was it updated after the evaluation?"),
    ]  # fmt: skip


def _rest(result: Evaluation) -> list[Item]:
    part = "Discussion and the rest"
    return [
        Item(part, "–", "25", "What does it mean, beside what others found?"),
        Item(part, "40", "26", "What are its limits?", modelcard.weaknesses(result)),
        Item(part, "41", "27a–27c", "What would it take to use it, and who would have to be able to do what?"),
        Item(part, "42", "18c", "Where is the full protocol?"),
        Item(
            part, "43", "18e, 18f", "Can software, model and data be had?",
            f"secondread is open source (Apache 2.0); made again by: {result.command}. Model and data: a person "
            f"must say.",
        ),
        Item(part, "44", "18a, 18b", "Who paid, and who gains?"),
        Item(part, "–", "17", "Which ethics committee agreed, and did the people consent?"),
        Item(part, "–", "19", "Were patients and the public involved?"),
    ]  # fmt: skip


def _seen(result: Evaluation) -> str:
    recipe = result.plan.get("recipe")
    channels = recipe.get("channels") if isinstance(recipe, dict) else None
    return f"the contrasts {', '.join(map(str, channels))} and nothing else" if channels else "the scan alone"


def _prepared(result: Evaluation) -> str:
    recipe = result.plan.get("recipe")
    if not isinstance(recipe, dict):
        return "As the plan below says."
    grid = recipe.get("spacing") or recipe.get("size")
    unit = "mm" if recipe.get("spacing") else "pixels"
    channels = ", ".join(map(str, recipe.get("channels") or ())) or "all"
    return (
        f"Contrasts {channels}; brought to {' x '.join(map(str, grid)) if grid else 'their own grid'} "
        f"{unit}; see the plan."
    )


def _acquired(result: Evaluation) -> str:
    rows = result.rows
    kinds = ", ".join(f"{kind} {n}" for kind, n in Counter(row.kind or "unknown" for row in rows).most_common())
    spacings = [max(row.spacing) for row in rows if row.spacing]
    coarse = f"; coarsest spacing {min(spacings):.3g} to {max(spacings):.3g} mm" if spacings else ""
    return f"Files: {kinds}{coarse}. Scanners and protocols only a person knows."


def _started(result: Evaluation) -> str | None:
    if result.plan.get("start") == "starter":
        return "From the starter model's weights, which have learned from simulated scans alone."
    return f"Random, from seed {result.plan.get('seed', 'unknown')}."


def _balance(result: Evaluation) -> str:
    counts = Counter(class_of(row) or "no label" for row in result.learned)
    told = ", ".join(f"{name} {count}" for name, count in counts.most_common())
    return f"Learned from {told}; studies are drawn so that classes come about equally often."


def _differ(result: Evaluation) -> str:
    if not result.own_data:
        return "They are different data sets; compare the tables of data."
    if result.leaks:
        return "Less than they should: patients, or copies of pictures, are on both sides. See the warning on top."
    return "Only in who the patients are: one data set, split by patient."


def _people(result: Evaluation) -> str | None:
    known = [s for s in result.subgroups if s.trait.startswith(("age", "sex", "gender"))]
    return "; ".join(f"{s.trait} {s.value}: {s.groups} patients" for s in known) + "." if known else None
