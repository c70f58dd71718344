"""Crops and maps as colours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

# From dark blue over teal to light yellow: lightness grows with the value, so that it reads without colour vision.
_STOPS = np.array([(28, 16, 68), (40, 62, 120), (28, 112, 130), (40, 160, 112), (142, 202, 80), (252, 236, 120)])
_MISSING = np.array((200, 60, 60), np.uint8)

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
    colours[~np.isfinite(values)] = _MISSING
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


def mean_heat(crops: NDArray[Any]) -> list[Pixels]:
    """The mean of the channels of each crop (K, C, H, W), all crops by one range."""
    return _by_one_range(mean_of(crops, 1))


def channel_heat(crops: NDArray[Any], channel: int) -> list[Pixels]:
    """One channel of each crop, all crops by one range."""
    return _by_one_range(crops[:, channel].astype(np.float64))


def _by_one_range(maps: NDArray[np.float64]) -> list[Pixels]:
    low, high = range_of(maps)
    return [coloured(one, low, high) for one in maps]


def component_colours(crops: NDArray[Any]) -> list[Pixels]:
    """The first three principal components of the crops' bins (vectors of C channels) as red, green and blue.

    The components are of all these crops together, each with the sign that makes its largest weight positive, so that
    the same crops have the same colours everywhere. Fewer channels give fewer colours. Bins that are not finite are
    red.
    """
    count, channels, height, width = crops.shape
    vectors = crops.astype(np.float64).transpose(0, 2, 3, 1).reshape(-1, channels)
    good = np.isfinite(vectors).all(axis=1)
    known = vectors[good]
    colours = np.full((len(vectors), 3), 128, np.uint8)
    if len(known):
        # Squares of very large or small numbers are beyond float64; colours depend on no scale.
        known = known / max(float(np.abs(known).max()), np.finfo(np.float64).tiny)
        centred = known - known.mean(axis=0)
        _, axes = np.linalg.eigh(centred.T @ centred)
        for index, axis in enumerate(axes.T[::-1][:3]):
            along = centred @ (axis * np.sign(axis[np.abs(axis).argmax()]))
            low, high = range_of(along)
            if high > low:
                colours[good, index] = np.round(np.clip((along - low) / (high - low), 0, 1) * 255)
    colours[~good] = _MISSING
    return list(colours.reshape(count, height, width, 3))


Renderer = Callable[[NDArray[Any]], "list[Pixels]"]


def renderer(what: str) -> Renderer:
    """How crops are shown: "mean", "pca", or the number of a channel."""
    ways: dict[str, Renderer] = {"mean": mean_heat, "pca": component_colours}
    return ways[what] if what in ways else lambda crops: channel_heat(crops, int(what))
