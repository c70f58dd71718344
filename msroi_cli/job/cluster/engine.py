"""Runs the shards of a job on any `concurrent.futures.Executor`: processes, machines, whatever it has.

A shard is done when its whole part is on the disk, whatever its future says. A shard whose worker died is tried again,
alone, so that it is known which one kills its workers; after three deaths it is named and left.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic, sleep

from msroi_cli.errors import MsroiError, RunError, StoppedError
from msroi_cli.io.files.durability import is_there
from msroi_cli.job.cluster.worker import make_part
from msroi_cli.job.extract.part import output_path
from msroi_cli.job.request import ExtractRequest
from msroi_cli.job.shards import Shard

DEATHS_AT_MOST = 3
WAIT_SECONDS = 0.2

# Network file systems show a name that another machine made within a minute, the lifetime of their caches.
VISIBLE_SECONDS = 60.0

# How long workers that cannot be ended are waited for, which stop after the batches under way.
STOP_SECONDS = 30.0

# Makes an executor; it is called again when the workers of one have died.
Executors = Callable[[], AbstractContextManager[Executor]]


@dataclass(frozen=True, slots=True)
class Engine:
    """Where shards run: executors, how many shards are under way at a time, and what stops their workers.

    stop_file: workers on other machines stop when there is a file of that name; `interrupt` makes it.
    gives_up: the errors by which an executor says that it tried a shard on several workers, which all died.
    renewable: whether there is another executor when the workers of one have died.
    """

    executors: Executors
    at_once: int | Callable[[], int]
    interrupt: Callable[[], None] = lambda: None
    stop_file: Path | None = None
    gives_up: tuple[type[Exception], ...] = ()
    renewable: bool = True

    def room(self) -> int:
        """How many shards may be under way now."""
        return self.at_once if isinstance(self.at_once, int) else self.at_once()


@dataclass(slots=True)
class Run:
    """Shards on one executor: those that wait for their turn, those under way, and what became of the others."""

    executor: Executor
    left: deque[ExtractRequest]
    room: Callable[[], int]
    waiting: dict[Future[int], ExtractRequest] = field(default_factory=dict)
    made: list[ExtractRequest] = field(default_factory=list)
    suspects: list[ExtractRequest] = field(default_factory=list)
    given_up: list[ExtractRequest] = field(default_factory=list)


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
    pending = {index: request._replace(shard=Shard(index, count)) for index in range(1, count + 1)}
    deaths: Counter[int] = Counter()
    while pending:
        suspects = [index for index in pending if deaths[index]]
        some = [pending[index] for index in suspects[:1] or pending]
        with engine.executors() as executor:
            run = Run(executor, deque(some), (lambda: 1) if suspects else engine.room)
            _run(run, engine, progress, stop)
            if run.suspects:
                # ProcessPoolExecutor ends the workers that it knows of when one dies, and waits for those, too, that
                # were started a moment later.
                engine.interrupt()
        _await_parts(run.made, stop)
        deaths.update(map(_index, run.suspects))
        deaths.update({_index(shard): DEATHS_AT_MOST for shard in run.given_up})
        for index in map(_index, some):
            if deaths[index] >= DEATHS_AT_MOST or is_there(output_path(pending[index])):
                del pending[index]
        if pending and run.suspects and not engine.renewable:
            raise RunError(f"{request.out}: the executor lost its workers; what is done is kept")
    _refuse_poisonous(request, count, deaths)


def _index(request: ExtractRequest) -> int:
    return request.shard.index if request.shard else 0


def _run(run: Run, engine: Engine, progress: Callable[[int], None], stop: Callable[[], int]) -> None:
    """Runs shards until none is left, or the executor is broken."""
    work = make_part if engine.stop_file is None else partial(make_part, stop_file=engine.stop_file)
    try:
        _submit(run, work)
        while run.waiting and not run.suspects:
            finished, _ = wait(run.waiting, WAIT_SECONDS, FIRST_COMPLETED)
            if stop():
                raise StoppedError("stopped; --resume continues it", stop())
            for future in finished:
                _note(run, future, engine, progress)
            if run.suspects:
                run.suspects += run.waiting.values()
            else:
                _submit(run, work)
    except BaseException:
        _stop_workers(run, engine)
        raise


def _note(run: Run, future: Future[int], engine: Engine, progress: Callable[[int], None]) -> None:
    """Takes one shard that ended off those under way; raises what it raised on purpose."""
    shard = run.waiting.pop(future)
    error = CancelledError() if future.cancelled() else future.exception()
    if isinstance(error, engine.gives_up):
        run.given_up.append(shard)
    elif _died(error):
        run.suspects.append(shard)
    elif isinstance(error, ImportError):
        raise RunError(f"shard {shard.shard}: expected msroi and its packages on every worker, got: {error}") from error
    else:
        progress(future.result())
        run.made.append(shard)


def _died(error: BaseException | None) -> bool:
    """Whether a worker died; what a shard raised on purpose counts as its result."""
    return isinstance(error, (BrokenExecutor, CancelledError, OSError, EOFError)) and not isinstance(error, MsroiError)


def _submit(run: Run, work: Callable[[ExtractRequest], int]) -> None:
    # To ask a cluster for its room takes a trip to it.
    room = run.room() - len(run.waiting) if run.left else 0
    for _ in range(min(room, len(run.left))):
        request = run.left.popleft()
        run.waiting[_submitted(run.executor, work, request)] = request


def _submitted(executor: Executor, work: Callable[[ExtractRequest], int], request: ExtractRequest) -> Future[int]:
    """The future of a shard; a failed one where the executor is closing because a worker died a moment before."""
    try:
        return executor.submit(work, request)
    except (OSError, ValueError, RuntimeError) as error:  # a closed handle or descriptor, or BrokenExecutor
        failed: Future[int] = Future()
        failed.set_exception(BrokenExecutor(str(error)))
        return failed


def _stop_workers(run: Run, engine: Engine) -> None:
    """Has workers stop after the batches under way; those that see it in a file are waited for, they hold locks."""
    if engine.stop_file is None:
        _cancel(run)
        engine.interrupt()
    else:
        engine.interrupt()
        wait(run.waiting, STOP_SECONDS)
        _cancel(run)


def _cancel(run: Run) -> None:
    for future in run.waiting:
        future.cancel()


def _await_parts(made: list[ExtractRequest], stop: Callable[[], int]) -> None:
    """Waits until the parts that workers made are there; raises RunError if they are not for too long."""
    deadline = monotonic() + VISIBLE_SECONDS
    for path in map(output_path, made):
        while not is_there(path):
            if stop():
                raise StoppedError("stopped; --resume continues it", stop())
            if monotonic() > deadline:
                raise RunError(
                    f"{path}: expected the part that a worker made, got none: do all workers have this folder?"
                )
            sleep(WAIT_SECONDS)


def _refuse_poisonous(request: ExtractRequest, count: int, deaths: Counter[int]) -> None:
    poisonous = sorted(index for index, number in deaths.items() if number >= DEATHS_AT_MOST)
    if poisonous:
        names = ", ".join(str(Shard(index, count)) for index in poisonous)
        raise RunError(
            f"{request.out}: shards {names}: their workers died {DEATHS_AT_MOST} times; all other parts are there"
        )
