"""The report's three sentences."""

from __future__ import annotations

import pytest

from secondread.evaluate.audit import Audit
from secondread.evaluate.curves import Verdict
from secondread.evaluate.intervals import FEW_GROUPS
from secondread.evaluate.words import Counts, main_caveat


@pytest.mark.parametrize(
    ("kind", "chosen", "said"),
    [
        ("overfit", True, "untested"),
        ("overfit", False, "its last epoch was kept"),
        ("fits", False, "untested"),
        ("underfit", True, "leaves room: underfit"),
    ],
)
def test_an_overfit_matters_where_no_better_epoch_could_be_chosen(kind: str, chosen: bool, said: str) -> None:
    verdict = Verdict(kind, "")  # type: ignore[arg-type]
    counts = Counts(studies=99, groups=FEW_GROUPS, unread=0)
    assert said in main_caveat((), Audit(), verdict, counts, None, epoch_chosen=chosen)
