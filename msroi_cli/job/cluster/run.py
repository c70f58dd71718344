"""One crops file by way of shards on several workers: their parts, then the merged file.

There are as many shards as workers unless the request says how many: every shard reads the boxes and lists the images
anew, and shards have equal work.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from msroi_cli.core.backends.environment import default_threads
from msroi_cli.errors import UsageError
from msroi_cli.io.crops.output import is_done
from msroi_cli.io.crops.parts import NAME, UNFINISHED
from msroi_cli.io.files.atomic import failures_named, resolved
from msroi_cli.io.files.target import kind_of
from msroi_cli.io.files.work import check as check_work_file
from msroi_cli.io.files.work import create, foreign, remove
from msroi_cli.job.cluster.engine import Engine, run_shards
from msroi_cli.job.cluster.executors import STOP_NAME, given, local_workers
from msroi_cli.job.cluster.names import absolute
from msroi_cli.job.cluster.processes import processes
from msroi_cli.job.cluster.scheduler import connected, dask, wait_for_worker, workers
from msroi_cli.job.crops import open_parts
from msroi_cli.job.extract.prepare import Extraction
from msroi_cli.job.extract.run import check
from msroi_cli.job.join.geometry import CHECKED_FIRST
from msroi_cli.job.merge.run import MergeRequest, merge
from msroi_cli.job.request import ExtractRequest
from msroi_cli.job.summary import Summary

# A file that the folder of parts has from the start: a folder of such a name without it is somebody else's.
MARK = ".msroi-parts"


def extract_in_parts(
    job: Extraction,
    progress: Callable[[int], None] = lambda boxes: None,
    stop: Callable[[], int] = lambda: 0,
    executor: Executor | None = None,
) -> Summary | None:
    """Does what `job.extract.run.extract` does, by workers of `executor`, or of what the request names.

    None if the output was whole already. Raises what `extract` raises, UsageError for boxes that can be read only once,
    and RunError for workers that die again and again, or for a scheduler that is not there.
    """
    _check_boxes(job.request.boxes)
    if is_done(job.output):
        return None
    started = perf_counter()
    check(job, CHECKED_FIRST)
    folder = parts_folder(job.output.path)
    with _workers(job.request, folder, executor) as workers:
        _take(folder, job)
        request = absolute(job.request)._replace(out=folder, threads=workers.threads, strict=False)
        run_shards(request, workers.shards, workers.engine, progress, stop)
    with open_parts(folder) as crops:
        merge(crops, MergeRequest(job.output.path, job.request.resume, job.request.overwrite), stop=stop)
        summary = crops.summary()
    with suppress(OSError):
        _remove(folder)
    return summary._replace(invalid=job.invalid, left_out=job.left_out, elapsed=perf_counter() - started)


@dataclass(frozen=True, slots=True)
class Workers:
    """An engine, how many shards it is given, and the threads of each; None: all that the worker has."""

    engine: Engine
    shards: int
    threads: int | None


@contextmanager
def _workers(request: ExtractRequest, folder: Path, executor: Executor | None) -> Iterator[Workers]:
    """The workers of `executor`, of a scheduler, or processes of this machine."""
    if executor is not None:
        threads = request.threads
        if local_workers(executor) > 1:
            threads = threads or max(1, default_threads() // local_workers(executor))
        yield Workers(given(executor, folder), request.shards or local_workers(executor), threads)
    elif request.scheduler is not None:
        with connected(request.scheduler) as client:
            if request.shards is None:
                wait_for_worker(client, request.scheduler)
            yield Workers(dask(client, folder), request.shards or workers(client), request.threads)
    else:
        threads = request.threads or max(1, default_threads() // request.workers)
        yield Workers(processes(request.workers), request.shards or request.workers, threads)


def _check_boxes(boxes: Any) -> None:
    """Raises UsageError for boxes that only one process can read."""
    actual = "standard input" if boxes == "-" else None
    if isinstance(boxes, str) and Path(boxes).is_fifo():
        actual = f"the pipe {boxes}"
    if actual:
        raise UsageError(f"BOXES: expected a file, which every worker can read, got {actual}")


def parts_folder(out: Path) -> Path:
    """Where the parts of `out` are until they are merged."""
    target = resolved(out)
    return target.with_name(f".{target.name}.parts")


def _take(folder: Path, job: Extraction) -> None:
    """Makes the folder for parts, or takes over that of an interrupted job; raises UsageError for what is not ours."""
    out = job.output.path
    names = _part_names(folder)
    if names and not job.request.resume:
        if not job.request.overwrite:
            raise UsageError(f"{out}: interrupted job found: --resume continues it, --overwrite starts again")
        with failures_named(out):
            _remove(folder)
    with failures_named(out):
        folder.mkdir(exist_ok=True)
        if not kind_of(folder / MARK):
            os.close(create(folder / MARK))


def _part_names(folder: Path) -> list[str]:
    """The names in the folder of an interrupted job, none where there is no folder; raises UsageError for others."""
    kind = kind_of(folder)
    if kind not in (None, "a folder"):
        raise foreign(folder, str(kind))
    names = sorted(entry.name for entry in folder.iterdir()) if kind else []
    for name in names:
        if not (NAME.fullmatch(name) or UNFINISHED.fullmatch(name) or name.startswith(STOP_NAME) or name == MARK):
            raise foreign(folder / name, "another file")
        check_work_file(folder / name)
    if names and MARK not in names:
        raise foreign(folder, "a folder without the mark of an interrupted job")
    return names


def _remove(folder: Path) -> None:
    """Removes the folder of parts, the mark last, and nothing else; raises UsageError or OSError."""
    for name in sorted(_part_names(folder), key=lambda name: name == MARK):
        remove(folder / name)
    folder.rmdir()
