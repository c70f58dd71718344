"""What an extract job will do, worked out before it starts: pure, arrays in, arrays and batches out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.arrays import run_ends, slices
from msroi_cli.core.levels import levels_of
from msroi_cli.core.spec import PoolSpec
from msroi_cli.io.numbers import Indices, index_type

# A job is resumed only by the same version of the plan.
PLAN_VERSION = 2

NO_IMAGE = -1


class Segment(NamedTuple):
    """Boxes of one image, or of NO_IMAGE, which are not pooled: `rows` (k,) int64, ascending."""

    image: int
    rows: NDArray[np.int64]


class Batch(NamedTuple):
    """The work that is done, written and recorded in one go: `segments` of different images, one after the other."""

    number: int
    segments: tuple[Segment, ...]

    @property
    def rows(self) -> NDArray[np.int64]:
        """The rows of all segments, (k,) int64."""
        return np.concatenate([segment.rows for segment in self.segments])


class BatchSize(NamedTuple):
    """How many rows a batch has.

    target_rows: a batch is closed at the end of the image that brings it to this many rows.
    limit: no batch has more; an image is split only where it alone has more.
    multiple: batches begin at multiples of this many rows, also within an image; `limit` is one of them.
    images: images from one multiple of this to the next count as one, unless together they have more than `limit` rows.
    """

    target_rows: int
    limit: int
    multiple: int = 1
    images: int = 1


@dataclass(slots=True, eq=False)
class Plan:
    """The rows of the output, K of them, in the order of the box file.

    boxes: (K, 4) float32, input pixels. image: (K,), -1 unknown. level: (K,) int8, -1 where nothing is pooled.
    box_index: (K,), the number of the box. pooled: (K,) bool.
    order: (K,), the rows that are pooled by image and within an image ascending, then the others ascending.
    """

    boxes: NDArray[np.float32]
    image: Indices
    level: NDArray[np.int8]
    box_index: Indices
    pooled: NDArray[np.bool_]
    order: Indices

    def __len__(self) -> int:
        return len(self.boxes)

    def of_images(self, start: int, stop: int, unknown: bool) -> Plan:
        """The rows of the images from `start` to `stop`, and, if asked, of unknown images, in their order."""
        rows = np.flatnonzero(((self.image >= start) & (self.image < stop)) | (unknown & (self.image < 0)))
        image, pooled = self.image[rows], self.pooled[rows]
        order = _working_order(image, pooled, _every(len(rows)))
        return Plan(self.boxes[rows], image, self.level[rows], self.box_index[rows], pooled, order)

    def has_all_of(self, count: int) -> bool:
        """Whether the rows are `count` boxes, as they come."""
        return len(self) == count and bool((self.box_index[1:] > self.box_index[:-1]).all())

    def images(self) -> NDArray[np.int64]:
        """The images that have boxes to pool, ascending."""
        used = np.zeros(int(self.image.max(initial=-1)) + 1, np.bool_)
        for rows in slices(len(self)):
            pooled = self.pooled[rows]
            used[run_ends(self.image[rows] if pooled.all() else self.image[rows][pooled])] = True
        return np.flatnonzero(used)

    def in_order(self) -> bool:
        """Whether rows are worked on in the order in which they are written."""
        return bool((self.order[1:] > self.order[:-1]).all())

    def batches(self, size: BatchSize) -> Iterator[Batch]:
        """The batches, always the same for the same plan and size.

        Every row is in exactly one segment of exactly one batch, and the rows of all batches one after the other are
        `order`. Every segment has rows of one image only. No batch is empty or has more than `limit` rows. Where
        `multiple` is 1, an image lies in more than one batch only if it has more than `limit` rows or fills up a batch.
        """
        image = self._image_in_order()
        edges = _ends(image)
        groups = edges if size.images == 1 else _ends(image // size.images)
        start = number = 0
        while start < len(image):
            stop = _stop(start, edges, groups, size)
            inner = edges[np.searchsorted(edges, start, "right") : np.searchsorted(edges, stop, "left")]
            cuts = [start, *inner.tolist(), stop]
            rows = self.order[start:stop].astype(np.int64)
            yield Batch(
                number,
                tuple(Segment(int(image[first]), rows[first - start : last - start]) for first, last in pairwise(cuts)),
            )
            start, number = stop, number + 1

    def _image_in_order(self) -> Indices:
        """The images of the rows in working order, NO_IMAGE for those that are not pooled."""
        if self.pooled.all():
            return self.image if self.in_order() else self.image[self.order]
        return np.where(self.pooled, self.image, self.image.dtype.type(NO_IMAGE))[self.order]


def _ends(values: Indices) -> NDArray[np.int64]:
    """Where runs of equal values end."""
    return np.append(np.flatnonzero(values[1:] != values[:-1]) + 1, len(values))


def _last(ends: NDArray[np.int64], limit: int) -> int:
    """The last of the ascending `ends` that is at most `limit`; 0 if there is none."""
    count = int(np.searchsorted(ends, limit, "right"))
    return int(ends[count - 1]) if count else 0


def _stop(start: int, edges: NDArray[np.int64], groups: NDArray[np.int64], size: BatchSize) -> int:
    """Where the batch that begins at `start` ends; `edges` are the ends of images, `groups` some of them."""
    stop = int(groups[min(int(np.searchsorted(groups, start + size.target_rows)), len(groups) - 1)])
    if stop > start + size.limit:
        last = (_last(ends, start + size.limit) for ends in (groups, edges))
        stop = next((end for end in last if end > start), start + size.limit)
    if stop < edges[-1]:
        stop = max(stop // size.multiple, start // size.multiple + 1) * size.multiple
    return min(stop, int(edges[-1]))


def make_plan(
    boxes: NDArray[np.float32],
    image: Indices,
    good: NDArray[np.bool_],
    spec: PoolSpec,
    drop: bool,
    by_image: bool = False,
) -> Plan:
    """The plan for boxes (K, 4) of the images `image`, of which those that are not `good` (K,) are not pooled.

    drop: leave such boxes out of the output altogether. by_image: rows image after image, within an image as they
    come, unknown images last; else all as they come.
    """
    every = _every(len(boxes))
    kept = every[good] if drop and not good.all() else every
    if by_image and not ((image[1:] >= image[:-1]).all() and image.min(initial=0) >= 0):
        kept = kept[np.argsort(np.where(image < 0, np.iinfo(image.dtype).max, image)[kept], kind="stable")]
    if kept is not every:
        boxes, image, good = boxes[kept], image[kept], good[kept]
    level = np.full(len(kept), -1, np.int8)
    for rows in slices(len(kept)):
        some: NDArray[np.bool_] | slice = slice(None) if good[rows].all() else good[rows]
        level[rows][some] = levels_of(boxes[rows][some], spec)
    return Plan(boxes, image, level, kept, good, _working_order(image, good, every[: len(kept)]))


def _every(count: int) -> Indices:
    """The numbers of all rows, ascending."""
    return np.arange(count, dtype=index_type(count))


def _working_order(image: Indices, pooled: NDArray[np.bool_], every: Indices) -> Indices:
    """The rows that are pooled by image and within an image ascending, then the others ascending; (K,).

    every: all rows, ascending, which it often is.
    """
    if pooled.all():
        sorted_already = (image[1:] >= image[:-1]).all()
        return every if sorted_already else np.argsort(image, kind="stable").astype(every.dtype)
    rows = every[pooled]
    return np.concatenate([rows[np.argsort(image[rows], kind="stable")], every[~pooled]])
