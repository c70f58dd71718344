"""How a job keeps within its memory: the rows of a batch, the bytes of a block of features, the number of workers."""

from __future__ import annotations

import math
from typing import NamedTuple

from msroi_cli.core.spec import PoolSpec
from msroi_cli.io.crops.schema import CropsHeader
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.job.extract.plan import BatchSize, Plan

# Batches are so large that records and fsyncs do not count, and so small that there are some to share out.
SMALLEST_BATCH, LARGEST_BATCH, BATCHES_AT_LEAST = 4 << 20, 16 << 20, 32

# Of crops of a few bytes a batch is no larger: what is worked out for a row takes more than they.
MOST_ROWS = 1 << 16

# Of maps that a model makes, a batch of crops is some images: what a kill loses is made again by the model.
SEQUENTIAL_BATCH = 1 << 20


# Features are pooled while they are in the cache; more of them only where chunks would else be decoded twice.
LARGEST_BLOCK = 48 << 20


class Budget(NamedTuple):
    """How a job keeps within its memory.

    batch: the rows of a batch. block: bytes of features that a worker holds. workers: how many may work at once.
    ahead: bytes of maps that are made ahead of their use, if that is how they are had.
    """

    batch: BatchSize
    block: int
    workers: int
    ahead: int = 0

    @classmethod
    def of(cls, memory: int, header: CropsHeader, plan: Plan, spec: PoolSpec, pyramid: Pyramid) -> Budget:
        """Splits `memory` bytes: an eighth for the crops of a worker at most, and as much for its features.

        It is a quarter each where images are stored together. Half of it is for maps that are made while they are
        pooled: one worker takes them, and a batch is small, as making its maps again would take long.
        """
        row = max(1, header.shape[1] * math.prod(spec.output_size) * header.dtype.itemsize)
        if pyramid.sequential:
            multiple = header.compression.rows if header.compression else 1
            limit = max(1, memory // 8 // row // multiple) * multiple
            size = BatchSize(max(1, min(SEQUENTIAL_BATCH // row, limit)), limit, multiple)
            return cls(size, LARGEST_BLOCK, 1, memory // 2)
        images, group_bytes = _images_at_once(pyramid, memory // 4)
        share = memory // 8 if images == 1 else memory // 4
        multiple = header.compression.rows if header.compression else 1
        limit = max(1, share // row // multiple) * multiple
        total = row * len(plan)
        target_rows = min(max(total // BATCHES_AT_LEAST, SMALLEST_BATCH), LARGEST_BATCH) // row
        target_rows = min(target_rows, MOST_ROWS)
        block = min(max(LARGEST_BLOCK, group_bytes), share)
        workers = memory // (min(limit * row, max(total, 1)) + max(block, group_bytes))
        return cls(BatchSize(max(1, min(target_rows, limit)), limit, multiple, images), block, max(1, workers))


def _images_at_once(pyramid: Pyramid, most: int) -> tuple[int, int]:
    """How many images are stored together, and the bytes of the fewest channels of them that are fetched without waste.

    Of all levels, or of as many of the largest as let this be at most `most` bytes.
    """
    levels = pyramid.sources([(pyramid.sample_image, level) for level in range(len(pyramid.levels))])
    one = sum(level.channel_bytes for level in levels)
    images = channels = 1
    for level in sorted(levels, key=lambda level: -level.channel_bytes):
        wider = math.lcm(images, level.images_at_once), math.lcm(channels, level.channels_at_once)
        if channels == 1 or math.prod(wider) * one <= most:
            images, channels = wider
    return images, images * channels * one
