"""Global heaps, which hold strings of variable length: checked before HDF5 reads one, as damaged ones make it loop.

Source: HDF5 File Format Specification, version 3.0, section III.E: a collection is "GCOL", its version, 3 bytes, its
size; each object an index and a count, 2 bytes each, 4 bytes, its size, and its bytes up to a multiple of 8. The object
with index 0 is what is free, its header counted with it.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

from msroi_cli.errors import InputError
from msroi_cli.io.hdf5.structure.messages import (
    ATTRIBUTE,
    ATTRIBUTES_ELSEWHERE,
    CONTINUATION,
    NEXT_BLOCK,
    PREFIX,
    attribute_parts,
    messages,
)

SIGNATURE = b"GCOL\x01"
HEADER = struct.Struct("<8xQ")
OBJECT = struct.Struct("<H6xQ")

# What an attribute holds of a string of variable length: its length, and the collection and the index of its text.
STRING = struct.Struct("<IQI")
MOST_BLOCKS, LONGEST_BLOCK = 8, 1 << 16

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


def check_heap_of(path: Path, header: int, name: bytes, sound: set[int]) -> bool:
    """Checks only the collection with the text of an attribute of the object with a header at an address.

    Returns False where the header does not say in a plain way which that is. sound: collections that have been checked,
    to which this one is added. Raises as `check_heaps` does.
    """
    with path.open("rb") as file:
        try:
            found = _collections(file.fileno(), header, name)
        except (ValueError, OverflowError, struct.error):
            return False
        for start in found.difference(sound):
            if start + HEADER.size <= os.fstat(file.fileno()).st_size:
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                    if not _is_sound(content, start, len(content)):
                        raise InputError(f"{path}: cannot be read: expected a global heap of objects at {start}")
            sound.add(start)
    return bool(found)


def _collections(descriptor: int, header: int, name: bytes) -> set[int]:
    """Where the texts of the attributes of a name are; raises ValueError for a header that is not plain."""
    version, _, _, size = PREFIX.unpack(os.pread(descriptor, PREFIX.size, header))
    blocks, found = [(header + PREFIX.size, size)], set()
    for address, size in blocks:
        content = os.pread(descriptor, size, address) if size <= LONGEST_BLOCK else b""
        if version != 1 or len(content) < size or len(blocks) > MOST_BLOCKS:
            raise ValueError("expected a few blocks of a header of version 1")
        for message in messages(content):
            if message.kind == ATTRIBUTES_ELSEWHERE:
                raise ValueError("expected all attributes in the header")
            if message.kind == CONTINUATION:
                blocks.append(NEXT_BLOCK.unpack_from(content, message.first))
            if message.kind == ATTRIBUTE:
                parts = attribute_parts(content, message)
                if parts.name == name:
                    found.add(STRING.unpack_from(content[: message.stop], parts.first)[1])
    return found


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
