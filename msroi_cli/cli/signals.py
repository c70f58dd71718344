"""SIGINT and SIGTERM: they end a command at once; a job is first asked to stop between two batches."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from msroi_cli.cli.output import say
from msroi_cli.core.backends.environment import leave_at_second_signal

SIGNALS = (signal.SIGINT, signal.SIGTERM)

# What raises an exception anew, and after how many seconds; 0 where the system has no timers.
RAISING, SOON = getattr(signal, "SIGALRM", 0), 0.005


class SignalReceived(BaseException):
    """Raised where a signal ends a command."""


class StopSignals:
    """Remembers the first signal and ends the process at the second: what a job has recorded is safe.

    The first signal raises SignalReceived, except within `graceful`, where the job itself asks `received`.
    Python drops an exception that is raised while an object is destroyed: it is then raised anew, soon after.
    """

    def __init__(self) -> None:
        self._number = 0
        self._graceful = False
        self._previous: dict[int, Any] = {}
        self._previous_hook = sys.unraisablehook

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
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        for number in SIGNALS:
            self._previous[number] = signal.signal(number, self._take)
            leave_at_second_signal(number)
        self._previous_hook, sys.unraisablehook = sys.unraisablehook, self._dropped
        try:
            yield
        finally:
            sys.unraisablehook = self._previous_hook
            if RAISING in self._previous:
                signal.setitimer(signal.ITIMER_REAL, 0)
            for taken, handler in self._previous.items():
                signal.signal(taken, handler)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self._number:
            os._exit(128 + number)
        self._number = number
        if not self._graceful:
            raise SignalReceived
        say("msroi: stopping after the current batches; repeat the signal to stop at once")

    def _dropped(self, dropped: sys.UnraisableHookArgs) -> None:
        """Takes what Python drops; where it is a SignalReceived, has it raised anew when the object is gone."""
        if dropped.exc_type is not SignalReceived:
            self._previous_hook(dropped)
        elif RAISING:
            previous = signal.signal(RAISING, self._raise)
            self._previous.setdefault(RAISING, previous)
            signal.setitimer(signal.ITIMER_REAL, SOON)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        if not self._graceful:
            raise SignalReceived
