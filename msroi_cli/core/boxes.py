"""Boxes: the ways to write one, which can be pooled, and why another cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from msroi_cli.core.arrays import slices, view_array
from msroi_cli.errors import ArgumentError

# Beyond this, float32 neighbours lie over 64 pixels apart and sample counts leave the 32-bit integers.
MAX_COORDINATE = 2.0**30

Numbers = NDArray[np.float32] | NDArray[np.float64]

REASONS = ("not finite", "x2 < x1", "y2 < y1", "too far out")


class RowsOfBoxes(Protocol):
    """Boxes (K, 4) float32, some rows at a time: an array, or what works them out when they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> NDArray[np.float32]:
        """The boxes `rows`, (k, 4)."""


def invalid_box_reasons(boxes: RowsOfBoxes) -> NDArray[np.uint8]:
    """Why each box cannot be pooled: 0 if it can, else 1 + the index of the first reason in `REASONS`.

    boxes: (K, 4) float32, x1 y1 x2 y2. A box without area is a good box.
    """
    reasons = np.zeros(len(boxes), np.uint8)
    for rows in slices(len(boxes)):
        some = boxes[rows]
        if _all_good(some):
            continue
        x1, y1, x2, y2 = some.T
        with np.errstate(invalid="ignore"):
            checks = (
                ~np.isfinite(some).all(axis=1),
                x2 < x1,
                y2 < y1,
                (some > MAX_COORDINATE).any(axis=1) | (some < -MAX_COORDINATE).any(axis=1),
            )
        for code, bad in reversed(list(enumerate(checks, start=1))):
            reasons[rows][bad] = code
    return reasons


def _from_xyxy(boxes: Numbers) -> NDArray[np.float64]:
    return boxes.astype(np.float64, copy=False)


def _from_xywh(boxes: Numbers) -> NDArray[np.float64]:
    boxes = _from_xyxy(boxes)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _from_cxcywh(boxes: Numbers) -> NDArray[np.float64]:
    boxes = _from_xyxy(boxes)
    half = boxes[:, 2:] / 2
    with np.errstate(over="ignore", invalid="ignore"):
        return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


# How four numbers may describe a box, and the way from there to (x1, y1, x2, y2), in float64.
BOX_FORMATS: dict[str, Callable[[Numbers], NDArray[np.float64]]] = {
    "xyxy": _from_xyxy,
    "xywh": _from_xywh,
    "cxcywh": _from_cxcywh,
}


def check_boxes(name: str, boxes: ArrayLike) -> NDArray[np.float32]:
    """`boxes` as (K, 4) float32; raises ArgumentError that names the first row that cannot be pooled."""
    array = view_array(name, boxes)
    if array.ndim != 2 or array.shape[1] != 4 or array.dtype.kind not in "fiu":
        raise ArgumentError(f"{name}: expected (K, 4) numbers, got {array.shape} {array.dtype}")
    with np.errstate(over="ignore"):
        rounded = array.astype(np.float32, copy=False)
    if _all_good(rounded):
        return rounded
    reasons = invalid_box_reasons(rounded)
    bad = np.flatnonzero(reasons)
    if bad.size:
        row = int(bad[0])
        corners = ", ".join(f"{side:g}" for side in array[row].tolist())
        raise ArgumentError(
            f"{name}[{row}]: expected a finite box with x1 <= x2 and y1 <= y2, "
            f"got ({corners}): {REASONS[reasons[row] - 1]}"
        )
    return rounded


def _all_good(boxes: NDArray[np.float32]) -> bool:
    """The common case of `invalid_box_reasons`: no number is NaN, too large or out of order."""
    # A NaN is the least and the largest number of all. Columns alone, which NumPy compares faster than pairs of them.
    near = not len(boxes) or bool(boxes.min() >= -MAX_COORDINATE and boxes.max() <= MAX_COORDINATE)
    return near and all(bool((boxes[:, low] <= boxes[:, low + 2]).all()) for low in (0, 1))
