"""Work files: what lies beside an output while it is made. Nobody else's file of such a name is ever touched.

They are made where no file is, without following links. One that is there already is taken over only if it is a regular
file with one name, and if the journal beside it says that it is a work file.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from msroi_cli.errors import UsageError
from msroi_cli.io.files.target import kind_of

FLAGS = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def create(path: Path) -> int:
    """Makes a work file and opens it to read and write; raises FileExistsError if anything has the name."""
    return os.open(path, FLAGS | os.O_CREAT | os.O_EXCL, 0o666)


def reopen(path: Path, flags: int = 0) -> int:
    """Opens a work file that is there, to read and write; raises UsageError if it cannot be one, or OSError."""
    check(path)
    descriptor = os.open(path, FLAGS | flags)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(descriptor)
        raise foreign(path, "another file")
    return descriptor


def check(path: Path) -> None:
    """Raises UsageError if what is at `path` cannot be a work file: a link, no regular file, one of several names."""
    kind = kind_of(path)
    if kind is None:
        return
    if kind != "a file":
        raise foreign(path, kind)
    if path.lstat().st_nlink > 1:
        raise foreign(path, "a file that has other names too")


def remove(path: Path) -> None:
    """Removes a work file, if it is there; raises UsageError if it cannot be one, or OSError."""
    check(path)
    path.unlink(missing_ok=True)


def foreign(path: Path, actual: str) -> UsageError:
    """The error for what has the name of a work file and is none."""
    return UsageError(f"{path}: expected no file or a work file of msroi, got {actual}; move it away and try again")
