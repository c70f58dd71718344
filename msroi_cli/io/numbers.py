"""Numbers of any kind as floats."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32] | NDArray[np.float64]
Indices = NDArray[np.signedinteger[Any]]
"""Numbers of rows or images: int32 where they are few enough, which takes half the memory, or int64."""


def index_type(count: int) -> np.dtype[np.signedinteger[Any]]:
    """The dtype that the numbers up to `count` take."""
    return np.dtype(np.int32 if count <= np.iinfo(np.int32).max else np.int64)


def as_float64(values: NDArray[Any]) -> NDArray[np.float64]:
    """The values as float64. A signalling NaN, which damaged files may have, is a NaN, without NumPy's warning."""
    with np.errstate(invalid="ignore"):
        return values.astype(np.float64)


def as_floats(values: NDArray[Any]) -> Floats:
    """float32 as it is, which takes half the memory and holds the same numbers, and anything else as float64."""
    return values if values.dtype == np.float32 else as_float64(values)
