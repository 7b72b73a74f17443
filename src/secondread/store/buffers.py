"""Memory that is used again once nobody looks at it any more.

Touching fresh memory costs more than filling it: the system hands it out page by page. A batch of two 96^3 patches
of four contrasts takes 16 ms to allocate and 3 ms to fill.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray


class Buffers:
    """A pool of flat byte arrays.

    Whatever is built on a buffer (a numpy view, a tensor from :func:`torch.from_numpy`, a view of it) refers to
    it, so that its reference count says exactly whether it may be handed out again. Whoever keeps a batch keeps its
    buffer, and another is allocated.
    """

    def __init__(self) -> None:
        self._kept: list[NDArray[np.uint8]] = []

    def take(self, size: int) -> NDArray[np.uint8]:
        """``size`` bytes that nothing else refers to; contents are arbitrary."""
        idle = [index for index in range(len(self._kept)) if _references(self._kept, index) <= _UNUSED]
        for index in idle:
            if size <= len(self._kept[index]) <= 2 * size:
                return self._kept[index][:size]
        # Those that are idle are all too small, or so large that keeping them would cost more than it spares.
        self._kept = [array for index, array in enumerate(self._kept) if index not in idle]
        self._kept.append(np.empty(size, np.uint8))
        return self._kept[-1][:size]


def _references(arrays: list[NDArray[np.uint8]], index: int) -> int:
    return sys.getrefcount(arrays[index])


# Taken by the very expression that is compared with it, because Python versions count temporaries differently.
_UNUSED = _references([np.empty(0, np.uint8)], 0)
