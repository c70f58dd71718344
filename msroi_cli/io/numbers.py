"""Numbers of any kind as float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def as_float64(values: NDArray[Any]) -> NDArray[np.float64]:
    """The values as float64. A signalling NaN, which damaged files may have, is a NaN, without NumPy's warning."""
    with np.errstate(invalid="ignore"):
        return values.astype(np.float64)
