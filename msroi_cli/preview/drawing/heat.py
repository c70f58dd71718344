"""Crops and maps as colours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.preview.drawing.colours import MISSING

# From dark blue over teal to light yellow: lightness grows with the value, so that it reads without colour vision.
_STOPS = np.array([(28, 16, 68), (40, 62, 120), (28, 112, 130), (40, 160, 112), (142, 202, 80), (252, 236, 120)])
MISSING_PIXEL = np.array(MISSING, np.uint8)

Pixels = NDArray[np.uint8]


def coloured(values: NDArray[Any], low: float, high: float) -> Pixels:
    """Values (H, W) as colours (H, W, 3), from `low`, dark, to `high`, light; red where a value is not finite."""
    # Halves, as the difference of the largest numbers is beyond them.
    half = values / 2 - low / 2
    share = np.nan_to_num(half / (high / 2 - low / 2) if high > low else np.full(values.shape, 0.5))
    at = np.clip(share, 0, 1) * (len(_STOPS) - 1)
    below = np.minimum(at.astype(np.int64), len(_STOPS) - 2)
    part = (at - below)[..., None]
    colours: Pixels = np.round(_STOPS[below] * (1 - part) + _STOPS[below + 1] * part).astype(np.uint8)
    colours[~np.isfinite(values)] = MISSING_PIXEL
    return colours


def range_of(values: NDArray[Any]) -> tuple[float, float]:
    """The range to colour values by: from the 1st to the 99th percentile of the finite ones, (0, 1) of none."""
    finite = values[np.isfinite(values)].astype(np.float64)
    if not len(finite):
        return 0.0, 1.0
    # Quarters, as percentiles are made of differences.
    low, high = np.percentile(finite / 4, (1, 99))
    return float(low) * 4, float(high) * 4


def mean_of(values: NDArray[Any], axis: int) -> NDArray[np.float64]:
    """The mean along an axis, in float64; of values whose sum is beyond it, too."""
    wide, count = values.astype(np.float64), values.shape[axis]
    # Every term is scaled down first, by a power of two, which is exact but for the smallest.
    scale = 2.0 ** -(count.bit_length())
    with np.errstate(invalid="ignore"):
        mean: NDArray[np.float64] = (wide * scale).sum(axis=axis) / (count * scale)
    return mean
