"""Where labels of boxes go, so that none lies on another and few lines are hidden."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# More labels hide what they are of. So many boxes are tried: where they crowd, the rest has no room either.
MOST, TRIED = 100, 1000
# What a place is worth more than the next usual one, in pixels of lines hidden.
PREFERENCE = 3.0
# A label may not hide more of the outline of any box than this.
MOST_HIDDEN = 0.5


def placed(
    boxes: NDArray[np.float64], sizes: NDArray[np.float64], area: tuple[float, float], order: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The top left corners (K, 2) of labels of boxes (K, 4), pixels; NaN where there is no room.

    sizes: (K, 2), the width and height of each label. area: (width, height) that labels lie within. order: the boxes
    that are labelled, the most important first, MOST at most. Labels touch their box and never overlap; of the places
    that are left the one is taken that hides the fewest lines.
    """
    corners = np.full((len(boxes), 2), np.nan)
    limits = np.tile(area, 2)
    # Lines are drawn at whole pixels.
    inside = np.rint(np.clip(np.nan_to_num(boxes, posinf=0.0, neginf=0.0), 0, limits), dtype=np.float64)
    taken = np.empty((0, 4))
    for row in order[:TRIED].tolist():
        if len(taken) == MOST:
            break
        box, size = inside[row], sizes[row]
        if not np.isfinite(boxes[row]).all() or (size > area).any():
            continue
        places = _places(box, size, np.asarray(area))
        rectangles = np.column_stack([places, places + size])
        free = ~_overlap(rectangles, taken).any(axis=1)
        if not free.any():
            continue
        hidden, share = _hidden(rectangles[free], _near(inside, rectangles))
        usual = PREFERENCE * np.flatnonzero(free)
        cost = hidden.sum(axis=1) + usual + 1e6 * (share > MOST_HIDDEN).any(axis=1)
        best = int(cost.argmin())
        if cost[best] < 1e6:
            corners[row] = places[free][best]
            taken = np.concatenate([taken, rectangles[free][best][None]])
    return corners


def _places(box: NDArray[np.float64], size: NDArray[np.float64], area: NDArray[np.float64]) -> NDArray[np.float64]:
    """The corners (P, 2) where a label may be, the most usual first: outside at the corners and sides, then inside."""
    (left, top, right, bottom), (width, height) = box, size
    center = (left + right - width) / 2
    places = [
        *((x, top - height) for x in (left, right - width, center)),
        *((x, bottom) for x in (left, right - width, center)),
        *((x, y) for x in (right, left - width) for y in (top, bottom - height, (top + bottom - height) / 2)),
        *((x, y) for y in (top, bottom - height) for x in (left, right - width)),
    ]
    corners: NDArray[np.float64] = np.clip(np.round(places), 0, area - size)
    return corners


def _overlap(some: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of `some` (P, 4) and `others` (Q, 4) have more in common than an edge, (P, Q)."""
    a, b = some[:, None], others[None]
    apart = (a[..., :2] >= b[..., 2:]) | (a[..., 2:] <= b[..., :2])
    overlap: NDArray[np.bool_] = np.logical_not(apart.any(axis=-1))
    return overlap


def _near(boxes: NDArray[np.float64], rectangles: NDArray[np.float64]) -> NDArray[np.float64]:
    """The boxes (k, 4) of which rectangles (P, 4) may hide a line."""
    low, high = rectangles[:, :2].min(axis=0), rectangles[:, 2:].max(axis=0)
    near: NDArray[np.float64] = boxes[((boxes[:, 2:] >= low) & (boxes[:, :2] <= high)).all(axis=1)]
    return near


def _hidden(
    rectangles: NDArray[np.float64], boxes: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How many pixels of the outlines of boxes (K, 4) lie inside rectangles (P, 4), and which share: (P, K) each."""
    a, b = rectangles[:, None], boxes[None]
    length = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    hidden = np.zeros(length.shape[:2])
    for side in range(4):
        axis = side % 2
        crosses = (a[..., axis] < b[..., side]) & (b[..., side] < a[..., axis + 2])
        hidden += crosses * length[..., 1 - axis]
    outline = 2 * (boxes[:, 2:] - boxes[:, :2]).sum(axis=1)
    return hidden, hidden / np.maximum(outline, 1)
