"""One checked pooling call, as the core passes it to a backend."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.spec import PoolSpec


class PoolCall(NamedTuple):
    """K boxes to pool from L levels.

    maps: L arrays (N, C, H_l, W_l) of one float dtype, any strides, either byte order.
    batch: (K,) int64, indices into N. boxes: (K, 4) float32, x1 y1 x2 y2, input pixels. levels: (K,) int64.
    """

    maps: list[NDArray[Any]]
    batch: NDArray[np.int64]
    boxes: NDArray[np.float32]
    levels: NDArray[np.int64]
    spec: PoolSpec
