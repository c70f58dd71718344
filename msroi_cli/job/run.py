"""Runs an extraction: reads the features of one image after the other, pools its boxes and writes the crops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.backends import pool_into
from msroi_cli.core.stats import CropStats
from msroi_cli.core.work import Work
from msroi_cli.io.crops import CropsWriter, crops_writer
from msroi_cli.job.plan import Batch
from msroi_cli.job.prepare import Extraction
from msroi_cli.job.summary import Summary, summarize

CROP_BYTES_AT_ONCE = 64 << 20

Progress = Callable[[int], None]


def check_levels(job: Extraction) -> None:
    """Checks the levels of every image that has boxes, without reading them; raises InputError."""
    for image in job.plan.images().tolist():
        job.pyramid.shapes(image)


def extract(job: Extraction, progress: Progress) -> Summary:
    """Pools every box of `job` and writes the output, which appears under its name when it is whole.

    progress is called with the number of boxes just done. Raises InputError, UsageError or RunError.
    """
    started = perf_counter()
    stats = CropStats.empty(job.header.levels)
    seconds = np.zeros(job.header.levels)
    with crops_writer(job.request.out, job.header, job.request.overwrite) as writer:
        _write_invalid(job, writer, progress)
        for batch, crops in _pooled(job, seconds):
            writer.write(batch.rows, crops)
            stats.add(CropStats.of(crops, job.plan.level[batch.rows], job.header.levels))
            progress(len(batch.rows))
        summary = _summary(job, stats, seconds)
        writer.finish(summary.records())
    return replace(summary, elapsed=perf_counter() - started)


def _summary(job: Extraction, stats: CropStats, seconds: NDArray[np.float64]) -> Summary:
    plan = job.plan
    levels, total = summarize(plan.boxes[plan.pooled], plan.level[plan.pooled], stats, seconds)
    return Summary(
        names=[level.name for level in job.pyramid.levels],
        strides=[(1 / y, 1 / x) for y, x in job.spec.spatial_scales],
        levels=levels,
        total=total,
        invalid=job.invalid,
        elapsed=0.0,
    )


def _rows_at_once(job: Extraction) -> int:
    return max(1, CROP_BYTES_AT_ONCE // max(1, job.header.row_bytes))


def _pooled(job: Extraction, seconds: NDArray[np.float64]) -> Iterator[tuple[Batch, NDArray[Any]]]:
    """Every batch with its crops, which are good until the next one."""
    plan = job.plan
    rows_at_once = _rows_at_once(job)
    crops = np.empty((min(rows_at_once, len(plan)), *job.header.shape[1:]), job.header.dtype)
    image, maps = -1, []
    for batch in plan.batches(rows_at_once):
        if batch.image != image:
            image, maps = batch.image, job.pyramid.read(batch.image)
        rows = batch.rows
        work = Work(maps, np.zeros(len(rows), np.int64), plan.boxes[rows], plan.level[rows], job.spec)
        pool_into(crops[: len(rows)], work, job.request.threads, seconds)
        yield batch, crops[: len(rows)]


def _write_invalid(job: Extraction, writer: CropsWriter, progress: Progress) -> None:
    """Writes the crops of boxes that cannot be pooled."""
    rows = np.flatnonzero(~job.plan.pooled)
    step = _rows_at_once(job)
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        writer.write(some, np.full((len(some), *job.header.shape[1:]), job.fill, job.header.dtype))
        progress(len(some))
