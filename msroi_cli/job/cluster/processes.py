"""Shards in processes of this machine."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import active_children, get_context
from types import FrameType

from msroi_cli.job.cluster.engine import Engine

_stopped = 0
_parent = 0


def processes(workers: int) -> Engine:
    """An engine of `workers` processes, which stop after the batches under way when the job is stopped."""
    executors = partial(
        ProcessPoolExecutor, workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(os.getpid(),)
    )
    return Engine(executors, workers, _interrupt)


def stop_signal() -> int:
    """In a worker: the number of the signal that asks it to stop, 0 if none does. A worker without parent stops too."""
    orphan = _parent and os.getppid() != _parent
    return signal.SIGTERM if orphan else _stopped


def _begin(parent: int) -> None:
    """In a new worker: Ctrl-C is for the parent to handle, which then sends SIGTERM."""
    global _parent
    _parent = parent
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _note)


def _note(number: int, frame: FrameType | None) -> None:
    global _stopped
    _stopped = number


def _interrupt() -> None:
    for child in active_children():
        child.terminate()
