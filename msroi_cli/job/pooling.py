"""Pools one batch: fetches what its boxes touch, a block of channels at a time, and runs the core on it."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.backends import pool_into, touched_cells
from msroi_cli.core.spec import PoolSpec
from msroi_cli.core.weights import Axis
from msroi_cli.core.work import Work
from msroi_cli.io.maps import MapSource, Runs
from msroi_cli.io.pyramid import Pyramid
from msroi_cli.job.plan import NO_IMAGE, Batch, Plan, Segment

# Rows are left out where that saves this share of them, and of maps that are not tiny.
WORTH_SKIPPING, TINY_MAP = 0.2, 64 << 10


class Pooler:
    """Pools batches of one plan, one at a time; every thread has its own, with its own buffers.

    block_bytes: features are fetched in blocks of channels of about this size, and pooled while they are in the cache.
    seconds: (L,) float64, the time spent on pooling each level so far.
    """

    def __init__(
        self, pyramid: Pyramid, plan: Plan, spec: PoolSpec, fill: float | None, threads: int, block_bytes: int
    ) -> None:
        self._pyramid = pyramid
        self._plan = plan
        self._spec = spec
        self._fill = fill
        self._threads = threads
        self._block_bytes = block_bytes
        self._memory = np.empty(0, np.uint8)
        self.seconds = np.zeros(len(spec.spatial_scales))

    def pool(self, batch: Batch, out: NDArray[Any]) -> None:
        """Writes the crops of a batch to `out` (k, C, Ho, Wo). Raises InputError or RunError if reading fails."""
        start = 0
        for segment in batch.segments:
            stop = start + len(segment.rows)
            if segment.image == NO_IMAGE:
                out[start:stop] = self._fill
            else:
                self._pool_image(segment, out[start:stop])
            start = stop

    def _pool_image(self, segment: Segment, out: NDArray[Any]) -> None:
        boxes = self._plan.boxes[segment.rows]
        levels = self._plan.level[segment.rows]
        used = np.flatnonzero(np.bincount(levels))
        level = np.searchsorted(used, levels)
        spec = _of_levels(self._spec, tuple(used.tolist()))
        sources = [self._pyramid.source(segment.image, index) for index in used.tolist()]
        runs = [touched_runs(boxes[level == index], spec, index, source) for index, source in enumerate(sources)]
        batch = np.zeros(len(boxes), np.int64)
        seconds = np.zeros(len(used))
        step = channels_at_once(sources, self._block_bytes)
        for channel in range(0, out.shape[1], step):
            block = out[:, channel : channel + step]
            maps = self._fetched(sources, runs, channel, block.shape[1])
            pool_into(block, Work(maps, batch, boxes, level, spec), self._threads, seconds)
        self.seconds[used] += seconds

    def _fetched(self, sources: list[MapSource], runs: list[Runs], channel: int, count: int) -> list[NDArray[Any]]:
        """The channels from `channel` on of each level, (1, c, H, W), in a buffer that is used again and again."""
        sizes = [count * source.shape[1] * source.shape[2] * source.dtype.itemsize for source in sources]
        if sum(sizes) > len(self._memory):
            self._memory = np.empty(sum(sizes), np.uint8)
        maps, start = [], 0
        for source, rows, size in zip(sources, runs, sizes, strict=True):
            block = self._memory[start : start + size].view(source.dtype).reshape(count, *source.shape[1:])
            source.read_into(block, channel, rows)
            maps.append(block[None])
            start += size
        return maps


def channels_at_once(sources: list[MapSource], block_bytes: int) -> int:
    """How many channels fit in a block, all levels together, in multiples of what each source fetches without waste."""
    multiple = math.lcm(*(source.channels_at_once for source in sources))
    one = sum(source.shape[1] * source.shape[2] * source.dtype.itemsize for source in sources)
    return max(1, block_bytes // (one * multiple)) * multiple


def touched_runs(boxes: NDArray[np.float32], spec: PoolSpec, level: int, source: MapSource) -> Runs:
    """The rows of a level that boxes (K, 4) touch, as runs; the whole map where little would be saved."""
    channels, height, width = source.shape
    if channels * height * width * source.dtype.itemsize <= TINY_MAP:
        return [(0, height)]
    axis = Axis(height, spec.spatial_scales[level][0], spec.output_size[0], spec.sampling_ratio, spec.aligned)
    touched = touched_cells(boxes[:, 1], boxes[:, 3], axis)
    if np.count_nonzero(touched) >= height * (1 - WORTH_SKIPPING):
        return [(0, height)]
    edges = np.flatnonzero(np.diff(touched, prepend=False, append=False))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


@lru_cache(maxsize=64)
def _of_levels(spec: PoolSpec, levels: tuple[int, ...]) -> PoolSpec:
    """The same pooling of a pyramid that has only these levels."""
    return replace(spec, spatial_scales=tuple(spec.spatial_scales[level] for level in levels))
