"""Runs the shards of a job on any `concurrent.futures.Executor`: processes, machines, whatever it has.

A shard is done when its whole part is on the disk, whatever its future says. A shard whose worker died is tried again,
alone, so that it is known which one kills its workers; after three deaths it is named and left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from msroi_cli.errors import MsroiError, RunError, StoppedError
from msroi_cli.job.cluster.worker import make_part
from msroi_cli.job.extract.part import output_path
from msroi_cli.job.request import ExtractRequest
from msroi_cli.job.shards import Shard

DEATHS_AT_MOST = 3
WAIT_SECONDS = 0.2

# Makes an executor; it is called again when the workers of one have died.
Executors = Callable[[], AbstractContextManager[Executor]]


@dataclass(frozen=True, slots=True)
class Engine:
    """Where shards run: executors, how many shards are under way at a time, and what stops their workers."""

    executors: Executors
    at_once: int
    interrupt: Callable[[], None] = lambda: None


def run_shards(
    request: ExtractRequest,
    count: int,
    engine: Engine,
    progress: Callable[[int], None] = lambda boxes: None,
    stop: Callable[[], int] = lambda: 0,
) -> None:
    """Makes the parts of `count` shards of `request` that are not there yet, in the folder `request.out`.

    progress is called with the number of boxes of each part that is done. stop is asked for the signal that came.
    Raises what a shard raised, RunError for shards that killed their workers, or StoppedError.
    """
    pending = [replace(request, shard=Shard(index, count)) for index in range(1, count + 1)]
    deaths: Counter[int] = Counter()
    while pending:
        suspects = [shard for shard in pending if deaths[_index(shard)]]
        at_once, some = (1, suspects[:1]) if suspects else (engine.at_once, pending)
        with engine.executors() as executor:
            dead = _run(executor, some, replace(engine, at_once=at_once), progress, stop)
            if dead:
                # ProcessPoolExecutor ends the workers that it knows of when one dies, and waits for those, too, that
                # were started a moment later.
                engine.interrupt()
        deaths.update(map(_index, dead))
        pending = [shard for shard in pending if shard not in some or not output_path(shard).exists()]
        pending = [shard for shard in pending if deaths[_index(shard)] < DEATHS_AT_MOST]
    _refuse_poisonous(request, count, deaths)


def _index(request: ExtractRequest) -> int:
    return request.shard.index if request.shard else 0


def _run(
    executor: Executor,
    requests: list[ExtractRequest],
    engine: Engine,
    progress: Callable[[int], None],
    stop: Callable[[], int],
) -> list[ExtractRequest]:
    """Runs some shards; returns those that were under way when a worker died."""
    waiting: dict[Future[int], ExtractRequest] = {}
    left = iter(requests)
    try:
        _submit(executor, left, waiting, engine.at_once)
        while waiting:
            finished, _ = wait(waiting, WAIT_SECONDS, FIRST_COMPLETED)
            if stop():
                raise StoppedError("stopped; --resume continues it", stop())
            dead = [waiting[future] for future in finished if _died(future)]
            for future in finished:
                if waiting.pop(future) not in dead:
                    progress(future.result())
            if dead:
                return [*dead, *waiting.values()]
            _submit(executor, left, waiting, engine.at_once - len(waiting))
    except BaseException:
        for future in waiting:
            future.cancel()
        engine.interrupt()
        raise
    return []


def _submit(
    executor: Executor, left: Iterator[ExtractRequest], waiting: dict[Future[int], ExtractRequest], count: int
) -> None:
    for request, _ in zip(left, range(count), strict=False):
        waiting[_submitted(executor, request)] = request


def _submitted(executor: Executor, request: ExtractRequest) -> Future[int]:
    """The future of a shard; a failed one where the executor is closing because a worker died a moment before."""
    try:
        return executor.submit(make_part, request)
    except (OSError, ValueError, RuntimeError) as error:  # a closed handle or descriptor, or BrokenExecutor
        failed: Future[int] = Future()
        failed.set_exception(BrokenExecutor(str(error)))
        return failed


def _died(future: Future[int]) -> bool:
    """Whether the worker of a future died; what a shard raised on purpose counts as its result."""
    error = future.exception() if not future.cancelled() else CancelledError()
    return isinstance(error, (BrokenExecutor, CancelledError, OSError, EOFError)) and not isinstance(error, MsroiError)


def _refuse_poisonous(request: ExtractRequest, count: int, deaths: Counter[int]) -> None:
    poisonous = sorted(index for index, number in deaths.items() if number >= DEATHS_AT_MOST)
    if poisonous:
        names = ", ".join(str(Shard(index, count)) for index in poisonous)
        raise RunError(
            f"{request.out}: shards {names}: their workers died {DEATHS_AT_MOST} times; all other parts are there"
        )
