"""HDF5's filters backwards: from the bytes of a chunk in the file to elements in their place.

What takes time is done by isal or zlib, and by the native extension; without that by NumPy, and LZF not at all.
Source: HDF5 File Format Specification, version 3.0, section IV.A.2.l (filter pipeline).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.extension import NATIVE, native
from msroi_cli.io.hdf5.pipeline import DEFLATE, FLETCHER32, LZF, SHUFFLE

try:
    from isal import isal_zlib as zlib
except ImportError:
    import zlib

Content = bytes | NDArray[np.uint8]


class UndecodableError(Exception):
    """A chunk is not what its filters make."""


def _inflated(content: Content, size: int) -> Content:
    """At most `size` bytes and one more are made, however many there are."""
    stream = zlib.decompressobj()
    try:
        expanded: bytes = stream.decompress(content, size + 1)
    except zlib.error as error:
        raise UndecodableError from error
    if len(expanded) > size or not stream.eof:
        raise UndecodableError
    return expanded


def _lzf_expanded(content: Content, size: int) -> Content:
    try:
        return native.lzf_expanded(content, size)
    except ValueError as error:
        raise UndecodableError from error


def _without_checksum(content: Content, size: int) -> Content:
    """Drops the checksum at the end; raises UndecodableError if it is not that of the rest."""
    body, stored = content[:-4], int.from_bytes(content[-4:], "little")
    halves = (stored >> 16) % 65535 << 16 | stored % 65536 % 65535
    if halves != CHECKSUM(body):
        raise UndecodableError
    return body


def fletcher32(content: Content) -> int:
    """The twin of the native `fletcher32`: each half of the checksum modulo 65535."""
    padded = np.frombuffer(bytes(content) + b"\0" * (len(content) % 2), ">u2").astype(np.uint64)
    second = (padded * np.arange(len(padded), 0, -1, dtype=np.uint64)).sum()
    return int(second % 65535) << 16 | int(padded.sum() % 65535)


def unshuffle_into(out: NDArray[Any], content: Content, start: int, rows: int, columns: int) -> None:
    """The twin of the native one: puts element start + (i * rows + j) * columns + k at (i, j, k) of `out` (c, h, w)."""
    count = len(content) // out.itemsize
    planes = np.frombuffer(content, np.uint8, count * out.itemsize).reshape(out.itemsize, count)
    stop = start + len(out) * rows * columns
    elements = np.empty((stop - start, out.itemsize), np.uint8)
    for index, plane in enumerate(planes):
        elements[:, index] = plane[start:stop]
    out[:] = elements.view(out.dtype).reshape(len(out), rows, columns)[:, : out.shape[1], : out.shape[2]]


CHECKSUM = native.fletcher32 if NATIVE else fletcher32
UNSHUFFLE = native.unshuffle_into if NATIVE else unshuffle_into

# By filter code. The shuffle filter is undone on the way to where elements go.
DECODERS: dict[int, Callable[[Content, int], Content]] = {DEFLATE: _inflated, FLETCHER32: _without_checksum}
if NATIVE:
    DECODERS[LZF] = _lzf_expanded


def decodable(filters: Sequence[int]) -> bool:
    """Whether chunks that went through `filters`, in this order, can be decoded here."""
    return set(filters[is_shuffled(filters) :]) <= set(DECODERS)


def is_shuffled(filters: Sequence[int]) -> bool:
    """Whether what went through `filters` is shuffled when all others are undone."""
    return bool(filters) and filters[0] == SHUFFLE


def decoded(content: Content, filters: Sequence[int], size: int) -> Content:
    """The `size` bytes of a chunk, still shuffled if that was the first of `filters`; raises UndecodableError."""
    for code in reversed(filters):
        if code != SHUFFLE:
            content = DECODERS[code](content, size)
    if len(content) != size:
        raise UndecodableError
    return content


def elements_into(out: NDArray[Any], content: Content, shuffled: bool, start: int, side: tuple[int, int]) -> None:
    """Fills `out` (c, h, w) with the elements from number `start` on of a chunk whose rows and columns are `side`."""
    rows, columns = side
    if shuffled:
        UNSHUFFLE(out, content, start, rows, columns)
    else:
        chunk = np.frombuffer(content, out.dtype)[start : start + len(out) * rows * columns]
        out[:] = chunk.reshape(len(out), rows, columns)[:, : out.shape[1], : out.shape[2]]
