"""Memory for results: what nobody uses any more is used again.

Fresh memory is not free: the system clears every page before it hands it out, which for a result of 100 MB takes
about as long as pooling it. Whoever pools in a loop lets go of each result before the one after the next, so a few
large blocks are kept here and given out again as soon as no array looks into them.
"""

from __future__ import annotations

import math
import os
import sys
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALLEST, LARGEST = 4 << 20, 512 << 20
BLOCKS = 2

# An unused block is referred to by the list, by the loop that looks at it, and by the call that counts.
UNUSED = 3

# Without a global interpreter lock, and in other interpreters, references are not counted exactly, or at all.
COUNTED = hasattr(sys, "getrefcount") and getattr(sys, "_is_gil_enabled", lambda: True)()


class ResultMemory:
    """At most BLOCKS blocks of memory, each of LARGEST bytes at most."""

    def __init__(self) -> None:
        self._forget()
        # A thread that is not there after a fork may have held the lock.
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._blocks: list[NDArray[np.uint8]] = []
        self._lock = threading.Lock()

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """An array like that of `np.empty`."""
        size = math.prod(shape) * dtype.itemsize
        if not SMALLEST <= size <= LARGEST or not COUNTED:
            return np.empty(shape, dtype)
        with self._lock:
            block = self._unused(size)
            if block is None:
                block = np.empty(size, np.uint8)
                self._blocks = [*self._blocks[-BLOCKS + 1 :], block]
            return block[:size].view(dtype).reshape(shape)

    def _unused(self, size: int) -> NDArray[np.uint8] | None:
        """A block that no array looks into, large enough and not far too large."""
        for block in self._blocks:
            if sys.getrefcount(block) == UNUSED and size <= block.nbytes <= 2 * size:
                return block
        return None
