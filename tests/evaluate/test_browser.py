"""The report as a person sees it, in headless Chromium: at two widths, light and dark, on paper."""

from __future__ import annotations

import re
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from secondread.evaluate import evaluate

from .browser import SCHEMES, WIDTHS, asked, chromium, screenshot
from .fakes import FakeReader, moved, spec, write_pictures, write_run

AXE = Path(__file__).with_name("axe.min.js")
"""axe-core (MPL 2.0) is not part of this project. Put it there to have its rules run as well:
``npm pack axe-core@4.10.3 && tar xzf axe-core-4.10.3.tgz package/axe.min.js``."""

RED = re.compile(rb"\.56\d* \.11\d* \.07\d* rg")
"""The stamp's colour, #8f1d13, as a PDF from Chromium sets it; nothing else on a page has it."""

RULES = (Path(__file__).with_name("accessibility.js")).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A report with everything in it, and one of a run on a split that leaks."""
    folder = tmp_path_factory.mktemp("pages")
    rows = [moved(row, site=("A", "B")[n // 2 % 2]) for n, row in enumerate(write_pictures(folder / "data", 30))]
    rows[2].images[0].write_bytes(b"\x89PNG\r\n\x1a\n, and no more")
    leaky = [moved(row, split=("train", "test", "validation")[n % 3]) for n, row in enumerate(rows)]
    reader = FakeReader(spec(("glioma", "meningioma"), "no_tumor"))
    yield {
        "clean": evaluate(write_run(folder / "R", rows), folder / "E", reader=reader),
        "leaky": evaluate(write_run(folder / "L", leaky), folder / "F", reader=reader),
    }
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS.keys())
@pytest.mark.parametrize("scheme", SCHEMES)
def test_nothing_serious_to_find(pages: dict[str, Path], tmp_path: Path, width: int, scheme: str) -> None:
    page = pages["leaky"]
    found, console, urls = asked(page, tmp_path, width=width, scheme=scheme, script=RULES)
    assert found["checked"]["text"] > 200
    assert found["checked"]["images"] > 5
    assert found["problems"] == []
    assert console == ""
    assert urls == []
    assert page.stat().st_size < 5_000_000
    if AXE.is_file():
        run = AXE.read_text(encoding="utf-8") + ";const r=await axe.run();return r.violations;"
        violations, _, _ = asked(page, tmp_path, width=width, scheme=scheme, script=run)
        assert [v["id"] for v in violations if v["impact"] in ("serious", "critical")] == []


def test_the_check_can_fail(pages: dict[str, Path], tmp_path: Path) -> None:
    text = pages["clean"].read_text(encoding="utf-8")
    spoilt = tmp_path / "spoilt.html"
    text = text.replace('lang="en"', "").replace("--muted: #57606a", "--muted: #c0c8d0", 1)
    text = text.replace('scope="col"', "", 1).replace("<h2 ", "<h4 ", 1)
    text = text.replace(
        "</main>", '<img src="data:,"><img src="https://example.org/x.png" alt="x"><button></button></main>'
    )
    spoilt.write_text(text, encoding="utf-8")
    found, console, _ = asked(spoilt, tmp_path, width=1280, scheme="light", script=RULES)
    kinds = {problem.split(":")[0] for problem in found["problems"]}
    assert kinds >= {"lang", "contrast", "header", "heading", "alt", "label"}
    # The page's own policy keeps the request from leaving it, and the console says so.
    assert "Content Security Policy" in console
    lax = tmp_path / "lax.html"
    lax.write_text(re.sub(r"<meta http-equiv=.*?>", "", text).replace("https://example.org", "http://127.0.0.1:9"))
    assert asked(lax, tmp_path, width=390, scheme="light", script=RULES)[2] == ["http://127.0.0.1:9/x.png"]


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS.keys())
def test_light_and_dark_differ_and_fit(pages: dict[str, Path], tmp_path: Path, width: int) -> None:
    shade = {}
    for scheme in SCHEMES:
        to = tmp_path / f"{scheme}.png"
        screenshot(pages["clean"], to, width=width, height=900, scheme=scheme)
        shade[scheme] = float(np.asarray(Image.open(to).convert("L"))[:, :width].mean())
    assert shade["light"] > 180
    assert shade["dark"] < 80


def test_every_page_on_paper_bears_the_stamp(pages: dict[str, Path], tmp_path: Path) -> None:
    stamped = {}
    for name, page in pages.items():
        to = tmp_path / f"{name}.pdf"
        chromium(tmp_path, f"--print-to-pdf={to}", "--no-pdf-header-footer", page.as_uri())
        content = to.read_bytes()
        streams = [inflated(part) for part in re.findall(rb"stream\r?\n(.*?)endstream", content, re.DOTALL)]
        sheets = len(re.findall(rb"/Type /Page\s", content))
        assert sheets > 2
        stamped[name] = sum(bool(RED.search(stream)) for stream in streams) / sheets
    assert stamped == {"clean": 0, "leaky": 1}


def inflated(stream: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(stream)
    except zlib.error:
        return stream
