"""Which level of the pyramid a box is pooled from.

Lin et al., "Feature Pyramid Networks for Object Detection" (2017), equation 1: l = floor(l0 + log2(sqrt(w * h) / s0)).
Frameworks evaluate it in float32 with an epsilon of their own, and the level is clipped to those that exist.

The rule only ever steps up as a box grows, so it is kept as the box sizes at which it steps: found once per spec by
bisection of the rule itself, they make an assignment one square root and a few comparisons, which every machine
rounds alike. That is faster than a logarithm a box and does not depend on a libm.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import SupportsFloat, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from msroi_cli.core.arrays import view_array
from msroi_cli.core.boxes import check_boxes
from msroi_cli.core.spec import Compat, PoolSpec, ScaleLike
from msroi_cli.errors import ArgumentError

F32 = np.float32


def assign_levels(
    boxes: ArrayLike,
    spatial_scales: Sequence[ScaleLike],
    *,
    compat: Compat = "lucid",
    canonical_level: SupportsIndex | None = None,
    canonical_scale: SupportsFloat | None = None,
) -> NDArray[np.int64]:
    """The level of each box, as an index into `spatial_scales`.

    boxes: (K, 4) x1 y1 x2 y2, or (K, 5) RoIs with the batch index first; input pixels; rounded to float32.
    spatial_scales: feature pixels per input pixel of each level, finest first.
    Returns (K,) int64. Raises ValueError for boxes that are not finite or are inverted.
    Source: Lin et al. 2017, equation 1, in the rounding of the framework that `compat` names.
    """
    spec = PoolSpec.resolve(
        spatial_scales, 1, compat=compat, canonical_level=canonical_level, canonical_scale=canonical_scale
    )
    array = view_array("boxes", boxes)
    if array.size == 0 and array.ndim < 2:
        array = array.reshape(0, 4)
    if array.ndim == 2 and array.shape[1] == 5:
        array = array[:, 1:]
    return levels_of(check_boxes("boxes", array), spec)


def levels_of(boxes: NDArray[np.float32], spec: PoolSpec) -> NDArray[np.int64]:
    """`assign_levels` for boxes (K, 4) float32 and a spec that are checked already."""
    sizes = box_sizes(boxes)
    levels = np.zeros(len(sizes), np.int64)
    # Of a few bounds, to compare with each is quicker than to search among them.
    for bound in level_bounds(spec):
        levels += sizes >= bound
    return levels


def box_sizes(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """sqrt(w * h) of boxes (K, 4) float32, in float32 and input pixels."""
    sizes: NDArray[np.float32] = boxes[:, 2] - boxes[:, 0]
    sizes *= boxes[:, 3] - boxes[:, 1]
    return np.sqrt(sizes, out=sizes)


def level_bounds(spec: PoolSpec) -> NDArray[np.float32]:
    """The smallest size sqrt(w * h), float32, of each level but the first: (L - 1,), ascending."""
    return _bounds(
        spec.compat, spec.canonical_level, spec.canonical_scale, spec.lowest_level(), len(spec.spatial_scales)
    )


def level_rule(sizes: NDArray[np.float32], spec: PoolSpec) -> NDArray[np.float32]:
    """The rule as the frameworks write it, unclipped: level numbers of sizes sqrt(w * h), both float32."""
    preset = spec.preset
    with np.errstate(divide="ignore"):
        ratio = sizes / F32(spec.canonical_scale) + F32(preset.eps_inside)
        octave = np.log2(ratio.astype(np.float64)).astype(F32)
    numbers: NDArray[np.float32] = np.floor((F32(spec.canonical_level) + octave) + F32(preset.eps_outside))
    return numbers


@lru_cache(maxsize=64)
def _bounds(compat: str, canonical_level: int, canonical_scale: float, lowest: int, count: int) -> NDArray[np.float32]:
    spec = PoolSpec(compat, (1, 1), ((1.0, 1.0),), 0, False, canonical_level, canonical_scale)
    wanted = np.arange(lowest + 1, lowest + count, dtype=F32)
    # Float32 numbers from 0 to infinity are ordered as their bit patterns are; one below that of 0 stands for no size.
    below = np.full(count - 1, -1, np.int32)
    above = np.full(count - 1, F32(np.inf).view(np.int32))
    while np.any(above - below > 1):
        middle = below + (above - below) // 2
        reached = level_rule(middle.view(F32), spec) >= wanted
        above, below = np.where(reached, middle, above), np.where(reached, below, middle)
    bounds = above.view(F32)
    bounds.flags.writeable = False
    return bounds


def check_levels(levels: ArrayLike, boxes: int, count: int) -> NDArray[np.int64]:
    """Levels chosen by the caller, (K,) integers, indices into the pyramid; raises ArgumentError."""
    array = view_array("levels", levels)
    if array.shape != (boxes,) or (boxes and array.dtype.kind not in "iu"):
        raise ArgumentError(f"levels: expected ({boxes},) integers, got {array.shape} {array.dtype}")
    bad = np.flatnonzero((array < 0) | (array >= count))
    if bad.size:
        raise ArgumentError(f"levels[{bad[0]}]: expected 0 to {count - 1}, got {array[bad[0]]}")
    return array.astype(np.int64)
