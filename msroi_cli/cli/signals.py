"""SIGINT and SIGTERM: they end a command at once, but ask a job to stop at a good moment first."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from msroi_cli.cli.output import say
from msroi_cli.core.backends.environment import leave_at_second_signal

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class SignalCame(BaseException):
    """Raised where a signal ends a command."""


class StopSignals:
    """Remembers the first signal, and leaves the process at the second: what a job has recorded is safe.

    The first is raised as SignalCame, but not within `gently`, where it is for the job to ask whether one `came`.
    Python drops what is raised while an object is destroyed; a signal is remembered all the same.
    """

    def __init__(self) -> None:
        self._number = 0
        self._gently = False

    def came(self) -> int:
        """The number of the signal that came; 0 if none did."""
        return self._number

    @contextmanager
    def gently(self) -> Iterator[None]:
        """A job that asks whether a signal came runs in this block."""
        self._gently = True
        try:
            yield
        finally:
            self._gently = False

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
        if not self._gently:
            raise SignalCame
        say("msroi: stopping after the batches under way; again to stop at once")
