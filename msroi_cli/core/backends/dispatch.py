"""Who does the arithmetic: the backends by name, each with the signature of `pool_into`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.backends import numpy_pool
from msroi_cli.core.backends.call import PoolCall
from msroi_cli.core.backends.environment import backend_name, choose_isa, default_threads
from msroi_cli.core.stats import CropMoments, CropStats
from msroi_cli.core.weights import Axis, axis_weights, spans
from msroi_cli.extension import NATIVE, native

EXACT_BOXES = 64

Backend = Callable[[NDArray[Any], PoolCall, "int | None", NDArray[np.float64]], None]


def native_pool(out: NDArray[Any], call: PoolCall, threads: int | None, seconds: NDArray[np.float64]) -> None:
    """Writes the crops (K, C, Ho, Wo) of `call` to `out` and adds the time taken to `seconds` (L,)."""
    choose_isa()
    spec = call.spec
    rois = (call.batch, call.boxes, call.levels)
    model = (spec.spatial_scales, spec.output_size, spec.sampling_ratio, spec.aligned)
    native.pool(out, call.maps, rois, model, threads or default_threads(), seconds)


BACKENDS: dict[str, Backend] = {"native": native_pool} if NATIVE else {}
BACKENDS["numpy"] = numpy_pool.pool


def pool_into(
    out: NDArray[Any], call: PoolCall, threads: int | None = None, seconds: NDArray[np.float64] | None = None
) -> None:
    """Writes the crops of `call` to `out` (K, C, Ho, Wo), any float dtype and strides.

    seconds: (L,) float64 to which the time spent on each level is added, summed over threads.
    """
    clock = np.zeros(len(call.maps)) if seconds is None else seconds
    BACKENDS[backend_name()](out, call, threads, clock)


def touched_cells(low: NDArray[np.float32], high: NDArray[np.float32], axis: Axis) -> NDArray[np.bool_]:
    """Which of the cells along `axis` any of the boxes from `low` to `high`, each (K,) float32, takes a value from.

    Where boxes are too many for their weights to be worth working out, the cells between taps count as touched.
    """
    if len(low) > EXACT_BOXES:
        return spans(low, high, axis)
    touched = np.zeros(axis.size, np.bool_)
    if backend_name() == "native":
        _, cells, _ = native.axis_weights(
            low, high, axis.size, axis.scale, axis.bins, axis.sampling_ratio, axis.aligned
        )
        touched[np.frombuffer(cells, np.int32)] = True
    else:
        touched[axis_weights(low, high, axis).cell] = True
    return touched


def moments_of(crops: NDArray[Any]) -> CropMoments:
    """The moments of each of `crops` (K, ...), C-contiguous."""
    if backend_name() != "native":
        return CropMoments.of(crops)
    choose_isa()
    rows = _rows(crops)
    counts, values = _room_for_moments(len(rows))
    native.row_moments(counts, values, rows)
    return _moments(counts, values)


def digests_of(crops: NDArray[Any]) -> tuple[CropMoments, NDArray[np.uint32] | None]:
    """The moments of each of `crops` (K, ...), C-contiguous in native byte order, and with them its CRC32, (K,).

    None for checksums where they would take a pass of their own.
    """
    if backend_name() != "native":
        return CropMoments.of(crops), None
    choose_isa()
    rows = _rows(crops)
    counts, values = _room_for_moments(len(rows))
    checksums = np.empty(len(rows), np.uint32)
    native.row_digests(counts, values, checksums, rows)
    return _moments(counts, values), checksums


def _rows(crops: NDArray[Any]) -> NDArray[Any]:
    """`crops` (K, M), in native byte order."""
    return crops.reshape(len(crops), math.prod(crops.shape[1:])).astype(crops.dtype.newbyteorder("="), copy=False)


def _room_for_moments(rows: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    return np.empty((rows, 3), np.int64), np.empty((rows, 4))


def _moments(counts: NDArray[np.int64], values: NDArray[np.float64]) -> CropMoments:
    mean, squares, low, high = values.T
    return CropMoments(counts[:, 0], mean, squares, low, high, counts[:, 1], counts[:, 2])


def stats_of(crops: NDArray[Any], levels: NDArray[np.int64], count: int) -> CropStats:
    """The statistics of `crops` (K, ...), C-contiguous; crop k was pooled from level `levels[k]` of `count`."""
    return CropStats.of_moments(moments_of(crops), levels, count)
