"""Small groups that are alike but for where their members lie, told by their bytes without opening them.

To open a group and list its members takes HDF5 longer than to pool a small image. The header of a group of the old kind
has the addresses of a B-tree and of a local heap. The only node of a small B-tree has the address of a table, which has
those of the members' headers; the heap has that of a segment with their names. A group all of whose bytes, but for
these addresses, are those of a group that HDF5 opened before has members of the same names, and no attributes if that
one has none. Anything else, also a group with more members, and one of the new kind, is opened with HDF5.

Source: HDF5 file format specification, version 3.0: III.A.1 (B-trees of version 1), III.B and III.C (tables of symbols
and their entries), III.D (local heaps), IV.A.1.a (headers of version 1), IV.A.2.r (the message with both addresses).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from msroi_cli.io.hdf5.structure.extents import Addresses, Bytes, Extents

UNKNOWN = -1

# Kinds of groups that are remembered, and groups that are looked at to know them.
MOST_KINDS, MOST_TRIES = 4, 16
LONGEST = 4096

# A header: version, size of its messages. A message: type, size; behind MESSAGE bytes its content.
PREFIX, MESSAGE, SYMBOL_TABLE = struct.Struct("<BxHII4x"), struct.Struct("<HHB3x"), 0x11
# A leaf with one entry; behind two siblings and a key the address of its table, and another key.
TREE, CHILD, TREE_BYTES = b"TREE\0\0\1\0", 32, 48
# The table: how many entries, and in each the place of the name in the segment, and the address of the header.
TABLE, ENTRY = struct.Struct("<4sBxH"), struct.Struct("<qq24x")
# The heap: the size of its segment and the address of it.
HEAP, SEGMENT = struct.Struct("<4sB3xqqq"), 24


class _Form(NamedTuple):
    """Bytes (w,) of which those of the addresses that begin at `places` may differ; they are 0 here."""

    content: Bytes
    places: tuple[int, ...] = ()

    @classmethod
    def of(cls, content: bytes, *places: int) -> _Form:
        row = np.frombuffer(content, np.uint8).copy()
        for place in places:
            row[place : place + 8] = 0
        return cls(row, places)

    def found(self, extents: Extents, at: Addresses) -> tuple[NDArray[np.intp], Addresses]:
        """Which of the places `at` (n,) have such bytes, (m,), and the addresses in these, (m, p)."""
        rows, there = extents.rows(at, len(self.content))
        addresses = [np.ascontiguousarray(rows[:, place : place + 8]).view("<i8") for place in self.places]
        for place in self.places:
            rows[:, place : place + 8] = 0
        alike = np.flatnonzero(there & (rows == self.content).all(axis=1))
        return alike, np.concatenate([np.empty((len(at), 0), np.int64), *addresses], axis=1)[alike]


class _Kind(NamedTuple):
    """The bytes of a group; columns: the number of each level among its members."""

    header: _Form
    tree: _Form
    table: _Form
    heap: _Form
    segment: _Form
    columns: tuple[int, ...]

    def found(self, extents: Extents, at: Addresses) -> tuple[NDArray[np.intp], Addresses]:
        """Which of the places `at` (n,) have such a group, (m,), and the headers of its levels, (m, L)."""
        left, both = self.header.found(extents, at)
        trees, heaps = both.T
        some, tables = self.tree.found(extents, trees)
        left, heaps = left[some], heaps[some]
        some, members = self.table.found(extents, tables[:, 0])
        left, heaps = left[some], heaps[some]
        some, segments = self.heap.found(extents, heaps)
        left, members = left[some], members[some]
        some, _ = self.segment.found(extents, segments[:, 0])
        return left[some], members[some][:, self.columns]


class Groups:
    """The kinds of groups that HDF5 has opened; names: of the levels."""

    def __init__(self, extents: Extents, names: Sequence[str]) -> None:
        self._extents, self._names = extents, names
        self._kinds: list[_Kind] = []
        self._tries = 0

    def learn(self, address: int, members: Mapping[str, int | None]) -> None:
        """Notes the group with a header at `address`; members: the headers of all, as HDF5 has found them."""
        if self._tries == MOST_TRIES or len(self._kinds) == MOST_KINDS or self.find(np.array([address])).min() >= 0:
            return
        self._tries += 1
        try:
            kind = _kind(self._extents, address, members, self._names)
        except (ValueError, struct.error):
            return
        self._kinds.append(kind)

    def find(self, addresses: Addresses) -> Addresses:
        """The headers of the levels of the groups with headers at `addresses` (n,), (n, L); UNKNOWN of other kinds."""
        found = np.full((len(addresses), len(self._names)), UNKNOWN, np.int64)
        left = np.flatnonzero(addresses >= 0)
        for kind in self._kinds:
            if left.size:
                some, members = kind.found(self._extents, addresses[left])
                found[left[some]] = members
                left = np.delete(left, some)
        return found


def _kind(extents: Extents, address: int, members: Mapping[str, int | None], names: Sequence[str]) -> _Kind:
    """The bytes of a group; raises ValueError or struct.error unless it is a small one with these members."""
    version, _, _, size = PREFIX.unpack(_bytes(extents, address, PREFIX.size))
    header = _bytes(extents, address, PREFIX.size + size)
    place = symbol_table(header) if version == 1 else len(header)
    at_tree, at_heap = struct.unpack_from("<qq", header, place)
    tree = _bytes(extents, at_tree, TREE_BYTES)
    (at_table,) = struct.unpack_from("<q", tree, CHILD)
    signature, version, count = TABLE.unpack(_bytes(extents, at_table, TABLE.size))
    table = _bytes(extents, at_table, TABLE.size + count * ENTRY.size)
    heap = _bytes(extents, at_heap, HEAP.size)
    *of_heap, length, _, at_segment = HEAP.unpack(heap)
    segment = _bytes(extents, at_segment, length)
    if (tree[: len(TREE)], signature, version, of_heap) != (TREE, b"SNOD", 1, [b"HEAP", 0]):
        raise ValueError("expected a small group of the old kind")
    entries = list(ENTRY.iter_unpack(table[TABLE.size :]))
    found = [segment[start : segment.index(b"\0", start)].decode() for start, _ in entries]
    if dict(zip(found, (header for _, header in entries), strict=True)) != members:
        raise ValueError("expected the members that HDF5 has found")
    places = [TABLE.size + number * ENTRY.size + 8 for number in range(count)]
    return _Kind(
        _Form.of(header, place, place + 8),
        _Form.of(tree, CHILD),
        _Form.of(table, *places),
        _Form.of(heap, SEGMENT),
        _Form.of(segment),
        tuple(map(found.index, names)),
    )


def _bytes(extents: Extents, address: int, width: int) -> bytes:
    """The bytes at an address; raises ValueError if they are too many or not there."""
    if not 0 < width <= LONGEST:
        raise ValueError("expected a few bytes")
    rows, there = extents.rows(np.array([address]), width)
    if not there[0]:
        raise ValueError("expected bytes within the file")
    return rows.tobytes()


def symbol_table(header: bytes) -> int:
    """Where in a header of version 1 the addresses of the B-tree and of the heap stand; its length if nowhere."""
    start = PREFIX.size
    while start + MESSAGE.size <= len(header):
        kind, size, _ = MESSAGE.unpack_from(header, start)
        start += MESSAGE.size
        if kind == SYMBOL_TABLE:
            return start
        start += size
    return len(header)
