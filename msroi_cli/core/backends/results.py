"""Memory for results: what no array uses any more is used again, where the native extension is there to own it.

A result's memory belongs to an object that is the base of the array. When the last array that looks into it is gone,
that object gives the memory back, and the next result of about that size gets it. Source: native/memory.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.extension import NATIVE, native

# Smaller results are cheap to get; of larger ones none is kept.
SMALLEST, LARGEST = 4 << 20, 512 << 20


def empty_result(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array like that of `np.empty`."""
    size = math.prod(shape) * dtype.itemsize
    if not NATIVE or not SMALLEST <= size <= LARGEST:
        return np.empty(shape, dtype)
    return native.result_bytes(size).view(dtype).reshape(shape)
