"""What makes bytes and names durable on each system: complete writes, fsync, reserved space.

Sources: fsync(2) and fcntl(2) of macOS (F_FULLFSYNC), where fsync alone leaves data in the drive's cache; fsync(2) of
Linux and POSIX, which say EINVAL for what cannot be synchronized, such as a folder on some network file systems.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

FULL_FSYNC = getattr(fcntl, "F_FULLFSYNC", None)

# What a file system answers that has no such operation, as opposed to one whose operation failed. macOS answers
# F_FULLFSYNC with ENOTTY on some network file systems.
UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY})

# The same of a folder: some FUSE and network file systems have folders that cannot be opened or synchronized.
UNSUPPORTED_FOLDER = UNSUPPORTED | {errno.EACCES, errno.EISDIR, errno.EBADF, errno.EPERM}


def sync(path: Path) -> None:
    """Makes a file's content, or a folder's names, durable; raises OSError if that fails.

    A folder on a file system that cannot synchronize folders is left alone.
    """
    if path.is_dir():
        _sync_folder(path)
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        sync_file(descriptor)
    finally:
        os.close(descriptor)


def sync_file(descriptor: int) -> None:
    """Makes an open file durable, content and length, as far as its system can; raises OSError if that fails."""
    if not _full_sync(descriptor):
        os.fsync(descriptor)


def sync_data(descriptor: int) -> None:
    """Makes the content of an open file durable, but not its times; raises OSError if that fails."""
    if not _full_sync(descriptor):
        getattr(os, "fdatasync", os.fsync)(descriptor)


def _full_sync(descriptor: int) -> bool:
    """Empties the drive's cache too, on macOS; False where the system or the file system has no such call."""
    if FULL_FSYNC is None:
        return False
    try:
        fcntl.fcntl(descriptor, FULL_FSYNC)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        return False
    return True


def _sync_folder(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        if error.errno not in UNSUPPORTED_FOLDER:
            raise
        return
    try:
        sync_file(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED_FOLDER:
            raise
    finally:
        os.close(descriptor)


def is_there(path: Path) -> bool:
    """Whether a file is there that can be read: it is opened, for which network file systems look anew for its name."""
    try:
        os.close(os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0)))
    except OSError:
        return False
    return True


def write_all(descriptor: int, content: Any, offset: int | None = None) -> None:
    """Writes all of `content`, at `offset` or at the file's own position."""
    rest = memoryview(content).cast("B")
    while rest:
        if offset is None:
            count = os.write(descriptor, rest)
        else:
            count = os.pwrite(descriptor, rest, offset)
            offset += count
        rest = rest[count:]


def reserve_space(descriptor: int) -> None:
    """Reserves the whole length of a file with holes, so that a full disk fails now; raises OSError if it is full.

    Does nothing where the system or the file system cannot reserve space. The system call itself is used:
    posix_fallocate writes to every block of a file where it is not supported.
    """
    size, allocate = os.fstat(descriptor).st_size, _allocate()
    if not size or allocate is None:
        return
    while allocate(descriptor, 0, 0, size):
        code = ctypes.get_errno()
        if code == errno.EINTR:
            continue
        if code not in UNSUPPORTED:
            raise OSError(code, os.strerror(code))
        return


@lru_cache(maxsize=1)
def _allocate() -> Callable[[int, int, int, int], int] | None:
    """The function fallocate of the C library, with 64-bit lengths; None where there is none."""
    library = ctypes.CDLL(None, use_errno=True)
    # Where there is no fallocate64, lengths have 64 bits already.
    found = getattr(library, "fallocate64", None) or getattr(library, "fallocate", None)
    if found is not None:
        found.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    return found
