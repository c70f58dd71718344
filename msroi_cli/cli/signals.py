"""SIGINT and SIGTERM: they end a command at once; a job is first asked to stop between two batches."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from msroi_cli.cli.output import say
from msroi_cli.core.backends.environment import leave_at_second_signal

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class SignalReceived(BaseException):
    """Raised where a signal ends a command."""


class StopSignals:
    """Remembers the first signal and ends the process at the second: what a job has recorded is safe.

    The first signal raises SignalReceived, except within `graceful`, where the job itself asks `received`.
    Python drops an exception raised while an object is destroyed; the signal is remembered all the same.
    """

    def __init__(self) -> None:
        self._number = 0
        self._graceful = False

    def received(self) -> int:
        """The number of the signal received first; 0 for none."""
        return self._number

    @contextmanager
    def graceful(self) -> Iterator[None]:
        """Within this block the job asks `received` and stops by itself."""
        self._graceful = True
        try:
            yield
        finally:
            self._graceful = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handles signals during the block, if it runs in the main thread, where they arrive."""
        previous = {}
        try:
            for number in SIGNALS:
                previous[number] = signal.signal(number, self._take)
                leave_at_second_signal(number)
        except ValueError:
            pass
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self._number:
            os._exit(128 + number)
        self._number = number
        if not self._graceful:
            raise SignalReceived
        say("msroi: stopping after the current batches; repeat the signal to stop at once")
