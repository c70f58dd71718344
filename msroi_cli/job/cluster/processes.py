"""Shards in processes of this machine."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import active_children, get_context, parent_process
from types import FrameType

from msroi_cli.job.cluster.engine import Engine

_stopped = 0


def processes(workers: int) -> Engine:
    """An engine of `workers` processes, which stop after the batches under way when the job is stopped."""
    executors = partial(ProcessPoolExecutor, workers, mp_context=get_context("spawn"), initializer=_begin)
    return Engine(executors, workers, _interrupt)


def stop_signal() -> int:
    """In a worker: the number of the signal that asks it to stop, 0 if none does."""
    return _stopped


def _begin() -> None:
    """In a new worker: Ctrl-C is for the parent to handle, which then sends SIGTERM."""
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


def _interrupt() -> None:
    for child in active_children():
        child.terminate()
