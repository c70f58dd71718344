"""Runs an extraction: workers fetch, pool and write batches at the same time; what is on the disk is recorded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterator, Sequence
from itertools import chain, islice
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.backends.dispatch import digests_of
from msroi_cli.core.backends.environment import default_threads
from msroi_cli.core.reduce import REDUCTIONS
from msroi_cli.core.stats import CropStats
from msroi_cli.errors import InputError, StoppedError, UnlistedLinkError
from msroi_cli.io.crops.output import crops_writer, is_done
from msroi_cli.io.crops.reader import Crops
from msroi_cli.io.crops.record import BatchRecord, NonfiniteRows
from msroi_cli.io.crops.schema import Results
from msroi_cli.io.crops.writer import CropsWriter
from msroi_cli.io.files.atomic import check_room, failures_named
from msroi_cli.io.files.checksum import row_checksums
from msroi_cli.job.extract.plan import NO_IMAGE, Batch
from msroi_cli.job.extract.pooling import Pooler, Pooling
from msroi_cli.job.extract.prepare import Extraction, relisted
from msroi_cli.job.join.geometry import CHECKED_FIRST, checked_sizes, expected
from msroi_cli.job.summary import Summary, moments_records, summarize
from msroi_cli.job.validate.findings import Finding
from msroi_cli.job.validate.nonfinite import Rows, nonfinite_error, nonfinite_findings, nonfinite_rows

if TYPE_CHECKING:
    from concurrent.futures import Future

Progress = Callable[[int], None]
Stop = Callable[[], int]


def check(job: Extraction, images: int | None = None) -> None:
    """Checks the levels of the first `images` images that have boxes, or of all, and that the output has room.

    Their sizes must not contradict their strides.

    Nothing is read. Raises InputError or RunError.
    """
    for number, image in enumerate(expected(job.pyramid, job.plan.images()[:images].tolist())):
        job.pyramid.check(image)
        if number == 0 or job.pyramid.layout != "batched":
            checked_sizes(job.pyramid, image)
    # A dry run does not make the folder of parts.
    path = job.output.path if job.output.path.parent.exists() else job.request.out
    check_room(path, len(job.plan) * job.header.row_bytes)


def extract(job: Extraction, progress: Progress, stop: Stop = lambda: 0) -> Summary | None:
    """Pools every box of `job` and writes the output, which appears under its name when it is whole.

    progress is called with the number of boxes just done, those of an earlier run included. stop is asked after every
    batch for the number of a signal to stop, 0 for none. Returns None if the output was whole already.
    Raises InputError, UsageError, RunError or StoppedError.
    """
    done = 0

    def note(boxes: int) -> None:
        nonlocal done
        done += boxes
        progress(boxes)

    try:
        return _extract(job, note, stop)
    except UnlistedLinkError:
        return _extract(relisted(job), _beyond(done, progress), stop)


def _beyond(done: int, progress: Progress) -> Progress:
    """Reports boxes to `progress` once more than `done` of them, which it has been called with, are done again."""

    def note(boxes: int) -> None:
        nonlocal done
        again = min(done, boxes)
        done -= again
        if boxes > again:
            progress(boxes - again)

    return note


def _extract(job: Extraction, progress: Progress, stop: Stop) -> Summary | None:
    """As `extract`; raises UnlistedLinkError where a file is read that the job's sources do not list."""
    started = perf_counter()
    if job.pyramid.links is not None:
        job.pyramid.links.close_list()
    if job.header.part is not None:
        with failures_named(job.request.out):
            job.request.out.mkdir(exist_ok=True)
    if is_done(job.output):
        _refuse_whole(job)
        return None
    check(job, CHECKED_FIRST)
    with crops_writer(job.output) as writer:
        writer.keep_sound(_batches(job, stop, writer))
        _refuse_nonfinite(job, writer)
        done = {record.batch for record in writer.records}
        progress(sum(record.rows for record in writer.records))
        workers = _Workers(job, writer)
        with job.pyramid.reading(_images_left(job, done), job.budget.ahead):
            batches = (batch for batch in job.plan.batches(job.budget.batch) if batch.number not in done)
            for records in workers.work(batches):
                writer.commit(records)
                progress(sum(record.rows for record in records))
                _refuse_nonfinite(job, writer)
                _stop_if(stop(), job, writer)
        _stop_if(stop(), job, writer)
        stats = CropStats.empty(job.header.levels)
        for record in sorted(writer.records, key=lambda record: record.batch):
            stats.add(CropStats.from_list(record.stats))
        found = NonfiniteRows.joined(record.nonfinite for record in writer.records)
        summary = _summary(job, stats, workers.seconds(), nonfinite_findings(found, _rows(job)))
        warnings = [finding.as_dict() for finding in summary.warnings]
        writer.finish(Results(summary.records(), moments_records(stats), warnings))
    return summary._replace(elapsed=perf_counter() - started)


def _rows(job: Extraction) -> Rows:
    """What names the rows of the output."""
    header = job.header
    return Rows(header.columns, header.image_ids, [level.name for level in job.pyramid.levels])


def _refuse_nonfinite(job: Extraction, writer: CropsWriter) -> None:
    """Raises InputError if crops have to be finite and one that is recorded is not: it stays, and so does the rest."""
    if job.request.on_nonfinite == "error":
        found = NonfiniteRows.joined(record.nonfinite for record in writer.records)
        if found.count:
            raise InputError(f"{job.output.path}: {nonfinite_error(found, _rows(job))}")


def _refuse_whole(job: Extraction) -> None:
    """Raises InputError if crops have to be finite and the whole output, which an earlier run made, has others."""
    if job.request.on_nonfinite == "error":
        with Crops(job.output.target) as crops:
            found = nonfinite_rows(crops.warnings)
        if found.count:
            raise InputError(f"{job.output.path}: {nonfinite_error(found, _rows(job))}")


def _batches(job: Extraction, stop: Stop, writer: CropsWriter) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """The number and the rows of every batch; raises StoppedError if there is a signal to stop."""
    for batch in job.plan.batches(job.budget.batch):
        _stop_if(stop(), job, writer)
        yield batch.number, batch.rows


def _images_left(job: Extraction, done: Container[int]) -> list[int]:
    """The images of the batches that are not done, in order, each once; of use only for maps in sequence."""
    if not job.pyramid.sequential:
        return []
    left = (batch for batch in job.plan.batches(job.budget.batch) if batch.number not in done)
    images = (segment.image for batch in left for segment in batch.segments)
    return [image for image in dict.fromkeys(images) if image != NO_IMAGE]


def _stop_if(signal: int, job: Extraction, writer: CropsWriter) -> None:
    """Raises StoppedError if there is a signal to stop."""
    if signal:
        rows = sum(record.rows for record in writer.records)
        kept = "; --resume continues from there" if rows else ""
        raise StoppedError(f"stopped with {rows:,} of {len(job.plan):,} boxes done{kept}", signal)


class _Workers:
    """Threads that work on batches, each with its own buffers."""

    def __init__(self, job: Extraction, writer: CropsWriter) -> None:
        self._job = job
        self._writer = writer
        self._crop_shape = (job.header.shape[1], *job.spec.output_size)
        threads = job.request.threads or default_threads()
        self._workers = min(threads, job.budget.workers)
        self._own = threading.local()
        self._poolers: list[Pooler] = []
        self._threads = max(1, threads // self._workers)

    def work(self, batches: Iterator[Batch]) -> Iterator[list[BatchRecord]]:
        """Works on every batch; yields the records of those that are done, some at a time.

        There are never more batches under way than workers, and as many again that wait. One alone needs no thread.
        """
        some = list(islice(batches, 2))
        if len(some) < 2:
            yield from ([self._one(batch)] for batch in some)
            return
        from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

        batches = chain(some, batches)
        with ThreadPoolExecutor(self._workers) as executor:
            waiting = {executor.submit(self._one, batch) for batch in islice(batches, 2 * self._workers)}
            try:
                while waiting:
                    finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    failed = [future for future in finished if future.exception()]
                    good = [future.result() for future in finished if not future.exception()]
                    if good:
                        yield good
                    if failed:
                        failed[0].result()
                    waiting |= {executor.submit(self._one, batch) for batch in islice(batches, len(finished))}
            finally:
                _cancel(waiting)

    def _one(self, batch: Batch) -> BatchRecord:
        """Pools and writes one batch; returns its record."""
        job = self._job
        if not hasattr(self._own, "pooler"):
            self._own.pooler = Pooler(
                job.pyramid, Pooling(job.plan, job.spec, job.assignment, job.fill), self._threads, job.budget.block
            )
            self._own.crops = np.empty((0, *self._crop_shape), job.header.dtype)
            self._poolers.append(self._own.pooler)
        rows = batch.rows
        if len(self._own.crops) < len(rows):
            self._own.crops = np.empty((len(rows), *self._crop_shape), job.header.dtype)
        crops: NDArray[Any] = self._own.crops[: len(rows)]
        self._own.pooler.pool(batch, crops)
        pooled = job.plan.pooled[rows]
        moments, checksums = digests_of(crops)
        of_pooled = moments.take(pooled)
        stats = CropStats.of_moments(of_pooled, job.plan.level[rows][pooled].astype(np.int64), job.header.levels)
        nonfinite = NonfiniteRows.of(rows[pooled][of_pooled.nonfinite > 0])
        if job.request.reduce:
            crops, checksums = REDUCTIONS[job.request.reduce](crops), None
        sums = row_checksums(crops) if checksums is None else checksums
        return BatchRecord(batch.number, len(rows), stats.as_list(), self._writer.write(rows, crops, sums), nonfinite)

    def seconds(self) -> NDArray[np.float64]:
        """The time spent on pooling each level, all threads together."""
        total = np.zeros(self._job.header.levels)
        for pooler in self._poolers:
            total += pooler.seconds
        return total


def _cancel(futures: set[Future[BatchRecord]]) -> None:
    for future in futures:
        future.cancel()


def _summary(
    job: Extraction, stats: CropStats, seconds: NDArray[np.float64], about_crops: Sequence[Finding]
) -> Summary:
    plan = job.plan
    pooled = slice(None) if plan.pooled.all() else plan.pooled
    levels, total = summarize(plan.boxes[pooled], plan.level[pooled], stats, seconds)
    return Summary(
        names=[level.name for level in job.pyramid.levels],
        strides=[(1 / y, 1 / x) for y, x in job.spec.spatial_scales],
        levels=levels,
        total=total,
        invalid=job.invalid,
        left_out=job.left_out,
        elapsed=0.0,
        warnings=[*job.warnings, *about_crops],
    )
