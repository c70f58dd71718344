"""Shards in processes of this machine."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import active_children, get_context

from msroi_cli.job.cluster.engine import Engine
from msroi_cli.job.cluster.worker import begin


def processes(workers: int) -> Engine:
    """An engine of `workers` processes, which stop after the batches under way when the job is stopped."""
    executors = partial(ProcessPoolExecutor, workers, mp_context=get_context("spawn"), initializer=begin)
    return Engine(executors, workers, _interrupt)


def _interrupt() -> None:
    for child in active_children():
        child.terminate()
