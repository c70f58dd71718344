"""One crops file by way of shards in several processes: their parts, then the merged file."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from msroi_cli.core.backends.environment import default_threads
from msroi_cli.errors import UsageError
from msroi_cli.io.crops.output import is_done
from msroi_cli.io.crops.parts import NAME, UNFINISHED
from msroi_cli.io.files.atomic import failures_named, resolved
from msroi_cli.io.files.target import kind_of
from msroi_cli.io.files.work import check as check_work_file
from msroi_cli.io.files.work import create, foreign, remove
from msroi_cli.job.cluster.engine import run_shards
from msroi_cli.job.cluster.processes import processes
from msroi_cli.job.crops import open_parts
from msroi_cli.job.extract.prepare import Extraction
from msroi_cli.job.extract.run import check
from msroi_cli.job.join.geometry import CHECKED_FIRST
from msroi_cli.job.merge import MergeRequest, merge
from msroi_cli.job.summary import Summary

# Every shard reads the boxes and lists the images anew, and shards have equal work.
SHARDS_PER_WORKER = 1

# A file that the folder of parts has from the start: a folder of such a name without it is somebody else's.
MARK = ".msroi-parts"


def extract_with_workers(
    job: Extraction,
    workers: int,
    progress: Callable[[int], None] = lambda boxes: None,
    stop: Callable[[], int] = lambda: 0,
) -> Summary | None:
    """Does what `job.extract.run.extract` does, in `workers` processes; None if the output was whole already.

    Raises what it raises, UsageError for boxes from standard input, and RunError for workers that die again and again.
    """
    if job.request.boxes == "-":
        raise UsageError("--workers: expected BOXES in a file, which every worker can read, got standard input")
    if is_done(job.output):
        return None
    started = perf_counter()
    check(job, CHECKED_FIRST)
    folder = parts_folder(job.output.path)
    _take(folder, job)
    threads = job.request.threads or max(1, default_threads() // workers)
    request = replace(job.request, out=folder, threads=threads, strict=False)
    run_shards(request, workers * SHARDS_PER_WORKER, processes(workers), progress, stop)
    with open_parts(folder) as crops:
        merge(crops, MergeRequest(job.output.path, job.request.resume, job.request.overwrite), stop=stop)
        summary = crops.summary()
    with suppress(OSError):
        _remove(folder)
    return replace(summary, invalid=job.invalid, left_out=job.left_out, elapsed=perf_counter() - started)


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
        if not (NAME.fullmatch(name) or UNFINISHED.fullmatch(name) or name == MARK):
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
