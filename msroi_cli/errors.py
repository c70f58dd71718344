"""The exceptions that msroi raises on purpose, and the exit code each one becomes."""

from __future__ import annotations


class MsroiError(Exception):
    """Base of everything msroi raises on purpose; its text is one line for people."""

    exit_code = 1


class RunError(MsroiError):
    """The job failed while it ran: I/O, a full disk, a lost file."""

    exit_code = 1


class StoppedError(MsroiError):
    """A signal stopped the job; what was done is kept."""

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal

    def __reduce__(self) -> tuple[type[StoppedError], tuple[str, int]]:
        return type(self), (str(self), self.exit_code - 128)


class UsageError(MsroiError):
    """The request makes no sense or is incomplete, whatever the files hold."""

    exit_code = 2


class ArgumentError(UsageError, ValueError):
    """An argument of a library call is not what the call takes; also a ``ValueError``."""


class InputError(MsroiError):
    """An input is unreadable or holds something else than it should."""

    exit_code = 3
