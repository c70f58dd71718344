"""Files without a name: what is in one is gone with its process, and visible to others when it is given a name.

Source: open(2) and linkat(2) of Linux, O_TMPFILE and AT_SYMLINK_FOLLOW. Other systems, and file systems such as NFS,
have no such files.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

# What a file system answers that has no such files; EISDIR is that of a system that does not know the flag.
UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.ENOTSUP, errno.EISDIR, errno.EINVAL, errno.ENOSYS})


def create_unnamed(folder: Path) -> int | None:
    """Makes a file on the file system of `folder`, open to read and write; None where there is no such thing.

    Raises OSError for what else the file system refuses.
    """
    flag = getattr(os, "O_TMPFILE", None)
    if flag is None:
        return None
    try:
        descriptor = os.open(folder, flag | os.O_RDWR | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in UNSUPPORTED:
            return None
        raise
    if unnamed_path(descriptor).exists():
        return descriptor
    # Without /proc it could not get a name.
    os.close(descriptor)
    return None


def unnamed_path(descriptor: int) -> Path:
    """What this process can open a file by that has no name, while it is open as `descriptor`."""
    return Path(f"/proc/self/fd/{descriptor}")


def give_name(descriptor: int, path: Path) -> None:
    """Gives a file that has no name one; raises FileExistsError if anything has it, or OSError."""
    # With a folder's descriptor, which an absolute name makes no use of, the link in /proc is followed.
    os.link(unnamed_path(descriptor), path, src_dir_fd=descriptor, follow_symlinks=True)
