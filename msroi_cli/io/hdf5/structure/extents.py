"""The bytes at many places of a file: read in a few calls, and taken out side by side."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import accumulate

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Addresses = NDArray[np.int64]
Piece = tuple[int, int, int]

# Places with less than this between them are read in one go: every read gives the interpreter's lock to other threads.
GAP = 32 << 10

MOST_KEPT = 16 << 20

# What is read behind the last place: other parts of the same object mostly follow.
AHEAD = 4 << 10


class Extents:
    """What has been read of a file, open as `descriptor`, since `forget`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        # Kept when its content is forgotten: memory that is used again need not be cleared.
        self._memory: Bytes = np.empty(0, np.uint8)
        self.forget()

    def forget(self) -> None:
        """Lets go of what has been read."""
        self._filled = 0
        if len(self._memory) > MOST_KEPT:
            self._memory = np.empty(0, np.uint8)
        # Where each piece begins and ends in the file, and where it begins in memory.
        self._pieces: list[Piece] = []
        self._starts: Addresses = np.empty(0, np.int64)
        self._longest: Addresses = np.empty((0, 3), np.int64)

    def rows(self, addresses: Addresses, width: int) -> tuple[Bytes, NDArray[np.bool_]]:
        """The bytes at some addresses (n,), (n, width), and whether the file has all of them, (n,); else undefined."""
        place = self._place(addresses, width)
        if (place < 0).any():
            self._read(addresses[place < 0], width)
            place = self._place(addresses, width)
        if self._filled < width:
            return np.zeros((len(addresses), width), np.uint8), np.zeros(len(addresses), np.bool_)
        return sliding_window_view(self._memory[: self._filled], width)[np.maximum(place, 0)], place >= 0

    def _place(self, addresses: Addresses, width: int) -> Addresses:
        """Where in the content the bytes at each address are, (n,); -1 where they are not."""
        if not self._pieces:
            return np.full(len(addresses), -1)
        piece = np.searchsorted(self._starts, addresses, "right") - 1
        start, stop, place = self._longest[piece].T
        return np.where((piece >= 0) & (addresses <= stop - width), place + addresses - start, -1)

    def _read(self, addresses: Addresses, width: int) -> None:
        """Reads the bytes at some addresses, as far as the file has them."""
        size = os.fstat(self._descriptor).st_size
        wanted = np.sort(addresses[(addresses >= 0) & (addresses < size)])
        runs = list(_runs(wanted, max(width, AHEAD), size))
        self._make_room(sum(stop - start for start, stop in runs))
        for start, stop in runs:
            try:
                room = self._memory[self._filled : self._filled + stop - start]
                count = os.preadv(self._descriptor, [room.data], start)
            except OSError:
                # Whoever needs these bytes asks HDF5 for them, which says what is wrong.
                continue
            self._pieces.append((start, start + count, self._filled))
            self._filled += count
        self._pieces.sort()
        # Of all pieces that begin at or before one the one that goes on longest: pieces may overlap.
        longest = accumulate(self._pieces, _longer)
        self._starts = np.array([start for start, _, _ in self._pieces], np.int64)
        self._longest = np.array(list(longest), np.int64).reshape(-1, 3)

    def _make_room(self, size: int) -> None:
        """Has memory for so many bytes more."""
        if self._filled + size > len(self._memory):
            larger = np.empty(2 * (self._filled + size), np.uint8)
            larger[: self._filled] = self._memory[: self._filled]
            self._memory = larger


def _longer(one: Piece, other: Piece) -> Piece:
    """The piece that ends later."""
    return other if other[1] > one[1] else one


def _runs(addresses: Addresses, width: int, size: int) -> Iterator[tuple[int, int]]:
    """Where each piece that is read of a file of `size` bytes begins and ends; addresses: (n,), ascending."""
    if len(addresses):
        cuts = np.flatnonzero(np.diff(addresses) > GAP) + 1
        firsts, lasts = addresses[[0, *cuts]], addresses[[*(cuts - 1), -1]]
        for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
            yield first, min(last + width, size)
