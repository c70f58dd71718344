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


def _l2(vectors: NDArray[Any]) -> NDArray[Any]:
    wide = vectors.astype(np.float64)
    # Squares of what is scaled to 1 neither overflow nor vanish.
    largest = np.abs(wide).max(axis=1, keepdims=True, initial=0)
    with np.errstate(invalid="ignore"):
        scaled = wide / np.where(largest == 0, 1, largest)
        norm = np.sqrt((scaled * scaled).sum(axis=1, keepdims=True))
        unit: NDArray[Any] = (scaled / np.where(norm == 0, 1, norm)).astype(vectors.dtype)
    return unit


# From vectors (K, C) to vectors of length 1 of the same dtype; zeros stay zeros, and a NaN or Inf makes NaNs.
NORMALIZATIONS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {"l2": _l2}

# From crops (K, C, Ho, Wo) to vectors (K, C) of the same dtype; a NaN in a channel makes a NaN.
REDUCTIONS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {"mean": _mean, "max": _max}
