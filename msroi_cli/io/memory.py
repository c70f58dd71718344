"""Memory that is no longer used, of arrays that are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.extension import NATIVE, native


def owner(values: NDArray[Any]) -> NDArray[Any] | None:
    """The array whose memory, from its first byte on, `values` (K, ...) lie in, one after the other.

    None where that is not an array's own, or may not be written to.
    """
    found = values if values.base is None else values.base
    if not isinstance(found, np.ndarray) or not (found.flags.owndata and found.flags.writeable):
        return None
    if not (found.flags.c_contiguous and values.flags.c_contiguous) or found.dtype != values.dtype:
        return None
    return found if found.ctypes.data == values.ctypes.data else None


def release(values: NDArray[Any], start: int) -> None:
    """Gives the memory of an array that owns it back to the system, from byte `start` on: what is there is lost."""
    if NATIVE and values.nbytes > start:
        native.release_pages(values.reshape(-1).view(np.uint8), start)
