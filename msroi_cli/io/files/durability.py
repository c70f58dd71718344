"""What it takes for bytes and names to be on the disk: complete writes, fsync, reserved space."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def sync(path: Path) -> None:
    """Has the disk take a file's content, or a folder's names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
    """Has the file system set aside the whole length of a file with holes, so that a full disk is noticed now."""
    size = os.fstat(descriptor).st_size
    if size and hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)


sync_data = getattr(os, "fdatasync", os.fsync)
