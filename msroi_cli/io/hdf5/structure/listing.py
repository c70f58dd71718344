"""The members of a large group of the old kind, listed by its bytes.

HDF5 gives the members of a group one by one, which takes it longer than all else that a shard of many small images
begins with. A group of the old kind is a B-tree whose leaves have the addresses of tables; the entries of these have
the address of a member's header and the place of its name in a local heap. Listed is only a tree that is whole: each
node has the level and the neighbours that it should have, each entry is of a kind that HDF5 knows, and names ascend.
Anything else, also a group of the new kind, is left to HDF5, which is the slow twin.

Source: HDF5 file format specification, version 3.0: III.A.1 (B-trees of version 1), III.B and III.C (tables of symbols
and their entries), III.D (local heaps).
"""

from __future__ import annotations

import os
import struct

import numpy as np
from numpy.typing import NDArray

from msroi_cli.io.hdf5.structure.blocks import Bytes, Places, blocks_at
from msroi_cli.io.hdf5.structure.groups import HEAP, LONGEST, PREFIX, symbol_table

# A node: signature, type, level, entries, neighbours; then a key of 8 bytes before and after each address of 8. As many
# entries as HDF5 puts there unless a file says otherwise.
NODE = np.dtype(
    [
        ("signature", "S4"),
        ("type", "u1"),
        ("level", "u1"),
        ("count", "<u2"),
        ("left", "<i8"),
        ("right", "<i8"),
        ("children", [("key", "<i8"), ("address", "<i8")], (32,)),
        ("key", "<i8"),
    ]
)
# A table: signature, version, entries; each has the place of a name, the address of a header, and its kind.
TABLE = np.dtype(
    [
        ("signature", "S4"),
        ("version", "u1"),
        ("reserved", "u1"),
        ("count", "<u2"),
        (
            "entries",
            [("name", "<i8"), ("header", "<i8"), ("kind", "<u4"), ("reserved", "<u4"), ("scratch", "V16")],
            (8,),
        ),
    ]
)
NOWHERE = -1
HIGHEST_LEVEL, LARGEST_HEAP = 8, 1 << 30
# The kinds of entries: of any object, of a group; the last one is a soft link.
HARD, SOFT = (0, 1), 2

# Names are looked at side by side up to this length.
LONGEST_NAME = 48


def listed(descriptor: int, address: int) -> dict[str, int | None] | None:
    """The members of the group with a header at `address`, as HDF5 gives them; None where that is left to HDF5.

    descriptor: of the open file. The address of each member's header is None for one that is a link.
    """
    try:
        at_tree, at_heap = _tree_and_heap(descriptor, address)
        entries = _entries(descriptor, at_tree)
        names = _names(_heap(descriptor, at_heap), entries["name"])
    except (OSError, OverflowError, ValueError, struct.error):
        return None
    hard = np.isin(entries["kind"], HARD)
    if not (hard | (entries["kind"] == SOFT)).all() or (hard & (entries["header"] < 0)).any():
        return None
    found: dict[str, int | None] = dict(zip(names, entries["header"].tolist(), strict=True))
    for number in np.flatnonzero(~hard).tolist():
        found[names[number]] = None
    return found


def _tree_and_heap(descriptor: int, address: int) -> tuple[int, int]:
    """Where the B-tree and the heap of a group are; raises ValueError or struct.error for one of the new kind."""
    version, _, _, size = PREFIX.unpack(os.pread(descriptor, PREFIX.size, address))
    if version != 1 or size > LONGEST:
        raise ValueError("expected a short header of version 1")
    header = os.pread(descriptor, PREFIX.size + size, address)
    at_tree, at_heap = struct.unpack_from("<qq", header, symbol_table(header))
    return at_tree, at_heap


def _read(descriptor: int, places: Places, dtype: np.dtype[np.void]) -> NDArray[np.void]:
    """Records (n,) at some places; raises ValueError where the file ends before."""
    whole, found = blocks_at(descriptor, places, dtype.itemsize)
    if not whole.all():
        raise ValueError("expected nodes that the file holds")
    return found.view(dtype)[:, 0]


def _entries(descriptor: int, at_tree: int) -> NDArray[np.void]:
    """The entries of all tables of a B-tree, in order; raises ValueError for a tree that is not whole."""
    places = np.array([at_tree])
    level = None
    while level != 0:
        nodes = _read(descriptor, places, NODE)
        level = int(nodes["level"][0]) if level is None else level - 1
        around = np.concatenate([[NOWHERE], places, [NOWHERE]])
        whole = (nodes["signature"] == b"TREE") & (nodes["type"] == 0) & (nodes["level"] == level)
        whole &= (nodes["left"] == around[:-2]) & (nodes["right"] == around[2:])
        _check(whole, nodes["count"], NODE["children"].shape[0])
        if level > HIGHEST_LEVEL:
            raise ValueError("expected a tree of fewer levels")
        places = _used(nodes["children"], nodes["count"])["address"]
    tables = _read(descriptor, places, TABLE)
    _check((tables["signature"] == b"SNOD") & (tables["version"] == 1), tables["count"], TABLE["entries"].shape[0])
    return _used(tables["entries"], tables["count"])


def _check(whole: NDArray[np.bool_], count: NDArray[np.uint16], most: int) -> None:
    """Raises ValueError unless all nodes are whole, with at least one entry, and no more than there is room for."""
    if not (whole & (count > 0) & (count <= most)).all():
        raise ValueError("expected nodes of a tree")


def _used(entries: NDArray[np.void], count: NDArray[np.uint16]) -> NDArray[np.void]:
    """Those of `entries` (n, m) that each node uses, the first `count` (n,), one after the other."""
    return entries[np.arange(entries.shape[1]) < count[:, None]]


def _heap(descriptor: int, address: int) -> bytes:
    """The segment of a local heap, which has the names; raises ValueError or struct.error."""
    signature, version, size, _, place = HEAP.unpack(os.pread(descriptor, HEAP.size, address))
    if (signature, version) != (b"HEAP", 0) or not 0 < size <= LARGEST_HEAP:
        raise ValueError("expected a heap")
    segment = os.pread(descriptor, size, place)
    if len(segment) < size:
        raise ValueError("expected a heap that the file holds")
    return segment


def _names(segment: bytes, places: Places) -> list[str]:
    """The names at some places of a heap; raises ValueError for one that is none, and where they do not ascend."""
    if not ((places >= 0) & (places < len(segment))).all():
        raise ValueError("expected names in the heap")
    padded = np.frombuffer(segment + bytes(LONGEST_NAME), np.uint8)
    rows: Bytes = np.lib.stride_tricks.sliding_window_view(padded, LONGEST_NAME)[places]
    ended = np.logical_or.accumulate(rows == 0, axis=1)
    lengths = LONGEST_NAME - ended.sum(axis=1)
    if not ended[:, -1].all() or not (places + lengths < len(segment)).all():
        raise ValueError("expected short names that end in the heap")
    rows[ended] = 0
    names = rows.view(f"S{LONGEST_NAME}")[:, 0]
    if len(names) and (names[0] == b"" or not (names[1:] > names[:-1]).all()):
        raise ValueError("expected names that ascend")
    return b"\0".join(names.tolist()).decode("utf-8", "surrogateescape").split("\0")
