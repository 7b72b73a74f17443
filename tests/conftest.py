"""Settings of the whole suite."""

from __future__ import annotations

import os

from hypothesis import settings

# The same examples each time, so that a change that fails is the change's fault; `make check-all` looks for new ones.
settings.register_profile("same", derandomize=True)
settings.register_profile("search", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
