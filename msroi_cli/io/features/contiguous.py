"""Maps whose values stand in an HDF5 file as they are in memory: fetched with pread, from any thread.

h5py lets one thread at a time into HDF5. Values that stand in the file as they are, or in chunks compressed one by one,
are therefore fetched with pread: HDF5 is only asked where they lie. It is pread and not a memory map, because a file
that was cut short or a server that went away must become an error, not a SIGBUS.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from msroi_cli.errors import InputError, RunError
from msroi_cli.io.features.source import MapSource, ReadRequest

# The most buffers that a system call takes, on Linux and macOS.
BUFFERS_AT_ONCE = 1024

# Maps of at most SMALL_READ bytes, with at most SMALL_GAP between them, are read in one call: a call and the wait for
# the interpreter's lock cost more than the bytes.
SMALL_READ, SMALL_GAP = 64 << 10, 16 << 10


@dataclass(frozen=True, slots=True)
class RawFile:
    """A file open for pread: its descriptor, and its name for messages."""

    descriptor: int
    name: str

    def read_into(self, buffers: Sequence[Any], offset: int, where: str) -> None:
        """Fills `buffers` one after the other from `offset` on.

        Raises InputError if the file ends before, RunError if reading fails; `where` names what is read.
        """
        rest = [memoryview(buffer).cast("B") for buffer in buffers]
        while rest := [buffer for buffer in rest if buffer]:
            try:
                count = os.preadv(self.descriptor, rest[:BUFFERS_AT_ONCE], offset)
            except OSError as error:
                raise RunError(f"{where}: cannot be read: {error.strerror}") from error
            if not count:
                missing = sum(map(len, rest))
                raise InputError(f"{where}: expected {missing} bytes more at {offset}, got the end of {self.name}")
            offset += count
            for number, buffer in enumerate(rest):
                rest[number] = buffer[count:]
                count -= min(count, len(buffer))
                if not count:
                    break


@dataclass(frozen=True, slots=True, eq=False)
class ContiguousMap(MapSource):
    """A map whose values stand in `file` one after the other, from byte `offset` on."""

    file: RawFile
    offset: int

    def start_of(self, channel: int) -> int:
        """The offset of a channel in the file."""
        return self.offset + channel * self.channel_bytes


def read_contiguous(requests: Sequence[ReadRequest[ContiguousMap]], channel: int) -> None:
    """Reads the channels from `channel` on; small maps close together in one file in one call."""
    near: list[_Span] = []
    for span in sorted((_span(request, channel) for request in requests), key=_Span.place):
        if near and not near[-1].is_near(span):
            _read_spans(near, channel)
            near = []
        near.append(span)
    _read_spans(near, channel)


def read_rows(request: ReadRequest[ContiguousMap], channel: int) -> None:
    """Reads one map: one pread for all of it, or one for each range of rows of each channel."""
    source = request.source
    _, height, width = source.shape
    line = width * source.dtype.itemsize
    start = source.start_of(channel)
    flat = request.out.reshape(-1).view(np.uint8)
    if request.rows == [(0, height)]:
        source.file.read_into([flat], start, source.where)
        return
    for plane in range(0, len(flat), height * line):
        for first, last in request.rows:
            rows = flat[plane + first * line : plane + last * line]
            source.file.read_into([rows], start + plane + first * line, source.where)


class _Span(NamedTuple):
    """The bytes of the file from `start` to `stop`, which a request asks for."""

    start: int
    stop: int
    small: bool
    request: ReadRequest[ContiguousMap]

    def place(self) -> tuple[int, int]:
        """What spans are sorted by: those of one file by their offset."""
        return id(self.request.source.file), self.start

    def is_near(self, following: _Span) -> bool:
        """Whether reading both in one call is cheaper."""
        if self.request.source.file is not following.request.source.file:
            return False
        return self.small and following.small and 0 <= following.start - self.stop <= SMALL_GAP


def _span(request: ReadRequest[ContiguousMap], channel: int) -> _Span:
    start = request.source.start_of(channel)
    small = request.out.nbytes <= SMALL_READ and request.rows == [(0, request.source.shape[1])]
    return _Span(start, start + request.out.nbytes, small, request)


def _read_spans(spans: Sequence[_Span], channel: int) -> None:
    first, *others = spans
    if others:
        gap = bytearray(SMALL_GAP)
        buffers: list[Any] = [first.request.out]
        for before, after in pairwise(spans):
            buffers += [memoryview(gap)[: after.start - before.stop], after.request.out]
        with suppress(InputError, RunError):
            first.request.source.file.read_into(buffers, first.start, first.request.source.where)
            return
    # A single map, or one by one to find the map that cannot be read.
    for span in spans:
        read_rows(span.request, channel)
