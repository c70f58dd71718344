"""Maps whose values stand in an HDF5 file as they are in memory: fetched with pread, from any thread.

h5py lets one thread at a time into HDF5. Values that stand in the file as they are, or in chunks compressed one by one,
are therefore fetched with pread: HDF5 is only asked where they lie. It is pread and not a memory map, because a file
that was cut short or a server that went away must become an error, not a SIGBUS.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from time import perf_counter
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError, RunError
from msroi_cli.io.features.source import MapSource, ReadRequest
from msroi_cli.io.features.trips import Trips

# The most buffers that a system call takes, on Linux and macOS.
BUFFERS_AT_ONCE = 1024

# Maps of at most SMALL_READ bytes, with at most SMALL_GAP between them, are read in one call: a call and the wait for
# the interpreter's lock cost more than the bytes.
SMALL_READ, SMALL_GAP = 64 << 10, 16 << 10

PAGE = 4096

# How a system is told what will be read. More than so many bytes in a row it reads ahead by itself.
ADVISE, MOST_EXPECTED = getattr(os, "posix_fadvise", None), 256 << 10

# So many reads are expected while as many are done.
READS_AHEAD = 256


@dataclass(slots=True, eq=False)
class RawFile:
    """A file open for pread: its descriptor, its name for messages, and how long reads of it take."""

    descriptor: int
    name: str
    trips: Trips = field(default_factory=Trips, kw_only=True)

    def expect(self, start: int, stop: int) -> None:
        """Has the system fetch bytes that are about to be read, where it can and would not do so by itself."""
        if ADVISE is not None and stop - start <= MOST_EXPECTED:
            ADVISE(self.descriptor, start, stop - start, os.POSIX_FADV_WILLNEED)

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


@dataclass(slots=True, eq=False)
class ContiguousMap(MapSource):
    """A map whose values stand in `file` one after the other, from byte `offset` on."""

    file: RawFile
    offset: int

    @property
    def size(self) -> int:
        """The bytes of all values."""
        return self.shape[0] * self.shape[1] * self.shape[2] * self.dtype.itemsize

    @property
    def is_small(self) -> bool:
        """Whether reading it takes longer for the call than for the bytes, and its values are aligned in the file."""
        return self.size <= SMALL_READ and self.is_aligned

    @property
    def is_aligned(self) -> bool:
        """Whether its values are aligned in the file."""
        return not self.offset % self.dtype.itemsize

    def start_of(self, channel: int) -> int:
        """The offset of a channel in the file."""
        return self.offset + channel * self.channel_bytes


def read_contiguous(requests: Sequence[ReadRequest[ContiguousMap]], channel: int) -> None:
    """Reads the channels from `channel` on; small maps close together in one file in one call.

    The system is told of some reads while it does those before, so that it need not wait for the disk after each.
    """
    waiting: _Reads | None = None
    for reads in _all_reads(requests, channel):
        reads.expect()
        if waiting is not None:
            waiting.run()
        waiting = reads
    if waiting is not None:
        waiting.run()


def _all_reads(requests: Sequence[ReadRequest[ContiguousMap]], channel: int) -> Iterator[_Reads]:
    near: list[_Span] = []
    for span in sorted((_span(request, channel) for request in requests), key=_Span.place):
        if near and not near[-1].is_near(span):
            yield from _reads_of(near, channel)
            near = []
        near.append(span)
    yield from _reads_of(near, channel)


def _reads_of(near: list[_Span], channel: int) -> Iterator[_Reads]:
    if len(near) > 1:
        yield _SpanReads(near, channel)
    else:
        yield from _row_reads(near[0].request, channel)


def _row_reads(request: ReadRequest[ContiguousMap], channel: int) -> Iterator[_RowReads]:
    """The reads of one map: its ranges of rows, and what lies between them where that takes less time than a read."""
    ranges, trips = byte_ranges(request), request.source.file.trips
    while ranges:
        gap = max(SMALL_GAP, trips.worth_reading())
        some: list[tuple[int, int]] = []
        while ranges and len(some) < READS_AHEAD:
            some.append(take_near(ranges, gap))
        yield _RowReads(request, channel, some)


def read_rows(request: ReadRequest[ContiguousMap], channel: int) -> None:
    """Reads one map."""
    for reads in _row_reads(request, channel):
        reads.run()


def byte_ranges(request: ReadRequest[ContiguousMap]) -> deque[tuple[int, int]]:
    """Where in the bytes of `out` the rows of a request begin and end, those of each channel, ascending."""
    _, height, width = request.source.shape
    line = width * request.source.dtype.itemsize
    if request.rows == [(0, height)]:
        return deque([(0, request.out.nbytes)])
    planes = range(0, request.out.nbytes, height * line)
    return deque((plane + first * line, plane + last * line) for plane in planes for first, last in request.rows)


def take_near(ranges: deque[tuple[int, int]], gap: int) -> tuple[int, int]:
    """Takes the first of `ranges` and those behind it, at most `gap` bytes apart: where they begin and end together."""
    start, stop = ranges.popleft()
    while ranges and ranges[0][0] - stop <= gap:
        stop = ranges.popleft()[1]
    return start, stop


def read_small(maps: Sequence[ContiguousMap]) -> list[NDArray[Any]]:
    """Whole small maps of one file, (1, C, H, W) each, as views of what is read of the file, which is never in pieces.

    What lies between two that are close together is read along. Raises as `RawFile.read_into` does.
    """
    file, where = maps[0].file, maps[0].where
    starts = np.array([one.offset for one in maps])
    stops = starts + [one.size for one in maps]
    order = np.argsort(starts, kind="stable")
    ends = np.maximum.accumulate(stops[order])
    cuts = np.flatnonzero(starts[order][1:] - ends[:-1] > SMALL_GAP) + 1
    firsts, lasts = starts[order][[0, *cuts]], ends[[*(cuts - 1), -1]]
    # Values keep their places among the bytes of a page, so that they are aligned in memory as they are in the file.
    rooms = np.cumsum([0, *(-(-(lasts - firsts) // PAGE) + 1) * PAGE])
    memory = np.empty(int(rooms[-1]), np.uint8)
    places = rooms[:-1] + firsts % PAGE
    runs = list(zip(firsts.tolist(), lasts.tolist(), places.tolist(), strict=True))
    for number, (first, last, place) in enumerate(runs):
        for following in runs[number + 1 : number + 2]:
            file.expect(*following[:2])
        file.read_into([memory[place : place + last - first]], first, where)
    run = np.searchsorted(firsts, starts, "right") - 1
    offsets = (places[run] + starts - firsts[run]).tolist()
    return [
        np.ndarray((1, *one.shape), one.dtype, memory.data, offset) for one, offset in zip(maps, offsets, strict=True)
    ]


class _Reads(Protocol):
    """Reads of one file that are done one after the other."""

    def expect(self) -> None:
        """Has the system fetch what will be read, where it can."""

    def run(self) -> None:
        """Reads; raises as `RawFile.read_into` does."""


@dataclass(slots=True)
class _RowReads:
    """The `ranges` of the bytes of a request's `out`, from `channel` on. seconds: what they have taken so far."""

    request: ReadRequest[ContiguousMap]
    channel: int
    ranges: Sequence[tuple[int, int]]
    seconds: float = 0.0

    def expect(self) -> None:
        source, started = self.request.source, perf_counter()
        offset = source.start_of(self.channel)
        for start, stop in self.ranges:
            source.file.expect(offset + start, offset + stop)
        self.seconds += perf_counter() - started

    def run(self) -> None:
        source = self.request.source
        flat, offset = self.request.out.reshape(-1).view(np.uint8), source.start_of(self.channel)
        started = perf_counter()
        for start, stop in self.ranges:
            source.file.read_into([flat[start:stop]], offset + start, source.where)
        total = sum(stop - start for start, stop in self.ranges)
        self.seconds += perf_counter() - started
        source.file.trips.add(len(self.ranges), total, self.seconds)


class _SpanReads(NamedTuple):
    """Small maps that are read in one call."""

    spans: Sequence[_Span]
    channel: int

    def expect(self) -> None:
        self.spans[0].request.source.file.expect(self.spans[0].start, self.spans[-1].stop)

    def run(self) -> None:
        _read_spans(self.spans, self.channel)


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
    first, gap = spans[0], bytearray(SMALL_GAP)
    buffers: list[Any] = [first.request.out]
    for before, after in pairwise(spans):
        buffers += [memoryview(gap)[: after.start - before.stop], after.request.out]
    with suppress(InputError, RunError):
        first.request.source.file.read_into(buffers, first.start, first.request.source.where)
        return
    # One by one to find the map that cannot be read.
    for span in spans:
        read_rows(span.request, channel)
