from __future__ import annotations

from pathlib import Path

from .conftest import Secondread


def test_the_same_command_gives_the_same_figures(secondread: Secondread, picture_run: Path, tmp_path: Path) -> None:
    """Byte for byte: the figures, the predictions and the page itself."""
    files = ("metrics.json", "predictions.parquet", "names.csv", "label_errors.csv", "report.html")
    out = tmp_path / "judged"
    secondread("evaluate", picture_run, "-o", out)
    first = {name: (out / name).read_bytes() for name in files}
    secondread("evaluate", picture_run, "-o", out)
    assert {name: (out / name).read_bytes() for name in files} == first
