"""Global heaps, which hold strings of variable length: checked before HDF5 reads one, as damaged ones make it loop.

Source: HDF5 File Format Specification, version 3.0, section III.E: a collection is "GCOL", its version, 3 bytes, its
size; each object an index and a count, 2 bytes each, 4 bytes, its size, and its bytes up to a multiple of 8. The object
with index 0 is what is free, its header counted with it.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from msroi_cli.errors import InputError

SIGNATURE = b"GCOL\x01"
HEADER = struct.Struct("<8xQ")
OBJECT = struct.Struct("<H6xQ")

# Strings are written near the start or the end of a file; what lies between is not searched in files of more than both.
WINDOW = 128 << 20


def check_heaps(path: Path) -> None:
    """Raises InputError for a collection whose objects do not fill it one after the other, OSError as reading does."""
    with path.open("rb") as file:
        size = path.stat().st_size
        if not size:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            windows = [(0, size)] if size <= 2 * WINDOW else [(0, WINDOW), (size - WINDOW, size)]
            for start, stop in windows:
                while (start := content.find(SIGNATURE, start, stop)) >= 0:
                    if not _is_sound(content, start, size):
                        raise InputError(f"{path}: cannot be read: expected a global heap of objects at {start}")
                    start += len(SIGNATURE)


def _is_sound(content: mmap.mmap, start: int, end: int) -> bool:
    """Whether the collection at `start` can be read to its end; True for bytes that only look like one."""
    if end - start < HEADER.size:
        return True
    stop = start + int(HEADER.unpack_from(content, start)[0])
    if stop > end:
        return True  # HDF5 refuses it
    at = start + HEADER.size
    while stop - at >= OBJECT.size:
        index, size = OBJECT.unpack_from(content, at)
        step = size if index == 0 else OBJECT.size + (size + 7) // 8 * 8
        if not 0 < step <= stop - at:
            return False
        at += step
    return True
