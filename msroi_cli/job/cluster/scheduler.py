"""Shards on the workers of a Dask cluster."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from msroi_cli.errors import RunError, UsageError
from msroi_cli.io.files.durability import is_there
from msroi_cli.job.cluster.engine import Engine
from msroi_cli.job.cluster.executors import stopping

if TYPE_CHECKING:
    from distributed import Client

LOOK_SECONDS = 0.1


@contextmanager
def connected(scheduler: str) -> Iterator[Client]:
    """Yields a client of the scheduler at an address, such as tcp://HOST:8786, or in a file FILE.json that it wrote.

    Raises UsageError without the package distributed, RunError if there is no scheduler.
    """
    try:
        from distributed import Client
        from distributed.comm import resolve_address
    except ImportError:
        raise UsageError("--scheduler: expected the package distributed: pip install 'msroi[dask]'") from None
    place: dict[str, Any] = {"address": scheduler}
    if scheduler.endswith(".json"):
        place = {"scheduler_file": scheduler}
        _await_file(scheduler)
    # What it has to say ends as an error of ours.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    try:
        if "address" in place:
            # A client of an address that cannot be writes of it when it is collected.
            resolve_address(scheduler)
        client = Client(**place, timeout=_seconds(), set_as_default=False)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise RunError(f"--scheduler {scheduler}: expected a Dask scheduler, got none: {error}") from error
    with client:
        yield client


def _await_file(scheduler: str) -> None:
    """Returns once there is the file of a scheduler; raises RunError if there is none for too long."""
    deadline = monotonic() + _seconds()
    while not is_there(Path(scheduler)):
        if monotonic() > deadline:
            raise RunError(f"--scheduler {scheduler}: expected a Dask scheduler, got none: no such file")
        sleep(LOOK_SECONDS)


def dask(client: Client, folder: Path) -> Engine:
    """An engine of all workers that a cluster has at a time, with one shard each; `folder` as in `executors.given`."""
    from distributed import KilledWorker

    executor = partial(client.get_executor, pure=False)
    return Engine(executor, partial(workers, client), *stopping(folder), gives_up=(KilledWorker,), renewable=False)


def workers(client: Client) -> int:
    """How many workers there are now, at least 1: a shard waits for the first of them."""
    return max(1, len(client.nthreads()))


def wait_for_worker(client: Client, scheduler: str) -> None:
    """Returns once there is a worker; raises RunError if there is none for too long."""
    try:
        client.wait_for_workers(1, timeout=_seconds())
    except TimeoutError:
        raise RunError(
            f"--scheduler {scheduler}: expected a worker within {_seconds():g} seconds, got none; "
            "with --shards N the job waits for workers"
        ) from None


def _seconds() -> float:
    """How long a connection may take, as Dask is configured; 30 unless that is changed."""
    from dask.config import get
    from dask.utils import parse_timedelta

    return float(parse_timedelta(get("distributed.comm.timeouts.connect")))
