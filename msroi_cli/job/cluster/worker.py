"""What a worker does: it makes the part of a shard, and stops when it is asked to or when its parent is gone."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing import parent_process
from pathlib import Path
from time import monotonic, sleep
from types import FrameType

from msroi_cli.core.backends.environment import give_back_freed_memory, keep_freed_memory
from msroi_cli.errors import LockedError, StoppedError
from msroi_cli.job.extract.prepare import prepared
from msroi_cli.job.extract.run import extract
from msroi_cli.job.request import ExtractRequest

# How often a file is looked for that says to stop, and a lock that another worker holds; and how long the lock.
LOOK_SECONDS, LOCK_SECONDS = 1.0, 300.0

_stopped = 0
_working = False


def make_part(request: ExtractRequest, stop_file: Path | None = None) -> int:
    """Makes the part of one shard, resuming what an earlier try left; returns how many boxes it has.

    stop_file: once there is a file of that name, the worker stops after the batches under way.
    While another worker makes the same part, this one waits: the other may have been given up too early.
    Raises InputError, UsageError, RunError or StoppedError. A process that was asked to stop ends here: what it has
    recorded is safe, and a pool that has lost another worker waits for its end and sends no more shards.
    """
    global _working
    _working = True
    stop = _stop_signal(stop_file)
    request = request._replace(resume=True, threads=request.threads or _threads_of_task())
    deadline = monotonic() + LOCK_SECONDS
    keep_freed_memory()
    try:
        _stop_if(stop)
        while True:
            try:
                with prepared(request) as job:
                    extract(job, lambda boxes: None, stop)
                    return len(job.plan)
            except LockedError:
                if stop_file is None or monotonic() > deadline:
                    raise
                _stop_if(stop)
                sleep(LOOK_SECONDS)
    finally:
        _working = False
        if _stopped:
            os._exit(1)
        if stop_file is not None:  # a process of another engine, which has other tasks too
            give_back_freed_memory()


def _stop_if(stop: Callable[[], int]) -> None:
    if number := stop():
        raise StoppedError("stopped; --resume continues it", number)


def _stop_signal(stop_file: Path | None) -> Callable[[], int]:
    """What the job asks for the number of a signal: that of this process, or SIGTERM once `stop_file` is there."""
    if stop_file is None:
        return lambda: _stopped
    looked, number = -LOOK_SECONDS, 0

    def stop() -> int:
        nonlocal looked, number
        if not number and monotonic() - looked >= LOOK_SECONDS:
            looked = monotonic()
            number = signal.SIGTERM if stop_file.exists() else 0
        return _stopped or number

    return stop


def _threads_of_task() -> int | None:
    """The threads of the Dask worker that this is, which has one shard at a time; None elsewhere: all processors."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        return int(distributed.get_worker().state.nthreads)
    except ValueError:
        return None


def begin() -> None:
    """In a new process: Ctrl-C is for the parent to handle, which then sends SIGTERM."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _note)


def _end_with_parent() -> None:
    """Ends a worker whose parent was killed: what it has recorded is safe, and nobody will send it the next shard."""
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _note(number: int, frame: FrameType | None) -> None:
    global _stopped
    _stopped = number
    if not _working:
        os._exit(1)
