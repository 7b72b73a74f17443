"""One thin verb per stage. Everything that a verb does stands in the room it calls."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer

from secondread import __version__
from secondread.console import Progress, answer, ending, figure_line, outcome_line, say
from secondread.options import (
    AcceptLeak,
    Batch,
    Cold,
    Data,
    Device,
    Dimensions,
    Epochs,
    ErrorRate,
    Implant,
    Json,
    Labels,
    Losses,
    LossName,
    Memory,
    Minutes,
    Model,
    Network,
    Networks,
    Normal,
    Optimizer,
    Optimizers,
    PlanFile,
    Precision,
    Rate,
    Rates,
    Seed,
    Seeds,
    Size,
    Spacing,
    Trials,
    device_of,
    index_of,
    place,
    source_of,
)

app = typer.Typer(
    name="secondread",
    help="A second reader for MRI: is something abnormal there, which kind, where, and when not to judge.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for everything the demo makes.")] = Path("demo"),
    studies: Annotated[int, typer.Option(help="Simulated studies to learn from and to be judged on.")] = 640,
    minutes: Annotated[float, typer.Option(help="Budget of training.")] = 9.0,
) -> None:
    """The main job on simulated scans, no data needed; ends with the path of a report."""
    with ending("demo", "Run it again: what was finished until then is kept."), Progress() as progress:
        from secondread.demo import run_demo

        run_demo(out, studies=studies, minutes=minutes, progress=progress)


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(help="Folder to write to.")],
    studies: Annotated[int, typer.Option(help="How many.")] = 20,
    seed: Annotated[int, typer.Option(help="Same seed, same scans.", min=0)] = 0,
    spacing: Annotated[float, typer.Option(help="mm between voxels.")] = 2.0,
    contrast: Annotated[list[str] | None, typer.Option(help="t1, t1c, t2, flair or pd; may be repeated.")] = None,
    normal: Annotated[float, typer.Option(help="Share of studies without a lesion.")] = 0.5,
) -> None:
    """Write labelled head scans with lesions and their masks, as NIfTI with a labels.csv."""
    with ending("simulate", "Run it again to finish."), Progress() as progress:
        from secondread.simulate import Settings, write_studies

        contrasts = tuple(contrast) if contrast else Settings().contrasts
        settings = Settings(spacing=spacing, normal=normal, contrasts=contrasts)
        labels = write_studies(out, studies, seed, settings, progress)
        say(f"wrote {labels}\ntrain on it: secondread train {quote(str(labels))}")


@app.command()
def index(
    data: Data,
    out: Annotated[Path, typer.Option("-o", "--out", help="Parquet file to write.")] = Path("index.parquet"),
    labels: Labels = None,
    normal: Normal = None,
    seed: Seed = None,
    repair: Annotated[bool, typer.Option(help="Replace a given split that leaks by one that does not.")] = False,
    as_json: Json = False,
) -> None:
    """Find every study, its label, patient and near-duplicates; freeze the split; say what was found."""
    with ending("index", "Nothing was written; run it again."):
        from secondread.errors import writing
        from secondread.index import summarise, write_conflicts

        with writing(out):
            out.parent.mkdir(parents=True, exist_ok=True)
        with Progress() as progress:
            table = index_of(data, labels, normal, seed, progress, repair=repair, beside=out)
            table.save(out)
            conflicts = write_conflicts(table.rows(), out)
        say(summarise(table))
        say(f"\nwrote {out}" + (f"\nnear-copies with different labels: {conflicts}" if conflicts else ""))
        if as_json:
            counts = table.table.group_by("label", "split").len().sort("label", "split").to_dicts()
            answer({"index": str(out), "studies": table.table.height, "counts": counts, "notes": list(table.notes)})


@app.command()
def pack(
    data: Annotated[
        list[Path] | None, typer.Argument(help="As for index; not needed with --verify.", parser=place)
    ] = None,
    *,
    store: Annotated[Path, typer.Argument(help="Folder of the store, or s3://bucket/prefix.", show_default=False)],
    verify: Annotated[bool, typer.Option(help="Check every byte of an existing store instead of packing.")] = False,
    plan: PlanFile = None,
    size: Size = None,
    spacing: Spacing = None,
    dimensions: Dimensions = None,
    seed: Seed = None,
    labels: Labels = None,
    normal: Normal = None,
) -> None:
    """Bring the studies to learn from to the grid that training reads, checksummed; resumable. Then: train STORE."""
    with ending("pack", "Run it again to go on: finished studies are kept."):
        from secondread.config import settings
        from secondread.errors import UsageError
        from secondread.store import Store
        from secondread.train import check_overrides, is_packed, open_packed, pack_data, plan_for

        if verify:
            (open_packed(store).store if is_packed(store) else Store.open(store)).verify()
            say(f"{store}: every byte is as it was written")
            return
        if not data:
            raise UsageError("name the data to pack and then the folder of the store: secondread pack DATA STORE")
        grid = settings({"size": size, "spacing": spacing, "dimensions": dimensions, "seed": seed}, plan)
        check_overrides(grid)
        with Progress() as progress:
            table = index_of(data, labels, normal, grid.get("seed"), progress)
            packed = pack_data(table, store, plan_for(table, grid, device=device_of("auto")), progress=progress).store
        for study, reason in packed.excluded:
            say(f"left out: {study}: {reason}")
        at = quote(str(packed.place))
        say(f"wrote {at}: {len(packed.cases)} studies\ntrain on it: secondread train {at}")


@app.command()
def train(
    data: Annotated[
        list[Path] | None,
        typer.Argument(help="As for index, or a packed store; not needed with --resume.", parser=place),
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the run.")] = Path("run"),
    plan: PlanFile = None,
    optimizer: Optimizer = None,
    loss: LossName = None,
    minutes: Minutes = None,
    epochs: Epochs = None,
    batch: Batch = None,
    learning_rate: Rate = None,
    network: Network = None,
    size: Size = None,
    spacing: Spacing = None,
    dimensions: Dimensions = None,
    precision: Precision = None,
    memory_mib: Memory = None,
    error_rate: ErrorRate = None,
    implant: Implant = None,
    seed: Seed = None,
    labels: Labels = None,
    normal: Normal = None,
    accept_leak: AcceptLeak = False,
    cold: Cold = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint of the run.")] = False,
    device: Device = "auto",
) -> None:
    """Train a model on DATA: index, plan, pack, fit, write RUN/model."""
    flags = {
        "optimizer": optimizer, "loss": loss, "minutes": minutes, "epochs": epochs, "batch": batch, "seed": seed,
        "learning_rate": learning_rate, "network": network, "size": size, "spacing": spacing, "dimensions": dimensions,
        "precision": precision, "memory_mib": memory_mib, "error_rate": error_rate, "implant": implant,
        "start": "cold" if cold else None,
    }  # fmt: skip
    with ending("train", lambda: _how_to_go_on(out)), Progress() as progress:
        from secondread.config import settings
        from secondread.errors import UsageError
        from secondread.train import check_overrides, make_way
        from secondread.train import train as train_run

        if not data and not resume:
            raise UsageError("name the data to train on, or --resume to go on with a run")
        if resume and any((data, plan, labels, normal, accept_leak, *(v is not None for v in flags.values()))):
            raise UsageError("--resume goes on with the run's own data and plan: give it -o RUN and nothing else")
        overrides: dict[str, Any] = {} if resume else settings(flags, plan)
        chosen = device_of(device)
        source = None
        if data and not resume:
            make_way(out)
            check_overrides(overrides)
            number = overrides.get("seed")
            source = source_of(data, labels, normal, number, progress, accept_leak=accept_leak, beside=out)
        model = train_run(source, out, overrides=overrides, resume=resume, device=chosen, progress=progress, say=say)
        say(f"{outcome_line(out)}\nmodel: {model}\njudge it: secondread evaluate {quote(str(out))}")


@app.command()
def evaluate(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN [RUN_B]", help="Folder of a run, or two to compare.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Folder for the report.", show_default="RUN/evaluation, or RUN_B/against-RUN"),
    ] = None,
    data: Annotated[list[Path] | None, typer.Option(help="Judge on these instead of the run's test split.")] = None,
    labels: Labels = None,
    normal: Normal = None,
    about: Annotated[Path | None, typer.Option(help="CSV about patients (sex, age): figures by subgroup.")] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Judge a run on studies it never learned from: metrics.json and report.html. Of two runs, also who is better."""
    with ending("evaluate", "Run it again."):
        import json
        from functools import partial

        from secondread.errors import UsageError
        from secondread.evaluate import compare_runs
        from secondread.evaluate import evaluate as judge
        from secondread.infer import load_model

        if len({place.resolve() for place in runs}) < len(runs):
            raise UsageError("a run is compared with another, not with itself")
        if len(runs) > 2:
            raise UsageError(f"one run to judge or two to compare, not {len(runs)}")
        run = runs[0]
        if len(runs) == 2:
            out = out or runs[1] / f"against-{run.resolve().name}"
            with Progress() as progress:
                table = index_of(data, labels, normal, None, progress) if data else None
                load = partial(load_model, device=device_of(device))
                found = compare_runs(runs[0], runs[1], out, index=table, load=load, progress=progress)
            for line in (*found.leaks, *found.table, found.sentence, f"report: {out / 'compare.html'}"):
                say(line)
            if as_json:
                answer(json.loads((out / "compare.json").read_text()) | {"report": str(out / "compare.html")})
            return
        out = out or run / "evaluation"
        reader = load_model(run, device_of(device))
        with Progress() as progress:
            table = index_of(data, labels, normal, None, progress) if data else None
            report = judge(run, out, index=table, reader=reader, about=about, progress=progress)
        metrics = json.loads((out / "metrics.json").read_text())
        wide = max(map(len, metrics["metrics"]), default=0)
        for name, figure in metrics["metrics"].items():
            say(f"  {name:<{wide}} {figure_line(figure)}")
        for note in metrics["left_out_of_about"]:
            say(note)
        say(f"report: {report}")
        if as_json:
            answer(metrics | {"report": str(report)})


@app.command()
def compare(
    data: Data,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the runs and the report.")] = Path("comparison"),
    optimizer: Optimizers = None,
    loss: Losses = None,
    network: Networks = None,
    learning_rate: Rates = None,
    seeds: Seeds = 1,
    search: Trials = None,
    plan: PlanFile = None,
    minutes: Minutes = None,
    epochs: Epochs = None,
    batch: Batch = None,
    size: Size = None,
    spacing: Spacing = None,
    dimensions: Dimensions = None,
    seed: Seed = None,
    labels: Labels = None,
    normal: Normal = None,
    cold: Cold = False,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Train every combination of lists with commas (or search them), and put the runs side by side, over seeds."""
    flags = {
        "optimizer": optimizer, "loss": loss, "network": network, "learning_rate": learning_rate, "minutes": minutes,
        "epochs": epochs, "batch": batch, "size": size, "spacing": spacing, "dimensions": dimensions,
        "seed": seed, "start": "cold" if cold else None,
    }  # fmt: skip
    with ending("compare", "Run it again to go on: finished runs are kept."):
        import json

        from secondread.compare import choose, require_optuna
        from secondread.compare import compare as compare_plans
        from secondread.config import settings

        choices, shared = choose(settings(flags, plan), seeds=seeds, trials=search)
        if search:
            require_optuna()
        chosen = device_of(device)
        say(choices.words(shared.get("minutes")))
        with Progress() as progress:
            table = index_of(data, labels, normal, shared.get("seed"), progress)
            report = compare_plans(table, choices, shared, out, device=chosen, progress=progress, say=say)
        found = json.loads((out / "compare.json").read_text())
        say(f"{found['summary']}\nreport: {report}")
        if as_json:
            answer(found | {"report": str(report)})


@app.command()
def read(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="[MODEL] SCAN...",
            help="A model folder or a run, then files, folders or DICOM series. Without a model, the starter reads.",
            show_default=False,
            parser=place,
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for findings.json, masks and pictures.")] = Path(
        "findings"
    ),
    pictures: Annotated[bool, typer.Option(help="Draw a picture per study.")] = True,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Read scans: presence, category, location, a mask in the scan's own geometry and a picture per study."""
    with ending("read", f"What was read until then is in {out}."):
        from secondread.index import studies_in
        from secondread.infer import outcome_words, read_all, reader_for, written_words

        reader, scans, remark = reader_for(paths, device_of(device))
        if remark:
            say(remark)
        with Progress() as progress:
            studies = studies_in(scans, progress, classes=reader.classes)
            outcome = read_all(reader, studies, out, pictures=pictures, progress=progress)
        for line in (*outcome_words(outcome, out), written_words(outcome, out, pictures=pictures)):
            say(line)
        if as_json:
            answer({"findings": outcome.findings, "errors": outcome.errors, "out": str(out)})
        if not outcome.findings:
            raise typer.Exit(3)


@app.command()
def export(
    run: Model,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the bundle.")] = Path("bundle"),
) -> None:
    """Write a model as a bundle with ONNX beside the weights; refused if the two do not agree."""
    with ending("export", "Run it again."):
        from secondread.infer.export import export_bundle

        say(f"wrote {export_bundle(run, out)}")


@app.command()
def serve(
    model: Model,
    host: Annotated[
        str, typer.Option(help="Address to listen on. Others than this machine can reach any but this.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    device: Device = "auto",
) -> None:
    """Read scans over HTTP, with a page to try it."""
    with ending("serve"):
        from secondread.infer import load_model
        from secondread.serve import run as serve_run

        reader = load_model(model, device_of(device))
        say(f"serving on http://{host}:{port} (Ctrl-C ends it)")
        serve_run(reader, host, port)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what is installed, which device there is, what is slow, and what to do about it."""
    with ending("doctor"):
        from dataclasses import asdict

        from secondread.doctor import examine, render

        checks = examine()
        if as_json:
            answer({"checks": [asdict(check) for check in checks]})
        else:
            typer.echo(render(checks))


def main() -> None:
    """Entry point of the ``secondread`` command."""
    app()


def _how_to_go_on(run: Path) -> str:
    if (run / "plan.json").exists():
        return f"Go on with: secondread train -o {quote(str(run))} --resume"
    return "Nothing was written yet; run it again."


if __name__ == "__main__":
    main()
