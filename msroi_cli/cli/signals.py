"""SIGINT and SIGTERM while a job runs: the first asks it to stop at a good moment, the second stops it at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from msroi_cli.cli.output import say

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Remembers the first signal; leaves the process at the second. What a job has recorded is safe either way."""

    def __init__(self) -> None:
        self._first = 0

    def came(self) -> int:
        """The number of the signal that came; 0 if none did."""
        return self._first

    def take(self, number: int, frame: FrameType | None) -> None:
        """The handler."""
        if self._first:
            os._exit(128 + number)
        self._first = number
        say("msroi: stopping after the batches under way; again to stop at once")


@contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """Handles the signals during the block, if it runs in the main thread, where signals arrive."""
    signals = StopSignals()
    previous = {}
    try:
        for number in SIGNALS:
            previous[number] = signal.signal(number, signals.take)
    except ValueError:
        pass
    try:
        yield signals
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
