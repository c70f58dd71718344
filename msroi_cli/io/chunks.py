"""Maps stored in chunks, plain or through deflate, shuffle and fletcher32: fetched and decoded on any thread.

HDF5 is asked only where a chunk lies. What it says of a chunk is honoured: its filter mask, fill values where a chunk
was never written, whole chunks at the edges. A chunk that does not decode is left to h5py, whose verdict counts.
Source: HDF5 File Format Specification, version 3.0, sections III.F and IV.A.2.l (filter pipeline).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.io.maps import FetchedMap, MapSource, RawFile, Runs

try:
    from isal.isal_zlib import decompress as inflate
except ImportError:
    from zlib import decompress as inflate

Decoder = Callable[[bytes, int], bytes]

DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3


class UndecodableError(Exception):
    """A chunk is not what its filters make."""


def _inflate(content: bytes, itemsize: int) -> bytes:
    inflated: bytes = inflate(content)
    return inflated


def _unshuffle(content: bytes, itemsize: int) -> bytes:
    """Puts the bytes of each element side by side again; bytes beyond the last whole element stay where they are."""
    count = len(content) // itemsize
    planes = np.frombuffer(content, np.uint8, count * itemsize).reshape(itemsize, count)
    elements = np.empty((count, itemsize), np.uint8)
    for index, plane in enumerate(planes):
        elements[:, index] = plane
    return elements.tobytes() + content[count * itemsize :]


def _check_fletcher32(content: bytes, itemsize: int) -> bytes:
    """Drops the checksum at the end; raises UndecodableError if it is not that of the rest."""
    body, stored = content[:-4], int.from_bytes(content[-4:], "little")
    words = np.frombuffer(body + b"\0" * (len(body) % 2), ">u2").astype(np.uint64)
    first = int(words.sum() % 65535)
    second = int((words * np.arange(len(words), 0, -1, dtype=np.uint64)).sum() % 65535)
    if (stored % 65536) % 65535 != first or (stored >> 16) % 65535 != second:
        raise UndecodableError
    return body


DECODERS: dict[int, Decoder] = {DEFLATE: _inflate, SHUFFLE: _unshuffle, FLETCHER32: _check_fletcher32}


@dataclass(frozen=True, slots=True)
class ChunkStorage:
    """How a dataset is chunked.

    chunks: the shape of a chunk. filters: filter codes in the order in which they were applied, all in DECODERS.
    find: the (byte offset or None, size, filter mask) of the chunk that begins at some coordinates.
    """

    file: RawFile
    chunks: tuple[int, ...]
    filters: tuple[int, ...]
    fill: Any
    find: Callable[[tuple[int, ...]], tuple[int | None, int, int]]


class ChunkedMap(MapSource):
    """A map (C, H, W), or entry `image` of (N, C, H, W), in chunks. `whole` reads the same by way of h5py."""

    def __init__(self, storage: ChunkStorage, image: int, whole: FetchedMap) -> None:
        self._storage = storage
        self._image = image
        self._whole = whole
        self.shape = whole.shape
        self.dtype = whole.dtype
        self.where = whole.where
        self.channels_at_once = storage.chunks[-3]

    def read_into(self, out: NDArray[Any], channel: int, runs: Runs) -> None:
        """Decodes every chunk that holds one of the rows."""
        try:
            for origin in self._origins(channel, len(out), runs):
                self._copy(self._chunk(origin), origin, out, channel)
        except (UndecodableError, zlib.error, ValueError):
            self._whole.read_into(out, channel, runs)

    def _origins(self, channel: int, count: int, runs: Runs) -> Iterator[tuple[int, ...]]:
        """Where the chunks that are needed begin."""
        _, high, wide = self._storage.chunks[-3:]
        deep = self.channels_at_once
        channels = range(channel // deep * deep, channel + count, deep)
        rows = sorted({row // high * high for start, stop in runs for row in range(start, stop)})
        columns = range(0, self.shape[2], wide)
        head = (
            ()
            if len(self._storage.chunks) == 3
            else (self._image // self._storage.chunks[0] * self._storage.chunks[0],)
        )
        return ((*head, *rest) for rest in product(channels, rows, columns))

    def _chunk(self, origin: tuple[int, ...]) -> NDArray[Any]:
        """The chunk (c, h, w) of this image that begins at `origin`."""
        storage = self._storage
        offset, size, mask = storage.find(origin)
        if offset is None:
            return np.full(storage.chunks[-3:], storage.fill, self.dtype)
        buffer = bytearray(size)
        storage.file.read_into(buffer, offset, self.where)
        content: Any = bytes(buffer)
        for index, code in reversed(list(enumerate(storage.filters))):
            if not mask >> index & 1:
                content = DECODERS[code](content, self.dtype.itemsize)
        chunk = np.frombuffer(content, self.dtype).reshape(storage.chunks)
        return chunk if chunk.ndim == 3 else chunk[self._image - origin[0]]

    def _copy(self, chunk: NDArray[Any], origin: tuple[int, ...], out: NDArray[Any], channel: int) -> None:
        begin, top, left = origin[-3:]
        first, last = max(begin, channel), min(begin + len(chunk), channel + len(out))
        height, width = (
            min(side, whole - start)
            for side, whole, start in zip(chunk.shape[1:], self.shape[1:], (top, left), strict=True)
        )
        out[first - channel : last - channel, top : top + height, left : left + width] = chunk[
            first - begin : last - begin, :height, :width
        ]
