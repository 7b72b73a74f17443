"""pydicom without its checks of values and its warnings, for as many threads as read at once.

Both are settings of the whole process. A thread that kept them and put them back by itself would put back another
thread's: the checks would stay off for good, or come on while a header is read, and quote what it says of a patient.
"""

from __future__ import annotations

import threading
import warnings
from contextlib import ExitStack
from types import TracebackType

from pydicom import config


class Silence:
    """A context that any number of threads may be in: the first one in changes the settings, the last one out puts
    them back as they were."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before.enter_context(warnings.catch_warnings())
                self._before.enter_context(config.disable_value_validation())
                warnings.simplefilter("ignore")
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._before.close()


SILENCE = Silence()
