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
from numpy.typing import NDArray

from msroi_cli.errors import InputError, RunError
from msroi_cli.io.features.source import MapSource, Runs, Wanted

# The most buffers that a system call takes, on Linux and macOS.
BUFFERS_AT_ONCE = 1024

# Maps of at most so many bytes, with at most so many between them, are read in one go: a call and a turn at the
# interpreter's lock cost more than the bytes.
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


class ContiguousMap(MapSource):
    """A map whose values stand in the file one after the other, from `offset` on."""

    def __init__(
        self, file: RawFile, offset: int, shape: tuple[int, int, int], dtype: np.dtype[Any], where: str
    ) -> None:
        self.file = file
        self._offset = offset
        self.shape = shape
        self.dtype = dtype
        self.where = where

    def start_of(self, channel: int) -> int:
        """Where a channel begins in the file."""
        return self._offset + channel * self.channel_bytes

    def read_into(self, out: NDArray[Any], channel: int, runs: Runs) -> None:
        """One pread for everything, or one for each run of rows of each channel."""
        _, height, width = self.shape
        line = width * self.dtype.itemsize
        start = self.start_of(channel)
        flat = out.reshape(-1).view(np.uint8)
        if runs == [(0, height)]:
            self.file.read_into([flat], start, self.where)
            return
        for plane in range(0, len(flat), height * line):
            for first, last in runs:
                rows = flat[plane + first * line : plane + last * line]
                self.file.read_into([rows], start + plane + first * line, self.where)

    @staticmethod
    def read_together(wanted: Sequence[Wanted[ContiguousMap]], channel: int) -> None:
        """Reads small maps that lie close together in one go, and what lies between them."""
        near: list[_Stretch] = []
        for stretch in sorted((_stretch(one, channel) for one in wanted), key=lambda stretch: stretch.start):
            if near and not near[-1].is_near(stretch):
                _read_near(near, channel)
                near = []
            near.append(stretch)
        _read_near(near, channel)


class _Stretch(NamedTuple):
    """The bytes of the file from `start` to `stop`, which hold what is `wanted`."""

    start: int
    stop: int
    small: bool
    wanted: Wanted[ContiguousMap]

    def is_near(self, following: _Stretch) -> bool:
        """Whether it is worthwhile to read both in one go."""
        return self.small and following.small and 0 <= following.start - self.stop <= SMALL_GAP


def _stretch(one: Wanted[ContiguousMap], channel: int) -> _Stretch:
    start = one.source.start_of(channel)
    small = one.out.nbytes <= SMALL_READ and one.runs == [(0, one.source.shape[1])]
    return _Stretch(start, start + one.out.nbytes, small, one)


def _read_near(stretches: Sequence[_Stretch], channel: int) -> None:
    first, *others = stretches
    if others:
        between = bytearray(SMALL_GAP)
        buffers: list[Any] = [first.wanted.out]
        for before, after in pairwise(stretches):
            buffers += [memoryview(between)[: after.start - before.stop], after.wanted.out]
        with suppress(InputError, RunError):
            first.wanted.source.file.read_into(buffers, first.start, first.wanted.source.where)
            return
    # Alone, or to find out which of them cannot be read.
    for stretch in stretches:
        stretch.wanted.source.read_into(stretch.wanted.out, channel, stretch.wanted.runs)
