"""Views of array-like arguments as NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import ArgumentError


def view_array(name: str, value: Any) -> NDArray[Any]:
    """`value` as a NumPy array, without a copy where that can be."""
    if type(value) is np.ndarray:
        return value
    try:
        if not hasattr(value, "__array__") and hasattr(value, "__dlpack__"):
            return np.from_dlpack(value)
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        raise ArgumentError(
            f"{name}: expected an array that NumPy can view, got {type(value).__name__} ({error})"
        ) from error
