"""THE pixel model: from a box's side to the taps and weights of its bins, along one axis.

RoI Align (He et al., "Mask R-CNN", 2017, section 3) averages bilinear samples. A sample's bilinear weights and the test
whether it lies on the map are products of one factor an axis, and the samples of a bin form a grid, so the average is
separable: crop[c] = Ay @ F[c] @ Ax.T. This module makes the rows of Ay and Ax; nothing else in the project knows where
a sample lies. Along one axis, with everything in float32 and in this order of operations:

    start = box start * scale - (0.5 if aligned else 0)      the same for end; side = end - start
    side  = max(side, 1) unless aligned
    bin   = side / bins
    grid  = sampling_ratio, or ceil(side / bins) if adaptive
    at    = start + p * bin + (i + 0.5) * bin / grid         sample i of bin p

A sample outside [-1, size] is worth 0; inside, it is clamped to the map and shared by the cells below and above it as
(1 - t, t). A bin's weights are the sums of those shares, divided by grid. Sums and division are in float64, in sample
order, and rounded once when the kernel takes them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F32 = np.float32


class AxisWeights(NamedTuple):
    """Banded weights of K boxes with `bins` bins each, along one axis.

    Bin p of box k has the taps offsets[k * bins + p] to offsets[k * bins + p + 1], ascending in `cell`.
    A cell that a sample touches is a tap even where its weight is 0, so that a NaN there is not lost.

    offsets: (K * bins + 1,) int64. cell: (T,) int32, the cell of the map. weight: (T,) float64.
    """

    bins: int
    offsets: NDArray[np.int64]
    cell: NDArray[np.int32]
    weight: NDArray[np.float64]

    def band(self, box: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """One box's matrix without its empty columns: the cells (n,) it touches, and the weights (bins, n)."""
        offsets = self.offsets[box * self.bins : (box + 1) * self.bins + 1]
        taps = slice(offsets[0], offsets[-1])
        cells, column = np.unique(self.cell[taps], return_inverse=True)
        matrix = np.zeros((self.bins, len(cells)))
        matrix[np.repeat(np.arange(self.bins), np.diff(offsets)), column] = self.weight[taps]
        return cells, matrix

    def taps(self, box: int, bin_: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """The cells and the weights of one bin of one box."""
        row = box * self.bins + bin_
        taps = slice(self.offsets[row], self.offsets[row + 1])
        return self.cell[taps], self.weight[taps]


class Axis(NamedTuple):
    """One axis of one level: `size` cells, `scale` cells per input pixel, cut into `bins` bins."""

    size: int
    scale: float
    bins: int
    sampling_ratio: int
    aligned: bool


def axis_weights(low: NDArray[np.float32], high: NDArray[np.float32], axis: Axis) -> AxisWeights:
    """The weights of boxes from `low` to `high`, each (K,) float32 in input pixels, along `axis`.

    Source: He et al. 2017, section 3, in the arithmetic of torchvision's CPU kernel.
    """
    start, bin_size, grid = _bins_of(low, high, axis)
    row, at = _samples(start, bin_size, grid, axis)
    inside = (at >= -1) & (at <= axis.size)
    row, at = row[inside], np.maximum(at[inside], F32(0))
    below = np.minimum(at.astype(np.int64), axis.size - 1)
    above = np.minimum(below + 1, axis.size - 1)
    share = np.where(below < axis.size - 1, at.astype(np.float64) - below, 0.0)
    touched = np.stack([row * axis.size + below, row * axis.size + above], axis=1).ravel()
    shares = np.stack([1 - share, share], axis=1).ravel()
    keys, tap = np.unique(touched, return_inverse=True)
    row_of_tap = keys // axis.size
    weight = np.bincount(tap, shares, minlength=len(keys)) / grid[row_of_tap // axis.bins]
    offsets = np.searchsorted(row_of_tap, np.arange(len(low) * axis.bins + 1))
    return AxisWeights(axis.bins, offsets, (keys % axis.size).astype(np.int32), weight)


def spans(low: NDArray[np.float32], high: NDArray[np.float32], axis: Axis) -> NDArray[np.bool_]:
    """Cells along `axis` within or next to a box, (size,): all those that have taps, and those between them."""
    start, bin_size, _ = _bins_of(low, high, axis)
    steps = np.zeros(axis.size + 1, np.int64)
    np.add.at(steps, np.clip(start - 2, 0, axis.size).astype(np.int64), 1)
    np.add.at(steps, np.clip(start + bin_size * F32(axis.bins) + 3, 0, axis.size).astype(np.int64), -1)
    covered: NDArray[np.bool_] = np.cumsum(steps[:-1]) > 0
    return covered


def _bins_of(
    low: NDArray[np.float32], high: NDArray[np.float32], axis: Axis
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Start, bin size (cells) and samples per bin of each box; (K,) float32."""
    offset = F32(0.5 if axis.aligned else 0.0)
    start = low * F32(axis.scale) - offset
    side = (high * F32(axis.scale) - offset) - start
    if not axis.aligned:
        side = np.maximum(side, F32(1))
    bin_size = side / F32(axis.bins)
    grid = np.full_like(bin_size, axis.sampling_ratio) if axis.sampling_ratio else np.ceil(bin_size)
    return start, bin_size.astype(F32), grid.astype(F32)


def _samples(
    start: NDArray[np.float32], bin_size: NDArray[np.float32], grid: NDArray[np.float32], axis: Axis
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The samples of every bin that can lie on the map: their row (box * bins + bin) and position, in order.

    A box far larger than the map has most samples off it. Which ones those are is found first, with room for the
    rounding of a position, so that the work is that of the map and not that of the box.
    """
    bin_start = start[:, None] + np.arange(axis.bins, dtype=F32) * bin_size[:, None]
    wide_grid = np.broadcast_to(grid[:, None].astype(np.float64), bin_start.shape)
    step = bin_size.astype(np.float64) / np.maximum(grid, 1)
    reach = np.abs(start) + np.abs(bin_size).astype(np.float64) * axis.bins + axis.size
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        slack = 2 + 2.0**-20 * reach / step
        first = (-1 - bin_start.astype(np.float64)) / step[:, None] - slack[:, None]
        last = (axis.size - bin_start.astype(np.float64)) / step[:, None] + slack[:, None]
    still = step[:, None] == 0
    begin = np.where(still, 0, np.clip(np.floor(first), 0, wide_grid)).astype(np.int64).ravel()
    end = np.where(still, wide_grid, np.clip(np.ceil(last), 0, wide_grid)).astype(np.int64).ravel()
    count = np.maximum(end - begin, 0)
    row = np.repeat(np.arange(len(count)), count)
    sample = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count) + begin[row]
    box = row // axis.bins
    within = (sample.astype(F32) + F32(0.5)) * bin_size[box] / grid[box]
    return row, bin_start.ravel()[row] + within
