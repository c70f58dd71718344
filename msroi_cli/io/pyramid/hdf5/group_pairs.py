"""Pairs of numbers that many groups have as attributes, read from the headers of the groups without opening them.

A program that writes a group an image writes headers that differ in addresses and values only. What HDF5 found in one
of them holds for every other that has the same messages at the same places; it is read with the system's own calls.
The slow twin is to open each group, which takes HDF5 a hundred times as long.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from msroi_cli.io.hdf5.errors import H5PY_ERRORS
from msroi_cli.io.hdf5.links import WITHIN_ONE_FILE
from msroi_cli.io.hdf5.structure.blocks import blocks_at
from msroi_cli.io.hdf5.structure.extents import Addresses, Bytes
from msroi_cli.io.hdf5.structure.messages import (
    ATTRIBUTE,
    ATTRIBUTES_ELSEWHERE,
    CONTINUATION,
    MESSAGE,
    NEXT_BLOCK,
    PREFIX,
    Message,
    attribute_parts,
    messages,
)

MOST_STENCILS = 8
LONGEST_BLOCK, MOST_BLOCKS = 1 << 16, 8


class Value(NamedTuple):
    """Where the values of an attribute are in a block, and what they are."""

    first: int
    stop: int
    dtype: np.dtype[Any]

    def of(self, content: Bytes) -> NDArray[np.float64]:
        """The values (n, 2) in the blocks `content` (n, S)."""
        return np.ascontiguousarray(content[:, self.first : self.stop]).view(self.dtype).astype(np.float64)


class Block(NamedTuple):
    """A block of messages. same: (S,) bool, the bytes that all have in common, and `content` what they are.

    values: of attributes, by name. following: where the address of the next block is, None in the last.
    """

    size: int
    same: NDArray[np.bool_]
    content: Bytes
    values: Mapping[str, Value]
    following: int | None


class GroupPairs:
    """The attributes `names` of groups in the file open as `descriptor`, two numbers each."""

    def __init__(self, descriptor: int, names: Sequence[str]) -> None:
        self._descriptor = descriptor
        self._names = names
        self._stencils: list[list[Block]] = []

    def read(
        self, parent: h5py.h5g.GroupID, name_of: Callable[[int], str], addresses: Addresses
    ) -> tuple[NDArray[np.bool_], dict[str, NDArray[np.float64]]]:
        """Of N members of `parent` with headers at `addresses` (N,): which were read, and what they say.

        name_of: the name of each, from 0 to N - 1. An address that is not known is negative.
        Returns (N,) bool, and for each attribute (N, 2) float64, NaN where a group has none. Those that were not read
        are left to HDF5.
        """
        known = np.zeros(len(addresses), np.bool_)
        found = {name: np.full((len(addresses), 2), np.nan) for name in self._names}
        left = np.flatnonzero(addresses >= 0)
        for stencil in self._stencils:
            left = self._take(stencil, addresses, left, known, found)
        for _ in range(MOST_STENCILS):
            if not left.size:
                break
            first = int(left[0])
            learned = self._learned(parent, name_of(first), int(addresses[first]))
            if learned is None:
                left = left[1:]
                continue
            self._stencils = [*self._stencils[1 - MOST_STENCILS :], learned]
            left = self._take(learned, addresses, left, known, found)
        return known, found

    def _take(
        self,
        stencil: Sequence[Block],
        addresses: Addresses,
        left: NDArray[np.int64],
        known: NDArray[np.bool_],
        found: Mapping[str, NDArray[np.float64]],
    ) -> NDArray[np.int64]:
        """Fills `known` and `found` where the groups `left` have these blocks; returns the others."""
        rows, values = self._match(stencil, addresses[left])
        for name, pairs in values.items():
            found[name][left[rows]] = pairs
        known[left[rows]] = True
        return np.delete(left, rows)

    def _learned(self, parent: h5py.h5g.GroupID, name: str, address: int) -> list[Block] | None:
        """The blocks of a group's header; None where HDF5 does not find in the group what they seem to say."""
        try:
            group = h5py.h5o.open(parent, os.fsencode(name), WITHIN_ONE_FILE)
            if not isinstance(group, h5py.h5g.GroupID):
                return None
            actual = {wanted: _attribute(group, wanted) for wanted in self._names}
            return self._blocks(address, {key: value for key, value in actual.items() if value is not None})
        except (*H5PY_ERRORS, ValueError, OverflowError):
            return None

    def _blocks(self, address: int, actual: dict[str, NDArray[Any]]) -> list[Block]:
        """The blocks of a header at an address; raises ValueError for one that does not say just what HDF5 found."""
        version, count, _, size = PREFIX.unpack(self._bytes(address, PREFIX.size))
        if version != 1:
            raise ValueError("expected a header of version 1")
        start, size, blocks = PREFIX.size, PREFIX.size + size, []
        while True:
            content = self._bytes(address, size)
            block, here, address, size = _block(content, start, actual)
            blocks.append(block)
            count, start = count - here, 0
            if block.following is None:
                break
            if len(blocks) == MOST_BLOCKS:
                raise ValueError("expected fewer blocks")
        found = [name for one in blocks for name in one.values]
        if count or sorted(found) != sorted(actual):
            raise ValueError("expected all messages and attributes in these blocks")
        return blocks

    def _bytes(self, address: int, size: int) -> bytes:
        content = os.pread(self._descriptor, size, address) if size <= LONGEST_BLOCK else b""
        if len(content) < size:
            raise ValueError("expected a block that the file holds")
        return content

    def _match(
        self, blocks: Sequence[Block], addresses: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
        """Which groups, with headers at `addresses` (n,), have these blocks, (k,), and the pairs (k, 2) of each."""
        rows = np.arange(len(addresses))
        found: dict[str, NDArray[np.float64]] = {}
        for block in blocks:
            there, content = blocks_at(self._descriptor, addresses, block.size)
            whole = np.flatnonzero(there)
            content = content if there.all() else content[whole]
            alike = (content[:, block.same] == block.content).all(axis=1)
            pairs = {name: value.of(content) for name, value in block.values.items()}
            for numbers in pairs.values():
                alike &= np.isfinite(numbers).all(axis=1)
            kept = whole[alike]
            rows, content = rows[kept], content[alike]
            found = {name: numbers[kept] for name, numbers in found.items()}
            found |= {name: numbers[alike] for name, numbers in pairs.items()}
            if block.following is not None:
                place = block.following
                addresses = np.ascontiguousarray(content[:, place : place + 8]).view("<i8")[:, 0]
        return rows, found


def _block(content: bytes, start: int, actual: Mapping[str, NDArray[Any]]) -> tuple[Block, int, int, int]:
    """A block of a header, how many messages it has, and the address and size of the next block, 0 if there is none.

    Raises ValueError for what may have attributes elsewhere, or other values than the `actual` ones.
    """
    same = np.zeros(len(content), np.bool_)
    # All of the prefix but the number of links to the group.
    same[: min(start, 4)] = True
    same[min(start, 8) : start] = True
    values: dict[str, Value] = {}
    following, address, size = None, 0, 0
    found = list(messages(content, start))
    for message in found:
        same[message.first - MESSAGE.size : message.first] = True
        if message.kind == ATTRIBUTES_ELSEWHERE or (message.kind == CONTINUATION and following is not None):
            raise ValueError("expected all attributes in one chain of blocks")
        if message.kind == CONTINUATION:
            following = message.first
            address, size = NEXT_BLOCK.unpack_from(content, message.first)
            same[message.first + 8 : message.stop] = True
        if message.kind == ATTRIBUTE:
            _add_attribute(content, message, actual, same, values)
    block = Block(len(content), same, np.frombuffer(content, np.uint8)[same], values, following)
    return block, len(found), address, size


def _add_attribute(
    content: bytes,
    message: Message,
    actual: Mapping[str, NDArray[Any]],
    same: NDArray[np.bool_],
    values: dict[str, Value],
) -> None:
    """Notes where one of the `actual` attributes has its values; of any other, that it has its name."""
    parts = attribute_parts(content, message)
    same[message.first : parts.named] = True
    name = os.fsdecode(parts.name)
    if name not in actual:
        return
    same[parts.named : parts.first] = True
    value = Value(parts.first, parts.first + actual[name].nbytes, actual[name].dtype)
    if value.stop > message.stop or content[value.first : value.stop] != actual[name].tobytes():
        raise ValueError("expected the values that HDF5 finds")
    values[name] = value


def _attribute(group: Any, name: str) -> NDArray[Any] | None:
    """The values of an attribute as the file has them, None if there is none; raises ValueError unless they are two."""
    key = os.fsencode(name)
    if not h5py.h5a.exists(group, key):
        return None
    attribute = h5py.h5a.open(group, key)
    dtype = attribute.dtype
    plain = dtype.kind in "fiu" and attribute.get_type().equal(h5py.h5t.py_create(dtype))
    if not plain or attribute.shape != (2,):
        raise ValueError("expected two numbers")
    values = np.empty(attribute.shape, dtype)
    attribute.read(values)
    return values
