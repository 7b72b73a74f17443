from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from secondread.errors import DataError, ResourceError, UsageError
from secondread.evaluate import evaluate
from secondread.index import Index
from secondread.index.split import divided, find_leaks, refusal

from .fakes import CLASSES, FakeReader, moved, spec, write_pictures, write_run, write_volumes

ABNORMAL = ("glioma", "meningioma")


class Page(HTMLParser):
    """Collects what a checker needs: identifiers, addresses, pictures without words, tags left open."""

    VOID = ("meta", "br", "img", "path", "use", "rect", "link", "hr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.mute: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if found.get("id"):
            self.ids.append(found["id"] or "")
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href")]
        if (tag == "img" and not found.get("alt")) or (tag == "svg" and not found.get("aria-label")):
            self.mute.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def check_page(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert page.mute == []
    assert len(page.ids) == len(set(page.ids))
    assert all(a.startswith(("data:image/", "#")) for a in page.addresses)
    assert "<script" not in text
    assert not re.search(r"@import|url\((?!#)", text)
    assert len(text) < 5_000_000
    return text


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], pl.DataFrame]:
    folder = tmp_path_factory.mktemp("pictures")
    run = write_run(folder / "R1", write_pictures(folder / "data", 30))
    seen: list[tuple[str, int, int]] = []
    report = evaluate(
        run, folder / "E1", reader=FakeReader(spec(ABNORMAL, "no_tumor")), progress=lambda *at: seen.append(at)
    )
    assert report == folder / "E1" / "report.html"
    assert [s for s in seen if s[0] == "judging"][-1][1:] == (30, 30)
    metrics = json.loads((folder / "E1" / "metrics.json").read_text(encoding="utf-8"))
    return report, metrics, pl.read_parquet(folder / "E1" / "predictions.parquet")


def test_figures_follow_from_the_predictions(judged: tuple[Path, dict[str, Any], pl.DataFrame]) -> None:
    _, content, table = judged
    figures = content["metrics"]
    truth, presence = table["label"].to_numpy(), table["presence"].to_numpy()
    joint = np.stack([1 - presence, *[presence * table[f"p_{name}"].to_numpy() for name in ABNORMAL]])
    predicted = np.array(CLASSES)[joint.argmax(axis=0)]
    assert (predicted == table["predicted"].to_numpy()).all()
    assert joint.max(axis=0) == pytest.approx(table["confidence"].to_numpy())
    assert figures["accuracy"]["value"] == pytest.approx((truth == predicted).mean(), abs=1e-6)
    assert figures["macro_f1"]["value"] == pytest.approx(f1_score(truth, predicted, average="macro"), abs=1e-6)
    assert figures["presence_auc"]["value"] == pytest.approx(roc_auc_score(truth != "no_tumor", presence), abs=1e-6)
    assert figures["dice"]["value"] == pytest.approx(table["dice"].mean(), abs=1e-6)
    assert figures["unsure_rate"]["value"] == pytest.approx((table["decision"] == "unsure").mean(), abs=1e-6)
    assert figures["baseline_accuracy"]["value"] == pytest.approx(1 / 3, abs=1e-6)
    for name, figure in figures.items():
        assert figure["low"] <= figure["value"] <= figure["high"], name
        assert figure["groups"] <= 15
    assert {"presence_auprc", "brier", "presence_brier", "froc_score", "lesion_sensitivity_10_to_20pct"} <= set(figures)
    assert not {"assd_mm", "hd95_mm"} & set(figures)
    assert {"ece", "peak_in_mask", "lesion_sensitivity", "presence_sensitivity_at_1fp"} <= set(figures)
    assert figures["accuracy"]["n"] == table.height == 30
    assert content["model"]["categories"] == list(ABNORMAL)
    assert content["data"]["leaks"] == []


def test_report_stands_alone_and_answers_first(judged: tuple[Path, dict[str, Any], pl.DataFrame]) -> None:
    report, content, _ = judged
    text = check_page(report)
    for sentence in content["summary"]:
        assert sentence in text
    assert text.index(content["summary"][1]) < text.index("<svg")
    for picture in (
        "ROC curve",
        "Precision over recall",
        "FROC curve",
        "Reliability",
        "Decision curve",
        "Training curves",
    ):
        assert f'aria-label="{picture}' in text
    assert "30 studies of 15 groups" in content["summary"][0]
    assert "always saying the most frequent class gives 0.33" in content["summary"][1]
    for part in ("Verdict: overfit", "secondread evaluate R1 -o E1", "network.width", "Confusion matrix", "data:image"):
        assert part in text
    assert str(report.parents[1]) not in text


def test_same_command_same_figures(judged: tuple[Path, dict[str, Any], pl.DataFrame], tmp_path: Path) -> None:
    report, content, _ = judged
    again = evaluate(report.parents[1] / "R1", tmp_path / "E1", reader=FakeReader(spec(ABNORMAL, "no_tumor")))
    assert json.loads((tmp_path / "E1" / "metrics.json").read_text(encoding="utf-8")) == content
    assert again.read_bytes() == report.read_bytes()


@pytest.mark.parametrize(
    ("out", "said"), [("R/evaluation", "secondread evaluate R"), ("E 1", "secondread evaluate R -o 'E 1'")]
)
def test_the_command_makes_the_report_where_it_lies(tmp_path: Path, out: str, said: str) -> None:
    run = write_run(tmp_path / "R", write_pictures(tmp_path / "data", 6))
    table = tmp_path / "people.csv"
    table.write_text(
        "study,hand\n"
        + "".join(f"{row.study},{'lr'[n % 2]}\n" for n, row in enumerate(Index.load(run / "index.parquet").rows()))
    )
    for about, more in ((None, ""), (table, " --about TABLE")):
        evaluate(run, tmp_path / out, reader=FakeReader(spec(ABNORMAL, "no_tumor")), about=about)
        content = json.loads((tmp_path / out / "metrics.json").read_text(encoding="utf-8"))
        assert content["command"] == said + more
        assert bool(content["data"]["about_sha256"]) is bool(about)


def test_a_model_that_guesses_is_said_not_to_beat_the_baseline(tmp_path: Path) -> None:
    run = write_run(tmp_path / "R", write_pictures(tmp_path / "data", 18))
    report = evaluate(run, tmp_path / "E", reader=FakeReader(spec(ABNORMAL, "no_tumor"), skill=0))
    content = json.loads((tmp_path / "E" / "metrics.json").read_text(encoding="utf-8"))
    assert "does not beat the trivial baseline" in content["summary"][1]
    assert "Not better than what costs nothing" in check_page(report)


def test_one_kind_alone_is_said_to_prove_nothing_about_presence(tmp_path: Path) -> None:
    rows = [row for row in write_pictures(tmp_path / "data", 18) if row.split != "test" or row.normal]
    report = evaluate(write_run(tmp_path / "R", rows), tmp_path / "E", reader=FakeReader(spec(ABNORMAL, "no_tumor")))
    content = json.loads((tmp_path / "E" / "metrics.json").read_text(encoding="utf-8"))
    assert content["summary"][2].startswith("No abnormal study was judged")
    # What costs nothing knows the shares of training, not those of the test: a third of these rows is normal.
    assert content["metrics"]["baseline_presence_brier"]["value"] == pytest.approx((2 / 3) ** 2, abs=0.05)
    assert "No abnormal study was judged" in check_page(report)


def test_a_leak_is_counted_in_one_way_and_the_checklist_owns_to_it(tmp_path: Path) -> None:
    """A patient whose pictures have copies, too, is one thing that is divided, not two."""
    rows = write_pictures(tmp_path / "data", 12)
    test, train = (next(row for row in rows if row.split == side and row.normal) for side in ("test", "train"))
    rows = [moved(row, group=train.group, cluster=train.cluster) if row is test else row for row in rows]
    report = evaluate(write_run(tmp_path / "R", rows), tmp_path / "E", reader=FakeReader(spec(ABNORMAL, "no_tumor")))
    page = check_page(report)
    assert divided(rows) == 1
    assert "divides 1 patient or cluster" in page
    assert "Only in who the patients are" not in page
    assert "1 patient or cluster of near-duplicates is divided" in refusal(rows, find_leaks(rows))


def test_volumes_with_masks_alone(tmp_path: Path) -> None:
    run = write_run(tmp_path / "R", write_volumes(tmp_path / "data", 9))
    report = evaluate(run, tmp_path / "E", reader=FakeReader(spec(("lesion",), None)))
    content = json.loads((tmp_path / "E" / "metrics.json").read_text(encoding="utf-8"))
    figures = content["metrics"]
    assert {"dice", "baseline_dice", "slice_presence_auc", "baseline_slice_presence_auc"} <= set(figures)
    assert "accuracy" not in figures
    assert "presence_auc" not in figures
    assert figures["dice"]["value"] > 0.9
    assert figures["slice_presence_auc"]["value"] > 0.9
    assert {"nsd_2mm", "assd_mm", "hd95_mm", "froc_score", "lesion_sensitivity_10_to_20mm"} <= set(figures)
    assert figures["lesion_sensitivity_10_to_20mm"]["n"] == figures["lesion_sensitivity"]["n"] == 3
    assert figures["nsd_2mm"]["value"] > 0.9
    assert figures["hd95_mm"]["value"] < 3
    assert "Dice" in content["summary"][1]
    assert "3 groups" in content["summary"][2]
    assert "No audit" in check_page(report)


def test_cats_and_dogs_have_classes_and_no_presence(tmp_path: Path) -> None:
    rows = [
        moved(row, normal=None, mask=None, label={"glioma": "cat", "meningioma": "dog"}[row.label or ""])
        for row in write_pictures(tmp_path / "data", 12, ABNORMAL)
    ]
    run = write_run(tmp_path / "R", rows)
    evaluate(run, tmp_path / "E", reader=FakeReader(spec(("cat", "dog"), None, located=False)))
    figures = json.loads((tmp_path / "E" / "metrics.json").read_text(encoding="utf-8"))["metrics"]
    assert {"accuracy", "macro_f1", "ece"} <= set(figures)
    assert not {"presence_auc", "dice", "unsure_rate"} & set(figures)
    table = pl.read_parquet(tmp_path / "E" / "predictions.parquet")
    assert table["presence"].null_count() == table.height


def test_unreadable_studies_are_listed(tmp_path: Path) -> None:
    rows = write_pictures(tmp_path / "data", 12)
    broken = next(row for row in rows if row.split == "test")
    broken.images[0].write_bytes(b"\x89PNG\r\n\x1a\n, and no more")
    report = evaluate(write_run(tmp_path / "R", rows), tmp_path / "E", reader=FakeReader(spec(ABNORMAL, "no_tumor")))
    content = json.loads((tmp_path / "E" / "metrics.json").read_text(encoding="utf-8"))
    key = pl.read_csv(tmp_path / "E" / "names.csv")
    number = key.filter(pl.col("study") == broken.study)["report"].item()
    assert [u["study"] for u in content["data"]["unread"]] == [number]
    assert broken.images[0].name not in json.dumps(content)
    assert "1 more could not be read" in content["summary"][0]
    assert "1 study could not be read" in check_page(report)


def test_other_data_that_the_run_has_seen_is_stamped(tmp_path: Path) -> None:
    rows = write_pictures(tmp_path / "data", 12)
    run = write_run(tmp_path / "R", rows)
    reader = FakeReader(spec(ABNORMAL, "no_tumor"))
    report = evaluate(run, tmp_path / "E", reader=reader, index=Index.of(rows))
    content = json.loads((tmp_path / "E" / "metrics.json").read_text(encoding="utf-8"))
    seen = sum(row.split == "train" for row in rows)
    assert f"LEAK: {seen} of 36 studies are byte for byte the same" in content["data"]["leaks"][0]
    assert content["summary"][2] == content["data"]["leaks"][0]
    assert check_page(report).count("byte for byte") == 2
    fresh = [moved(row, sha256=f"x{row.sha256}", group=f"x{row.group}", split=None) for row in rows]
    evaluate(run, tmp_path / "F", reader=reader, index=Index.of(fresh))
    content = json.loads((tmp_path / "F" / "metrics.json").read_text(encoding="utf-8"))
    assert content["data"]["leaks"] == []
    assert content["metrics"]["accuracy"]["n"] == 36


def test_names_are_escaped(tmp_path: Path) -> None:
    rows = [moved(row, site=f"<script>{at % 2}") for at, row in enumerate(write_pictures(tmp_path / "data", 6))]
    report = evaluate(write_run(tmp_path / "R", rows), tmp_path / "E", reader=FakeReader(spec(ABNORMAL, "no_tumor"), 0))
    assert "&lt;script&gt;" in check_page(report)


def test_what_cannot_be_judged_is_refused(tmp_path: Path) -> None:
    reader = FakeReader(spec(ABNORMAL, "no_tumor"))
    with pytest.raises(UsageError, match="no run"):
        evaluate(tmp_path / "absent", tmp_path / "E", reader=reader)
    rows = write_pictures(tmp_path / "data", 6)
    run = write_run(tmp_path / "R", [moved(row, split="train") for row in rows])
    with pytest.raises(DataError, match="holds no study to judge"):
        evaluate(run, tmp_path / "E", reader=reader)
    for row in rows:
        row.images[0].unlink()
    with pytest.raises(DataError, match="none of 18 studies could be read"):
        evaluate(run, tmp_path / "E", reader=reader, index=Index.of(rows))
    (run / "plan.json").unlink()
    with pytest.raises(UsageError, match=r"plan\.json"):
        evaluate(run, tmp_path / "E", reader=reader)


def test_full_disk_is_a_resource_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    run = write_run(tmp_path / "R", write_pictures(tmp_path / "data", 6))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResourceError, match="disk is full"):
        evaluate(run, tmp_path / "E", reader=FakeReader(spec(ABNORMAL, "no_tumor")))
