"""What a given split that leaks leaves beside the index or the run: the pairs, their pictures, the split repaired."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from shlex import quote

import numpy as np
from PIL import Image

from secondread.errors import LeakError, writing
from secondread.files import write_whole
from secondread.index.duplicates import SIDE
from secondread.index.split import Leak, pairs_across, refusal
from secondread.index.table import Index, Row

MAX_SHOWN = 150
"""So many pairs are drawn; the file of pairs has them all."""

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:1.5rem;color:#222;background:#fff}
figure{display:inline-block;width:17rem;margin:0 1rem 1.2rem 0;vertical-align:top}
img{width:8rem;height:8rem;image-rendering:pixelated;background:#000;margin-right:.3rem}
figcaption{font-size:12px;overflow-wrap:anywhere}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#111}}"""


REPAIRED = "repaired.parquet"


class GivenSplitLeaks(LeakError):
    """A given split that leaks, with what is needed to say so on disk.

    Attributes:
        rows: the studies with the sides that the data give.
        repaired: the index with what was divided dealt anew.
    """

    def __init__(self, rows: Sequence[Row], leaks: Sequence[Leak], repaired: Index) -> None:
        super().__init__(refusal(rows, leaks))
        self.rows = [row for row in rows if not row.excluded]
        self.repaired = repaired

    def write(self, beside: Path) -> tuple[Path, Path, Path]:
        """Write ``NAME.leaks.csv``, ``NAME.leaks.html`` and ``NAME.repaired.parquet`` beside the index or the run
        ``beside``, NAME being its name without ``.parquet``. Raises ResourceError."""
        name = beside.name.removesuffix(".parquet")
        table, page, index = (beside.with_name(f"{name}.{end}") for end in ("leaks.csv", "leaks.html", REPAIRED))
        pairs = pairs_across(self.rows)
        with writing(table):
            table.parent.mkdir(parents=True, exist_ok=True)
        write_whole(table, _table(pairs).encode())
        write_whole(page, _page(pairs, self.rows).encode())
        self.repaired.save(index)
        return table, page, index


@contextmanager
def reporting_leaks(beside: Path | None) -> Iterator[None]:
    """Have a :class:`GivenSplitLeaks` that passes through written beside ``beside`` (nothing where that is None), and
    say in a note where."""
    try:
        yield
    except GivenSplitLeaks as error:
        if beside is not None:
            pairs, page, repaired = error.write(beside)
            error.add_note(f"the pairs: {pairs}, drawn in {page}")
            error.add_note(f"the split repaired: {repaired}; to train on it: secondread train {quote(str(repaired))}")
        raise


def _table(pairs: Sequence[Leak]) -> str:
    """CSV: a line per pair. No patient is named: that two studies are of one is said, not of whom."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["study", "split", "other", "other_split", "why"])
    lines.writerows([pair.study, pair.split, pair.other, pair.other_split, pair.why] for pair in pairs)
    return text.getvalue()


def _page(pairs: Sequence[Leak], rows: Sequence[Row]) -> str:
    row_of = {row.study: row for row in rows}
    shown = pairs[:MAX_SHOWN]
    figures = "\n".join(
        f"<figure>{_drawn(row_of[pair.study])}{_drawn(row_of[pair.other])}"
        f"<figcaption>{escape(pair.study)} ({pair.split})<br>{escape(pair.other)} ({pair.other_split})<br>"
        f"{escape(pair.why)}</figcaption></figure>"
        for pair in shown
    )
    rest = f", of which the first {len(shown):,} are drawn" if len(pairs) > len(shown) else ""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>Pairs on two sides of the split</title>'
        f"<style>{_STYLE}</style><h1>Pairs on two sides of the given split</h1>"
        f"<p>{len(pairs):,} pairs{rest}, as small as the index keeps them: copies and near-copies first, then further "
        f"studies of one patient.</p>\n{figures}</html>\n"
    )


def _drawn(row: Row) -> str:
    """The middle plane of a study's thumbprint, as an image in the page; nothing where it has none."""
    cells = np.frombuffer(row.thumbprint, np.uint8)
    if cells.size < SIDE * SIDE:
        return ""
    planes = cells.reshape(-1, SIDE, SIDE)
    plane = planes[0] if len(planes) == 1 else planes[2].T[::-1]
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(plane)).save(buffer, "PNG")
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'
