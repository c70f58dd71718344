"""What an extract job will do, worked out before it starts: pure, arrays in, arrays and batches out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.levels import levels_of
from msroi_cli.core.spec import PoolSpec


@dataclass(frozen=True, slots=True)
class Batch:
    """Boxes of one image that are pooled together: `rows` (k,) int64, ascending."""

    image: int
    rows: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Plan:
    """The rows of the output, K of them, in the order of the box file.

    boxes: (K, 4) float32, input pixels. image: (K,) int64, -1 unknown. level: (K,) int64, -1 where nothing is pooled.
    box_index: (K,) int64, the row in the box file. pooled: (K,) bool.
    order: the rows that are pooled, by image and within an image ascending.
    """

    boxes: NDArray[np.float32]
    image: NDArray[np.int64]
    level: NDArray[np.int64]
    box_index: NDArray[np.int64]
    pooled: NDArray[np.bool_]
    order: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.boxes)

    def images(self) -> NDArray[np.int64]:
        """The images that have boxes to pool, ascending."""
        return np.unique(self.image[self.order])

    def batches(self, rows_at_once: int) -> Iterator[Batch]:
        """Batches of at most `rows_at_once` rows of one image.

        Every pooled row is in exactly one batch; images ascend, and so do the rows of an image.
        """
        image = self.image[self.order]
        edges = np.flatnonzero(np.diff(image)) + 1
        starts = np.concatenate([np.zeros(min(1, len(image)), np.int64), edges])
        for start, stop in zip(starts, np.append(starts[1:], len(image)), strict=True):
            for first in range(start, stop, rows_at_once):
                yield Batch(int(image[start]), self.order[first : min(first + rows_at_once, stop)])


def make_plan(
    boxes: NDArray[np.float32], image: NDArray[np.int64], good: NDArray[np.bool_], spec: PoolSpec, drop: bool
) -> Plan:
    """The plan for boxes (K, 4) of the images `image`, of which those that are not `good` (K,) are not pooled.

    drop: leave such boxes out of the output altogether.
    """
    kept = np.flatnonzero(good) if drop else np.arange(len(boxes))
    boxes, image, good = boxes[kept], image[kept], good[kept]
    level = np.full(len(kept), -1, np.int64)
    level[good] = levels_of(boxes[good], spec)
    rows = np.flatnonzero(good)
    order = rows[np.argsort(image[rows], kind="stable")]
    return Plan(boxes, image, level, kept, good, order)
