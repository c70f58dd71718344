"""Copies pieces in some threads at once: while one reads, another writes, or the disk takes what was written."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Event, Lock
from typing import Protocol

from msroi_cli.core.backends.environment import default_threads
from msroi_cli.io.crops.record import BatchRecord
from msroi_cli.job.merge.pieces import Piece

# Copying is bound by memory and disks, which more threads do not make faster.
MOST_THREADS = 4


class Copier(Protocol):
    """Copies pieces, in one thread."""

    def copy(self, piece: Piece) -> BatchRecord:
        """Writes a piece; raises InputError for crops that are not what their checksums say, RunError."""

    def close(self) -> None:
        """Lets go of the parts."""


def copied(pieces: Iterator[Piece], copier: Callable[[], Copier]) -> Generator[BatchRecord, None, None]:
    """The record of each piece when it has been written, in any order; copying goes on meanwhile.

    Each thread has a `copier` of its own. Closing the iterator ends the copying. Raises what copying raises.
    """
    threads = min(MOST_THREADS, default_threads())
    work = _Work(pieces, copier)
    with ThreadPoolExecutor(threads) as executor:
        try:
            working = [executor.submit(work.run) for _ in range(threads)]
            left = threads
            while left:
                record = work.done.get()
                if record is None:
                    left -= 1
                else:
                    yield record
        finally:
            work.ended.set()
    for thread in working:
        thread.result()


class _Work:
    """What the threads have in common. done: what they have finished, None from each that ends."""

    def __init__(self, pieces: Iterator[Piece], copier: Callable[[], Copier]) -> None:
        self._pieces, self._copier = pieces, copier
        self._lock = Lock()
        self.ended = Event()
        self.done: SimpleQueue[BatchRecord | None] = SimpleQueue()

    def run(self) -> None:
        """Copies one piece after the other until there are no more, or another thread has failed."""
        copier = self._copier()
        try:
            while not self.ended.is_set():
                with self._lock:
                    piece = next(self._pieces, None)
                if piece is None:
                    break
                self.done.put(copier.copy(piece))
        except BaseException:
            self.ended.set()
            raise
        finally:
            copier.close()
            self.done.put(None)
