"""The exceptions that msroi raises on purpose, and the exit code each one becomes."""

from __future__ import annotations


class MsroiError(Exception):
    """Base of everything msroi raises on purpose; its text is one line for people."""

    exit_code = 1


class RunError(MsroiError):
    """The job failed while it ran: I/O, a full disk, a lost file."""

    exit_code = 1


class UnlistedLinkError(RunError):
    """A link led to another file when the files that are read had been listed: they have to be listed anew."""


class StoppedError(MsroiError):
    """A signal stopped the job; what was done is kept."""

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal

    def __reduce__(self) -> tuple[type[StoppedError], tuple[str, int]]:
        return type(self), (str(self), self.exit_code - 128)


class UsageError(MsroiError, ValueError):
    """The request makes no sense or is incomplete, whatever the files hold; also a ``ValueError``."""

    exit_code = 2


class LockedError(UsageError):
    """Another process is writing the output."""


class ArgumentError(UsageError):
    """An argument of a library call is not what the call takes."""


class InputError(MsroiError, ValueError):
    """An input is unreadable or holds something else than it should; also a ``ValueError``."""

    exit_code = 3


class MissingFileError(InputError, FileNotFoundError):
    """An input that is a file is not there; also a ``FileNotFoundError``."""


def unreadable(path: object, error: OSError) -> InputError:
    """The error for a file that the system does not give."""
    kind = MissingFileError if isinstance(error, FileNotFoundError) else InputError
    return kind(f"{path}: cannot be read: {error.strerror or error}")
