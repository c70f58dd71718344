"""Pooling with NumPy alone: `crop[c] = Ay @ F[c] @ Ax.T`, box by box, all channels at once.

It is the backend where no compiler was at hand, and the twin that the native kernel is held against.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.backends.call import PoolCall
from msroi_cli.core.spec import PoolSpec
from msroi_cli.core.weights import Axis, AxisWeights, axis_weights

SAMPLES_AT_ONCE = 2**20
PRODUCT_AT_ONCE = 2**13


def pool(out: NDArray[Any], call: PoolCall, threads: int | None, seconds: NDArray[np.float64]) -> None:
    """Writes the crops (K, C, Ho, Wo) of `call` to `out` and adds the time taken to `seconds` (L,).

    `threads` is not used: NumPy's linear algebra decides for itself.
    """
    for level, feature in enumerate(call.maps):
        started = perf_counter()
        rows = np.flatnonzero(call.levels == level)
        for chunk in _chunks(rows, feature.shape[2:], call.spec):
            _pool_level(out, call, level, chunk)
        seconds[level] += perf_counter() - started


def _chunks(rows: NDArray[np.intp], size: tuple[int, ...], spec: PoolSpec) -> Iterator[NDArray[np.intp]]:
    """`rows` cut so that the samples of one piece fit in a modest amount of memory."""
    samples = max(max(spec.output_size) * max(spec.sampling_ratio, 1), 2 * max(size))
    step = max(1, SAMPLES_AT_ONCE // samples)
    return (rows[start : start + step] for start in range(0, len(rows), step))


def _pool_level(out: NDArray[Any], call: PoolCall, level: int, rows: NDArray[np.intp]) -> None:
    feature = call.maps[level]
    boxes = call.boxes[rows]
    across, down = axes_of(call.spec, level, feature.shape[2], feature.shape[3])
    x = axis_weights(boxes[:, 0], boxes[:, 2], across)
    y = axis_weights(boxes[:, 1], boxes[:, 3], down)
    with np.errstate(invalid="ignore", over="ignore"):
        for k, row in enumerate(rows):
            out[row] = _crop(feature[call.batch[row]], y, x, k)


def axes_of(spec: PoolSpec, level: int, height: int, width: int) -> tuple[Axis, Axis]:
    """The x and the y axis of a level of `height` x `width` cells."""
    scale_y, scale_x = spec.spatial_scales[level]
    return (
        Axis(width, scale_x, spec.output_size[1], spec.sampling_ratio, spec.aligned),
        Axis(height, scale_y, spec.output_size[0], spec.sampling_ratio, spec.aligned),
    )


def _crop(image: NDArray[Any], y: AxisWeights, x: AxisWeights, box: int) -> NDArray[Any]:
    """The crop (C, Ho, Wo) of one box out of `image` (C, H, W)."""
    dtype: type[Any] = np.float64 if image.dtype.itemsize == 8 else np.float32
    rows, down = y.band(box)
    columns, across = x.band(box)
    # A fresh contiguous window makes the products, and so the rounding, the same for any strides of the input.
    window: NDArray[Any] = np.array(_window(image, rows, columns), dtype=dtype, order="C")
    lines = _product(down.astype(dtype), window)
    crop = _product(across.astype(dtype), lines.swapaxes(1, 2)).swapaxes(1, 2)
    spoilt = np.flatnonzero(~np.isfinite(crop).all(axis=(1, 2)))
    if spoilt.size:
        # 0 * NaN is NaN: a product over the whole window carries it into bins whose samples do not touch it.
        for p, q in np.ndindex(y.bins, x.bins):
            crop[spoilt, p, q] = _bin(window[spoilt], y.taps(box, p), x.taps(box, q), (rows, columns))
        crop[np.isnan(crop)] = np.nan  # which of its bits come out of a sum depends on where the numbers lie
    return crop


def _product(band: NDArray[Any], maps: NDArray[Any]) -> NDArray[Any]:
    """`band` (bins, n) @ each of `maps` (C, n, m), in strips so small that a BLAS never shares one out to threads.

    A product that is shared out is rounded by the number of threads.
    """
    bins, cells = band.shape
    product = np.zeros((len(maps), bins, maps.shape[2]), maps.dtype)
    step = max(1, PRODUCT_AT_ONCE // max(1, bins * maps.shape[2]))
    for start in range(0, cells, step):
        product += band[:, start : start + step] @ maps[:, start : start + step]
    return product


def _window(image: NDArray[Any], rows: NDArray[np.int32], columns: NDArray[np.int32]) -> NDArray[Any]:
    """The cells of `image` (C, H, W) in the given rows and columns; a view where they are neighbours."""
    for axis, cells in ((1, rows), (2, columns)):
        if len(cells) and cells[-1] - cells[0] + 1 == len(cells):
            image = image[(slice(None),) * axis + (slice(cells[0], cells[-1] + 1),)]
        else:
            image = image.take(cells, axis=axis)
    return image


Tap = tuple[NDArray[np.int32], NDArray[np.float64]]


def _bin(window: NDArray[Any], y: Tap, x: Tap, cells: tuple[NDArray[np.int32], NDArray[np.int32]]) -> NDArray[Any]:
    """One bin (C,) from nothing but the cells that its samples touch."""
    rows, columns = (np.searchsorted(known, taps[0]) for known, taps in zip(cells, (y, x), strict=True))
    down, across = (taps[1].astype(window.dtype) for taps in (y, x))
    # Tap after tap, so that a channel's sum does not depend on how many channels there are.
    lines = np.zeros((len(window), len(columns)), window.dtype)
    for row, weight in zip(rows, down, strict=True):
        lines += window[:, row, columns] * weight
    crop = np.zeros(len(window), window.dtype)
    for column, weight in enumerate(across):
        crop += lines[:, column] * weight
    return crop
