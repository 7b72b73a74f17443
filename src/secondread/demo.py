"""The main job from beginning to end on simulated scans; also the shortest example of how the rooms fit together."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from secondread.console import say
from secondread.errors import UsageError
from secondread.evaluate import evaluate
from secondread.index import build_index, studies_in, summarise
from secondread.infer import load_model, read_all
from secondread.simulate import Settings, write_studies
from secondread.train import Plan, check_overrides, train

Progress = Callable[[str, int, int], None]

TRAINING_SEED, READING_SEED = 1, 2
READ_STUDIES = 6

TRAINING_SPACING = 4.0
"""mm. Coarser than the scans: a few minutes of a CPU then see each of them several times."""

FRACTIONS = (0.6, 0.15, 0.25)
"""More for the test than usual: simulated scans cost nothing, and a demo should show narrow intervals."""


def run_demo(out: Path, *, studies: int, minutes: float, progress: Progress | None = None) -> Path:
    """Simulate, index, pack, train, evaluate, and read scans simulated with another seed.

    Returns:
        the path of the report, which is also the last line said.
    """
    check_overrides({"minutes": minutes})
    settings = Settings(
        spacing=3.0,
        contrasts=("t1c", "flair"),
        categories=("glioma", "meningioma"),
        diameters=(24.0, 55.0),
        faintest=1.0,
    )
    say(f"1/5 simulating {studies} studies in {out / 'scans'}: half of them normal, half with lesions")
    labels = _simulated(out / "scans", studies, TRAINING_SEED, settings, progress)
    say("2/5 indexing")
    index = build_index([labels], fractions=FRACTIONS, progress=progress)
    say(summarise(index))
    run = out / "run"
    say(f"3/5 training for {minutes:g} minutes in {run}")
    resume = (run / "checkpoints" / "latest.json").exists()
    if resume and Plan.load(run / "plan.json").minutes != minutes:
        raise UsageError(f"{run} was trained for other minutes: give those, or another folder with -o")
    train(
        index,
        run,
        overrides={"minutes": minutes, "spacing": TRAINING_SPACING},
        resume=resume,
        progress=progress,
        say=say,
    )
    say("4/5 judging it on the test split")
    reader = load_model(run)
    report = evaluate(run, run / "evaluation", reader=reader, progress=progress)
    say(f"5/5 reading {READ_STUDIES} new scans, simulated with another seed, into {out / 'findings'}")
    new = _simulated(out / "new-scans", READ_STUDIES, READING_SEED, settings, progress)
    outcome = read_all(reader, studies_in([new]), out / "findings", progress=progress)
    truth = {row.study: row.label for row in build_index([new]).rows()}
    for finding in outcome.findings:
        presence, top = finding["presence"], finding["categories"][0]
        say(
            f"  {finding['study']}: {presence['decision']} ({presence['probability']:.2f}), "
            f"if anything {top['name']} ({top['probability']:.2f}); simulated as {truth[finding['study']]}"
        )
    figure = json.loads((report.parent / "metrics.json").read_text())["metrics"]["presence_auc"]
    say(f"presence AUC on the test split: {figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})")
    say(f"findings: {out / 'findings' / 'findings.json'}")
    say(f"report: {report}")
    return report


def _simulated(out: Path, studies: int, seed: int, settings: Settings, progress: Progress | None) -> Path:
    """``labels.csv`` of simulated studies; those of an earlier demo serve again."""
    labels = out / "labels.csv"
    if not labels.exists():
        return write_studies(out, studies, seed, settings, progress)
    found = sum(1 for folder in out.iterdir() if folder.is_dir())
    if found != studies:
        raise UsageError(f"{out} holds {found} studies of an earlier demo, not {studies}: name another folder with -o")
    return labels
