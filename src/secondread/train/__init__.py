"""The plan, augmentation, the loop on one page, resume."""

from secondread.train.optimisers import OPTIMIZERS
from secondread.train.packed import Packed, is_packed, open_packed, pack_data, plan_for
from secondread.train.plan import Plan, check_overrides, replan
from secondread.train.planning import make_plan
from secondread.train.run import make_way, train

__all__ = [
    "OPTIMIZERS",
    "Packed",
    "Plan",
    "check_overrides",
    "is_packed",
    "make_plan",
    "make_way",
    "open_packed",
    "pack_data",
    "plan_for",
    "replan",
    "train",
]
