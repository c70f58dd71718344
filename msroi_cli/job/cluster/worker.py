"""What a worker does: it makes the part of a shard, and stops when it is asked to or when its parent is gone."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace
from multiprocessing import parent_process
from types import FrameType

from msroi_cli.job.extract.prepare import prepared
from msroi_cli.job.extract.run import extract
from msroi_cli.job.request import ExtractRequest

_stopped = 0
_working = False


def make_part(request: ExtractRequest) -> int:
    """Makes the part of one shard, resuming what an earlier try left; returns how many boxes it has.

    Raises InputError, UsageError or RunError. A process that was asked to stop ends here: what it has recorded is safe,
    and a pool that has lost another worker waits for its end and sends no more shards.
    """
    global _working
    _working = True
    try:
        with prepared(replace(request, resume=True)) as job:
            extract(job, lambda boxes: None, lambda: _stopped)
            return len(job.plan)
    finally:
        _working = False
        if _stopped:
            os._exit(1)


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
