"""Figures with intervals, audits, the report."""

from secondread.evaluate.against import compare_runs
from secondread.evaluate.audit import Audit, audit_shortcuts
from secondread.evaluate.compare import Contender, compare_report, watched_value
from secondread.evaluate.curves import Verdict, read_history, verdict
from secondread.evaluate.intervals import Figure, bootstrap
from secondread.evaluate.run import StudyReader, evaluate

__all__ = [
    "Audit",
    "Contender",
    "Figure",
    "StudyReader",
    "Verdict",
    "audit_shortcuts",
    "bootstrap",
    "compare_report",
    "compare_runs",
    "evaluate",
    "read_history",
    "verdict",
    "watched_value",
]
