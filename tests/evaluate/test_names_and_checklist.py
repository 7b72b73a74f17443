from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from secondread.evaluate import evaluate
from secondread.evaluate.aliases import Aliases
from secondread.evaluate.audit import Audit
from secondread.evaluate.modelcard import weaknesses
from secondread.evaluate.report import code_fingerprint
from secondread.evaluate.run import STAMP
from secondread.index import Index

from .fakes import FakeReader, moved, spec, write_pictures, write_run

ABNORMAL = ("glioma", "meningioma")


def test_numbers_do_not_follow_names(tmp_path: Path) -> None:
    rows = write_pictures(tmp_path, 6)
    names = Aliases(rows)
    again = Aliases([moved(row, study=f"renamed_{row.study}") for row in reversed(rows)])
    assert [names.of(row.study) for row in rows] == [again.of(f"renamed_{row.study}") for row in rows]
    assert len({names.of(row.study) for row in rows}) == len(rows)
    assert names.of(min(rows, key=lambda row: row.sha256).study) == "study 01"


def test_sentences_without_names(tmp_path: Path) -> None:
    rows = write_pictures(tmp_path, 2)
    names = Aliases(rows)
    row = rows[3]
    said = f"2 clusters, such as {row.study} (glioma) of {row.group}: {row.images[0]} and {row.images[0].name} are odd"
    number = names.of(row.study)
    hidden = names.hide(said)
    assert hidden.startswith(f"2 clusters, such as {number} (glioma) of patient ")
    assert row.study not in hidden
    assert names.hide(f"{row.images[0]}: torn", row.study) == f"{number}: torn"


def test_a_report_bears_no_name(tmp_path: Path) -> None:
    rows = [moved(row, study=f"ward7/Quastenberg_{n}", group=f"Wolkenried_{n // 2}") for n, row in enumerate(
        write_pictures(tmp_path / "data", 12))]  # fmt: skip
    rows[4] = moved(rows[4], excluded=True, reason=f"{rows[4].images[0].name} is torn", split=None)
    next(row for row in rows if row.split == "test").images[0].write_bytes(b"\x89PNG\r\n\x1a\n")
    run = write_run(tmp_path / "R", rows)
    Index.of(rows, (f"See {rows[0].study} of {rows[0].group}.",)).save(run / "index.parquet")
    report = evaluate(run, tmp_path / "E", reader=FakeReader(spec(ABNORMAL, "no_tumor")))
    for file in (report, report.with_name("metrics.json")):
        text = file.read_text(encoding="utf-8")
        assert not re.search("Quastenberg|Wolkenried|ward7", text)
        assert str(tmp_path) not in text
    key = pl.read_csv(tmp_path / "E" / "names.csv")
    assert set(key["study"]) == {row.study for row in rows}
    unread = json.loads(report.with_name("metrics.json").read_text(encoding="utf-8"))["data"]["unread"]
    assert {item["study"] for item in unread} <= set(key["report"])


def test_a_leak_that_was_accepted_is_stamped(tmp_path: Path) -> None:
    rows = write_pictures(tmp_path / "data", 12)
    leaky = [moved(row, split=("train", "test", "validation")[n % 3]) for n, row in enumerate(rows)]
    reader = FakeReader(spec(ABNORMAL, "no_tumor"))
    stamped = evaluate(write_run(tmp_path / "L", leaky), tmp_path / "E", reader=reader)
    content = json.loads(stamped.with_name("metrics.json").read_text(encoding="utf-8"))
    assert content["stamp"] == STAMP
    assert content["summary"][2].startswith("LEAK: the split of this run divides")
    assert stamped.read_text(encoding="utf-8").count(STAMP) == 2  # on the screen, and on paper
    clean = evaluate(write_run(tmp_path / "R", rows), tmp_path / "F", reader=reader)
    assert "LEAK ACCEPTED" not in clean.read_text(encoding="utf-8")
    assert json.loads(clean.with_name("metrics.json").read_text(encoding="utf-8"))["stamp"] is None


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("checklist")
    run = write_run(folder / "R", write_pictures(folder / "data", 12))
    return evaluate(run, folder / "E", reader=FakeReader(spec(ABNORMAL, "no_tumor"))).read_text(encoding="utf-8")


def test_every_item_of_both_lists_is_asked(text: str) -> None:
    rows = re.findall(r'<tr><td class="nowrap">([^<]*)</td><td class="nowrap">([^<]*)</td>', text)
    claim, tripod = numbers([c for c, _ in rows]), numbers([t for _, t in rows])
    assert claim == set(range(1, 45))
    assert tripod == set(range(1, 28))


def numbers(cells: list[str]) -> set[int]:
    found: set[int] = set()
    for cell in cells:
        for part in cell.split(","):
            ends = [int(n) for n in re.findall(r"\d+", part)]
            found |= set(range(ends[0], ends[-1] + 1)) if ends else set()
    return found


def test_what_the_run_knows_is_filled_in_and_the_rest_left_open(text: str) -> None:
    answers = dict(re.findall(r"<td>([^<]*\?)</td>\s*<td>(.*?)</td></tr>", text, re.DOTALL))
    assert "36 studies" not in answers["When and where were they gathered?"]
    assert "blank" in answers["When and where were they gathered?"]
    assert "blank" in answers["Who paid, and who gains?"]
    assert "36 studies of 18 patients" in answers["Where do the data come from?"]
    assert "adamw" in answers["What is the model, and what does it see?"]
    assert "12 studies of 6 patients" in answers["How many patients and studies came in and fell out?"]
    assert "Not cleared for patients" in text


def test_the_report_says_how_it_was_made(text: str) -> None:
    for part in (code_fingerprint(), "secondread evaluate R -o E", "Index fingerprint", "network.width"):
        assert part in text
    assert re.fullmatch(r"[0-9a-f]{64}", code_fingerprint())


def test_shortcuts_that_could_not_be_looked_for_are_not_said_to_be_none() -> None:
    made = SimpleNamespace(leaks=(), audit=Audit())
    assert "found none" in weaknesses(made)  # type: ignore[arg-type]
    blocked = SimpleNamespace(leaks=(), audit=Audit(blocked="there is one class only"))
    assert weaknesses(blocked) == "Shortcuts could not be looked for: there is one class only."  # type: ignore[arg-type]
