"""Crops as vectors: the bins of each channel in one number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def _mean(crops: NDArray[Any]) -> NDArray[Any]:
    wide = np.promote_types(crops.dtype, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        means: NDArray[Any] = crops.mean(axis=(2, 3), dtype=wide).astype(crops.dtype)
    return means


def _max(crops: NDArray[Any]) -> NDArray[Any]:
    highest: NDArray[Any] = crops.max(axis=(2, 3))
    return highest


# From crops (K, C, Ho, Wo) to vectors (K, C) of the same dtype; a NaN in a channel makes a NaN.
REDUCTIONS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {"mean": _mean, "max": _max}
