"""Ways to damage an HDF5 file that HDF5 itself does not offer."""

from __future__ import annotations

import struct
import zlib
from functools import cache
from pathlib import Path

import h5py


@cache
def deflated_zeros(size: int) -> bytes:
    """A zlib stream a thousandth as long as the zeros that it becomes: `size` of them, a multiple of 1 MiB.

    One MiB is deflated and repeated, as deflating all takes seconds. Source: RFC 1950: header, deflated data, Adler-32,
    whose lower half is 1 for zeros, and whose upper half is their number modulo 65521.
    """
    piece = 1 << 20
    assert size % piece == 0
    deflate = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    copy = deflate.compress(bytes(piece)) + deflate.flush(zlib.Z_FULL_FLUSH)
    return b"\x78\xda" + copy * (size // piece) + deflate.flush() + struct.pack(">I", (size % 65521) << 16 | 1)


def bytes_replaced(path: Path, old: bytes, new: bytes) -> None:
    """Replaces what occurs once in a file by bytes of the same length."""
    content = path.read_bytes()
    assert content.count(old) == 1, (content.count(old), old)
    assert len(old) == len(new)
    path.write_bytes(content.replace(old, new))


def chunks_written(path: Path, name: str, number: int, new) -> None:
    """Gives a chunk the bytes that `new` makes of those it has."""
    with h5py.File(path, "r+") as file:
        dataset = file[name].id
        info = dataset.get_chunk_info(number)
        mask, content = dataset.read_direct_chunk(info.chunk_offset)
        dataset.write_direct_chunk(info.chunk_offset, new(content), mask)


def chunk_record_edited(path: Path, name: str, number: int, *, size=None, mask=None, offset=None, address=None) -> None:
    """Changes what the index (a B-tree of version 1) has of a chunk.

    Source: HDF5 File Format Specification, version 3.0, section III.A.1: a key is the size and the filter mask, 4 bytes
    each, and the offset of the chunk in each axis and in the bytes of an element, 8 bytes each; the address follows.
    """
    with h5py.File(path) as file:
        info = file[name].id.get_chunk_info(number)
    rank = len(info.chunk_offset) + 1

    def record(size, mask, offset, address):
        return struct.pack(f"<II{rank}QQ", size, mask, *offset, 0, address)

    bytes_replaced(
        path,
        record(info.size, info.filter_mask, info.chunk_offset, info.byte_offset),
        record(
            info.size if size is None else size,
            info.filter_mask if mask is None else mask,
            info.chunk_offset if offset is None else offset,
            info.byte_offset if address is None else address,
        ),
    )
