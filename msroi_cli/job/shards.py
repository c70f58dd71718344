"""Which images belong to which shard: whole images, in order, balanced by work, the same on every machine.

Everything is in integers, so that no machine rounds differently.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.arrays import slices
from msroi_cli.errors import UsageError
from msroi_cli.io.numbers import Indices

MAX_SHARDS = 99_999

# Runs of so many boxes and more on average are looked at run by run.
FEW_RUNS = 8


@dataclass(frozen=True, slots=True)
class Shard:
    """Shard `index` of `count`, counted from 1."""

    index: int
    count: int

    def __post_init__(self) -> None:
        """Raises UsageError unless 1 <= index <= count <= MAX_SHARDS."""
        if not 1 <= self.count <= MAX_SHARDS:
            raise UsageError(f"--shard: expected 1 to {MAX_SHARDS:,} shards, got {self.count}")
        if not 1 <= self.index <= self.count:
            raise UsageError(f"--shard: expected a shard from 1 to {self.count}, got {self.index}")

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def bounds(work: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Where each of `count` shards begins and ends among images with `work` (N,), 0 or more: (count + 1,) int64.

    Shard k (from 0) has the images bounds[k] to bounds[k + 1]. The bounds ascend from 0 to N. The work before bound k
    is the nearest to k / count of all work from above, so no shard has more than its share and one image.
    """
    done = np.concatenate([[0], np.cumsum(work, dtype=np.int64)])
    total = int(done[-1])
    # The smallest number of images that have at least this much work between them.
    targets = np.array([-(-total * shard // count) for shard in range(1, count)], np.int64)
    inner = np.searchsorted(done, targets, side="left")
    return np.concatenate([[0], inner, [len(work)]]).astype(np.int64)


def image_work(
    image: Indices, level: NDArray[np.int8], level_bytes: NDArray[np.int64], row_bytes: int, images: int
) -> NDArray[np.int64]:
    """The work of each of `images` images, and of the boxes of unknown images as one more: (images + 1,) bytes.

    image: (K,), -1 for an unknown image. level: (K,) int8, -1 where nothing is pooled. level_bytes: (L,), the
    features of a typical image. Counted are the features of every level that an image uses, and its crops.
    """
    place = image if image.min(initial=0) >= 0 else np.where(image >= 0, image, images)
    boxes = np.zeros(images + 1, np.int64)
    used = np.zeros((images + 1, len(level_bytes)), np.bool_)
    for rows in slices(len(place)):
        some, levels = place[rows], level[rows]
        # Runs of boxes of one image, which are few where boxes are image after image.
        starts = np.flatnonzero(np.append(True, some[1:] != some[:-1]))
        np.add.at(boxes, some[starts], np.diff(starts, append=len(some)))
        if len(starts) > len(some) // FEW_RUNS:
            pooled = levels >= 0
            used[some[pooled], levels[pooled]] = True
            continue
        for number in range(len(level_bytes)):
            used[some[starts[np.logical_or.reduceat(levels == number, starts)]], number] = True
    return boxes * row_bytes + used @ level_bytes
