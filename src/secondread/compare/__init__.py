"""Several plans, each with one seed or several, on the same packed cases, and one report of them."""

from secondread.compare.choices import Choices, choose
from secondread.compare.runs import compare
from secondread.compare.search import require_optuna

__all__ = ["Choices", "choose", "compare", "require_optuna"]
