"""Pools one batch: fetches what its boxes touch, a block of channels at a time, and runs the core on it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.backends.call import PoolCall
from msroi_cli.core.backends.dispatch import pool_into, touched_cells
from msroi_cli.core.spec import PoolSpec
from msroi_cli.core.weights import Axis
from msroi_cli.io.features.cached import cached_maps, lost_pages
from msroi_cli.io.features.reading import read_maps, small_maps
from msroi_cli.io.features.source import ArrayMap, MapSource, ReadRequest, RowRanges
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.job.extract.plan import NO_IMAGE, Batch, Plan, Segment
from msroi_cli.job.join.assignment import Assignment

# Rows are left out where that saves this share of them, and of maps that are not tiny.
WORTH_SKIPPING, TINY_MAP = 0.2, 64 << 10


# Channels that the native kernel pools side by side: with fewer it takes as long.
LANES = 16

# Images that are opened in one go. Those whose maps are this small are pooled in one call, which costs more than they.
OPENED_AT_ONCE, SMALL = 256, 4 << 20


class _Image(NamedTuple):
    """The rows that are pooled from one image, and the maps that they take, by level."""

    rows: NDArray[np.int64]
    sources: dict[int, MapSource]


class Pooling(NamedTuple):
    """What is pooled: the boxes of a plan, by a spec, from the levels of an assignment; fill: of other rows."""

    plan: Plan
    spec: PoolSpec
    assignment: Assignment
    fill: float | None = None


class Pooler:
    """Pools batches of one plan, one at a time; every thread has its own, with its own buffers.

    block_bytes: features are read in blocks of channels of about this size, and pooled while they are in the cache.
    seconds: (L,) float64, the time spent on pooling each level so far.
    """

    def __init__(self, pyramid: Pyramid, pooling: Pooling, threads: int, block_bytes: int) -> None:
        self._pyramid = pyramid
        self._plan = pooling.plan
        self._spec = spec = pooling.spec
        self._assignment = pooling.assignment
        self._fill = pooling.fill
        self._threads = threads
        self._block_bytes = block_bytes
        self._memory = np.empty(0, np.uint8)
        self.seconds = np.zeros(len(spec.spatial_scales))

    def pool(self, batch: Batch, out: NDArray[Any]) -> None:
        """Writes the crops of a batch to `out` (k, C, Ho, Wo). Raises InputError or RunError if reading fails."""
        done = 0
        segments = [segment for segment in batch.segments if segment.image != NO_IMAGE]
        opened = 1 if self._pyramid.sequential else OPENED_AT_ONCE
        for first in range(0, len(segments), opened):
            for group in self._groups(self._opened(segments[first : first + opened])):
                rows = np.concatenate([image.rows for image in group])
                for one in self._assignment.passes:
                    self._pool_images(group, rows, one.level, out[done : done + len(rows), one.start : one.stop])
                done += len(rows)
        if done < len(out):
            out[done:] = self._fill

    def _opened(self, segments: Sequence[Segment]) -> list[_Image]:
        levels = [self._assignment.used(self._plan.level[segment.rows].tolist()) for segment in segments]
        wanted = [(segment.image, level) for segment, used in zip(segments, levels, strict=True) for level in used]
        sources = iter(self._pyramid.sources(wanted))
        return [
            _Image(segment.rows, {level: next(sources) for level in used})
            for segment, used in zip(segments, levels, strict=True)
        ]

    def _groups(self, images: Sequence[_Image]) -> Iterator[list[_Image]]:
        """Images, in order, that are pooled in one call: they are small, or stored in the same chunks."""
        group: list[_Image] = []
        size = 0
        for image in images:
            more = sum(source.channel_bytes for source in image.sources.values())
            if group and not self._one_call(group[-1], image, size + more):
                yield group
                group, size = [], 0
            group.append(image)
            size += more
        if group:
            yield group

    def _one_call(self, last: _Image, image: _Image, channel_bytes: int) -> bool:
        """Whether an image joins those up to the `last`; `channel_bytes` are those of a channel of all of them."""
        largest = max(image.sources.values(), key=lambda source: source.channel_bytes)
        if channel_bytes * largest.shape[0] <= min(SMALL, self._block_bytes):
            return True
        if _share_batch_key(last, image):
            return channel_bytes * largest.channels_at_once <= self._block_bytes
        return channel_bytes * largest.shape[0] <= SMALL

    def _pool_images(
        self, group: Sequence[_Image], rows: NDArray[np.int64], only: int | None, out: NDArray[Any]
    ) -> None:
        """The maps of all images are pooled as if they were the levels of one; only: the level, None: the plan's."""
        boxes = self._plan.boxes[rows]
        levels = self._plan.level[rows] if only is None else np.full(len(rows), only)
        maps = sorted(
            (level, number) for number, image in enumerate(group) for level in image.sources if only in (None, level)
        )
        sources = [group[number].sources[level] for level, number in maps]
        numbers = np.zeros((len(self._spec.spatial_scales), len(group)), np.int64)
        numbers[tuple(zip(*maps, strict=True))] = np.arange(len(maps))
        chosen = numbers[levels, np.repeat(np.arange(len(group)), [len(image.rows) for image in group])]
        used = tuple(level for level, _ in maps)
        spec = _of_levels(self._spec, used)
        batch = np.zeros(len(boxes), np.int64)
        seconds = np.zeros(len(maps))
        if whole := small_maps(sources, min(SMALL, self._block_bytes)):
            pool_into(out, PoolCall(whole, batch, boxes, chosen, spec), self._threads, seconds)
            np.add.at(self.seconds, list(used), seconds)
            return
        runs = [
            touched_rows(boxes[chosen == number], spec, number, source) if _not_tiny(source) else [(0, source.shape[1])]
            for number, source in enumerate(sources)
        ]
        step = channels_at_once(sources, self._block_bytes)
        for channel in range(0, out.shape[1], step):
            block = out[:, channel : channel + step]
            lost = lost_pages()
            seen = cached_maps(sources, channel, block.shape[1])
            if seen is not None:
                pool_into(block, PoolCall(seen, batch, boxes, chosen, spec), self._threads, seconds)
            if seen is None or lost_pages() > lost:
                fetched = self._fetched(sources, runs, channel, block.shape[1])
                pool_into(block, PoolCall(fetched, batch, boxes, chosen, spec), self._threads, seconds)
        np.add.at(self.seconds, list(used), seconds)

    def _fetched(self, sources: list[MapSource], runs: list[RowRanges], channel: int, count: int) -> list[NDArray[Any]]:
        """The channels from `channel` on of each map, (1, c, H, W), in a buffer that is used again and again.

        Maps in memory are taken as they are.
        """
        if all(isinstance(source, ArrayMap) for source in sources):
            arrays = [source.array for source in sources if isinstance(source, ArrayMap)]
            return [array[None, channel : channel + count] for array in arrays]
        ends = np.cumsum([count * source.channel_bytes for source in sources]).tolist()
        if ends[-1] > len(self._memory):
            self._memory = np.empty(ends[-1], np.uint8)
        blocks = [
            source.block(self._memory[start:stop].view(source.dtype), count)
            for source, start, stop in zip(sources, [0, *ends], ends, strict=False)
        ]
        read_maps([ReadRequest(*one) for one in zip(sources, blocks, runs, strict=True)], channel)
        return [block[None] for block in blocks]


def _share_batch_key(last: _Image, image: _Image) -> bool:
    return any(
        source.batch_key is not None and level in last.sources and source.batch_key == last.sources[level].batch_key
        for level, source in image.sources.items()
    )


def channels_at_once(sources: Sequence[MapSource], block_bytes: int) -> int:
    """How many channels fit in a block, all maps together, in multiples of what the largest fetch without waste.

    And in multiples of LANES, where as many fit.
    """
    one = sum(source.channel_bytes for source in sources)
    multiple = 1
    for source in sorted(sources, key=lambda source: -source.channel_bytes):
        common = math.lcm(multiple, source.channels_at_once)
        if multiple == 1 or one * common <= block_bytes:
            multiple = common
    step = max(1, block_bytes // (one * multiple)) * multiple
    even = math.lcm(multiple, LANES)
    return step // even * even or step


def _not_tiny(source: MapSource) -> bool:
    return source.shape[0] * source.channel_bytes > TINY_MAP


def touched_rows(boxes: NDArray[np.float32], spec: PoolSpec, level: int, source: MapSource) -> RowRanges:
    """The rows of a level that boxes (K, 4) touch, as runs; the whole map where little would be saved."""
    height = source.shape[1]
    axis = Axis(height, spec.spatial_scales[level][0], spec.output_size[0], spec.sampling_ratio, spec.aligned)
    touched = touched_cells(boxes[:, 1], boxes[:, 3], axis)
    if np.count_nonzero(touched) >= height * (1 - WORTH_SKIPPING):
        return [(0, height)]
    edges = np.flatnonzero(np.diff(touched, prepend=False, append=False))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


@lru_cache(maxsize=64)
def _of_levels(spec: PoolSpec, levels: tuple[int, ...]) -> PoolSpec:
    """The same pooling of a pyramid that has only these levels."""
    return spec._replace(spatial_scales=tuple(spec.spatial_scales[level] for level in levels))
