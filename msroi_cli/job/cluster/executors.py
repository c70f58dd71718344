"""Shards on an executor that a program holds."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path

from msroi_cli.job.cluster.engine import Engine
from msroi_cli.job.shards import MAX_SHARDS

STOP_NAME = ".stop-"


def given(executor: Executor, folder: Path) -> Engine:
    """An engine of any executor, which is left open; `folder` for the parts, which all workers have.

    All shards are given to it at once, since only the executor knows how many workers it has.
    """
    # Of an executor of Dask: shards whose workers died again and again.
    distributed = sys.modules.get("distributed")
    gives_up = () if distributed is None else (distributed.KilledWorker,)
    return Engine(lambda: nullcontext(executor), MAX_SHARDS, *stopping(folder), gives_up, renewable=False)


def stopping(folder: Path) -> tuple[Callable[[], None], Path]:
    """What stops workers anywhere, and the name of the file by which it does so, another one each time."""
    stop_file = folder / f"{STOP_NAME}{secrets.token_hex(8)}"
    return partial(_make, stop_file), stop_file


def _make(stop_file: Path) -> None:
    # Where that fails, workers end with their shards.
    with suppress(OSError):
        stop_file.touch()


def local_workers(executor: Executor | None) -> int:
    """How many workers of an executor share the processors of this machine, as far as that is known: 1 or more."""
    known = isinstance(executor, (ThreadPoolExecutor, ProcessPoolExecutor))
    return max(1, getattr(executor, "_max_workers", 1)) if known else 1
