"""Small datasets that are alike but for where their values lie, told by their object headers without opening them.

To open a dataset with HDF5 takes longer than to pool a small image. The header of a contiguous dataset holds its shape,
its type, its attributes and the address of its values. A header that is byte for byte that of a dataset opened before,
but for these eight bytes, is one of a dataset with the same shape, type and attributes. Anything else, also what stands
apart from the header (attributes in dense storage, continuations, values of variable length), has addresses of its own
in these bytes, so that it differs, and is opened with HDF5.

Headers of version 2 end in a checksum, which is compared as HDF5 does, and is left out of the comparison.

Source: HDF5 file format specification, version 3.0, IV.A.1.a and b: versions 1 and 2 of data object headers.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from msroi_cli.io.hdf5.structure.extents import Addresses, Bytes, Extents
from msroi_cli.io.hdf5.structure.lookup3 import checksums

PREFIX = struct.Struct("<BxHII4x")
LONGEST = 1024

# Version 2: signature and version; flags; times and limits, if flags have these bits; the size of what follows.
SIGNATURE = b"OHDR\x02"
SIZE_BYTES, HAS_LIMITS, HAS_TIMES = 0b11, 0b10000, 0b100000
CHECKSUM_BYTES = 4

# Headers with less than this between them are read in one go: every read gives the interpreter's lock to other threads.
GAP, LARGEST_READ = 64 << 10, 8 << 20
NOWHERE = (1 << 64) - 1

# In a file with more headers that differ, few are like one that is known.
MOST_KNOWN = 4096


Meaning = TypeVar("Meaning")


class Headers(Generic[Meaning]):
    """The headers of datasets in one file, open as `descriptor`, and what was found out about each."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.meanings: list[Meaning] = []
        # The numbers of meanings, by where the address of the values stands, and the header with zeros in its place.
        self._known: dict[int, dict[bytes, int]] = {}
        # Where in headers of one length the addresses of values stand.
        self._places: dict[int, set[int]] = {}
        self._fetched: dict[int, bytes | None] = {}

    def find_all(self, addresses: Addresses, extents: Extents) -> tuple[Addresses, NDArray[np.int64]]:
        """As `find`, of the headers at some addresses (n,): offsets (n,), and the numbers of their `meanings`, (n,).

        The number is -1 of those that are like none, and of those of version 2.
        """
        offsets, kinds = np.full((2, len(addresses)), -1)
        starts, there = extents.rows(addresses, PREFIX.size)
        sizes = np.ascontiguousarray(starts[:, 8:12]).view("<u4")[:, 0].astype(np.int64)
        lengths = np.where(there & (starts[:, 0] == 1), PREFIX.size + sizes, 0)
        for length, places in self._places.items():
            some = np.flatnonzero(lengths == length)
            if some.size:
                rows, there = extents.rows(addresses[some], length)
                some, rows = some[there], rows[there]
                for place in places:
                    offset, kind = self._like(rows.copy(), place)
                    found = (kind >= 0) & (offset >= 0)
                    offsets[some[found]], kinds[some[found]] = offset[found], kind[found]
        return offsets, kinds

    def _like(self, rows: Bytes, place: int) -> tuple[Addresses, NDArray[np.int64]]:
        """The addresses at a place in headers (m, w), (m,), and the numbers of their meanings, (m,)."""
        offsets = np.ascontiguousarray(rows[:, place : place + 8]).view("<i8")[:, 0]
        rows[:, place : place + 8] = 0
        content, width, known = rows.tobytes(), rows.shape[1], self._known.get(place, {})
        starts = range(0, len(content), width)
        return offsets, np.array([known.get(content[start : start + width], -1) for start in starts], np.int64)

    def fetch(self, addresses: Iterable[int]) -> None:
        """Reads the headers at some addresses together; they are kept until others are fetched."""
        self._fetched = {}
        ordered = sorted(addresses)
        start = 0
        for stop in range(1, len(ordered) + 1):
            ends = stop == len(ordered) or ordered[stop] - ordered[stop - 1] > GAP
            if ends or ordered[stop] - ordered[start] > LARGEST_READ:
                self._fetch(ordered[start:stop])
                start = stop

    def _fetch(self, addresses: list[int]) -> None:
        first = addresses[0]
        try:
            content = os.pread(self._descriptor, addresses[-1] + LONGEST - first, first)
        except (OSError, OverflowError):
            return
        for address in addresses:
            self._fetched[address] = _header(content[address - first : address - first + LONGEST])
        self._check(addresses)

    def _check(self, addresses: Iterable[int]) -> None:
        """Takes the checksums off headers that have one, and forgets those whose checksum is not theirs."""
        by_length: dict[int, list[int]] = {}
        for address in addresses:
            header = self._fetched[address]
            if header is not None and header.startswith(SIGNATURE):
                by_length.setdefault(len(header), []).append(address)
        for some in by_length.values():
            whole = [self._fetched[address] or b"" for address in some]
            actual = checksums([header[:-CHECKSUM_BYTES] for header in whole])
            for address, header, checksum in zip(some, whole, actual, strict=True):
                stated = int.from_bytes(header[-CHECKSUM_BYTES:], "little")
                self._fetched[address] = header[:-CHECKSUM_BYTES] if checksum == stated else None

    def learn(self, address: int, offset: int, meaning: Meaning) -> None:
        """Notes that `meaning` was found out about the dataset with a header at `address` and values at `offset`."""
        header = self._read(address)
        value = offset.to_bytes(8, "little")
        if header is not None and header.count(value) == 1 and len(self.meanings) < MOST_KNOWN:
            place = header.index(value)
            self._places.setdefault(len(header), set()).add(place)
            self._known.setdefault(place, {})[_emptied(header, place)] = len(self.meanings)
            self.meanings.append(meaning)

    def find(self, address: int) -> tuple[int, Meaning] | None:
        """The offset of the values and the meaning of a header that is like one known; None if none is."""
        header = self._read(address)
        if header is None:
            return None
        for place in self._places.get(len(header), ()):
            number = self._known.get(place, {}).get(_emptied(header, place))
            offset = int.from_bytes(header[place : place + 8], "little")
            if number is not None and offset != NOWHERE:
                return offset, self.meanings[number]
        return None

    def _read(self, address: int) -> bytes | None:
        """The header at an address; None if it is none, is long or damaged, or cannot be read."""
        if address not in self._fetched:
            self.fetch([address])
        return self._fetched.get(address)


def _emptied(header: bytes, place: int) -> bytes:
    """A header with zeros in place of the address of the values."""
    return header[:place] + bytes(8) + header[place + 8 :]


def _header(content: bytes) -> bytes | None:
    """The header at the start of some bytes; None if there is none, or if they do not hold all of it."""
    if len(content) < PREFIX.size:
        return None
    if content.startswith(SIGNATURE):
        flags = content[len(SIGNATURE)]
        start = len(SIGNATURE) + 1 + (16 if flags & HAS_TIMES else 0) + (4 if flags & HAS_LIMITS else 0)
        width = 1 << (flags & SIZE_BYTES)
        end = start + width + int.from_bytes(content[start : start + width], "little") + CHECKSUM_BYTES
    else:
        version, _, _, size = PREFIX.unpack_from(content)
        end = PREFIX.size + size if version == 1 else LONGEST + 1
    return content[:end] if end <= len(content) else None
