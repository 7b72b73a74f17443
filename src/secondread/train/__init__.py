"""The plan, augmentation, the loop on one page, resume."""

from secondread.train.optimisers import OPTIMIZERS
from secondread.train.plan import Plan, make_plan
from secondread.train.run import pack_for, refuse_existing, train

__all__ = ["OPTIMIZERS", "Plan", "make_plan", "pack_for", "refuse_existing", "train"]
