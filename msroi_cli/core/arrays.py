"""Views of array-like arguments as NumPy arrays, and long arrays worked on piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import ArgumentError

# Boxes that are worked on in one go: what is worked out on the way stays in the cache, and takes little memory.
AT_ONCE = 1 << 16


def slices(count: int) -> Iterator[slice]:
    """All of `count` rows, some at a time."""
    return (slice(start, min(start + AT_ONCE, count)) for start in range(0, count, AT_ONCE))


def run_ends(values: NDArray[Any]) -> NDArray[Any]:
    """The last value of each run of equal ones (k,): all values that occur, of mostly far fewer runs than values."""
    if not len(values):
        return values
    ends: NDArray[np.intp] = np.append(np.flatnonzero(values[1:] != values[:-1]), len(values) - 1)
    return values.take(ends)


def view_array(name: str, value: Any) -> NDArray[Any]:
    """`value` as a NumPy array, without a copy where that can be.

    Tensors of torch are detached and fetched from their device; bfloat16 becomes float32, which holds all its values.
    """
    if type(value) is np.ndarray:
        return value
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            if str(value.dtype) == "torch.bfloat16":
                value = value.float()
        if not hasattr(value, "__array__") and hasattr(value, "__dlpack__"):
            return np.from_dlpack(value)
        array = np.asarray(value)
        return array.astype(np.float32) if array.dtype.name == "bfloat16" else array
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        raise ArgumentError(
            f"{name}: expected an array that NumPy can view, got {type(value).__name__} ({error})"
        ) from error
