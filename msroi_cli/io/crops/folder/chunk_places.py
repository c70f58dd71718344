"""Where the chunks of compressed crops are in a small file: read from the one node that their index has there.

Source: HDF5 File Format Specification, version 3.0, III.A.1 (B-trees of version 1 with nodes of type 1).
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from itertools import pairwise

import h5py

from msroi_cli.io.crops.schema import Compression
from msroi_cli.io.features.filters import decodable
from msroi_cli.io.hdf5.chunk_index import ChunkLocation
from msroi_cli.io.hdf5.pipeline import DEFLATE, LZF, SHUFFLE, possible_sizes
from msroi_cli.io.hdf5.structure.superblock import PLACES, VERSION

# A node of level 0 that is the root: its type, how many entries it has, and no siblings.
NODE = struct.Struct("<4sBBHQQ")
SIGNATURE, NO_SIBLING = b"TREE", 0xFFFFFFFFFFFFFFFF
MOST_CHUNKS = 64

CODES = {"gzip": DEFLATE, "lzf": LZF}


@dataclass(frozen=True, slots=True)
class ChunkPlaces:
    """The chunks of files that are alike.

    end: where a file states its end. first and stop: where the entries of the node are. entries: how they are packed.
    origins: where each chunk begins in the dataset. whole: the bytes of one before its filters. partial: whether the
    last one reaches beyond the dataset.
    """

    end: int
    first: int
    stop: int
    entries: struct.Struct
    origins: tuple[tuple[int, ...], ...]
    compression: Compression
    whole: int
    partial: bool

    @classmethod
    def of(cls, crops: h5py.Dataset, compression: Compression, content: bytes) -> ChunkPlaces:
        """Those of a file that begins with `content`, all but its chunks; raises ValueError if they cannot be told."""
        count, inside = -(-len(crops) // compression.rows), (0,) * (crops.ndim - 1)
        if crops.id.get_num_chunks() != count or count > MOST_CHUNKS or content[VERSION] > 1:
            raise ValueError("expected all chunks in one node")
        if not decodable(applied(compression, 0)):
            raise ValueError("expected chunks that can be decoded here")
        # Each entry: the size of a chunk, its filter mask, where it begins in the dataset and a 0, and its address.
        entries = struct.Struct("<" + f"II{crops.ndim + 1}QQ" * count)
        origins = tuple((number * compression.rows, *inside, 0) for number in range(count))
        found = [crops.id.get_chunk_info_by_coord(origin[:-1]) for origin in origins]
        values = [
            value
            for origin, info in zip(origins, found, strict=True)
            for value in (info.size, info.filter_mask, *origin, info.byte_offset)
        ]
        node = NODE.pack(SIGNATURE, 1, 0, count, NO_SIBLING, NO_SIBLING) + entries.pack(*values)
        if content.count(node) != 1:
            raise ValueError("expected all chunks in one node")
        first = content.index(node) + NODE.size
        whole = compression.rows * math.prod(crops.shape[1:]) * crops.dtype.itemsize
        partial = len(crops) % compression.rows > 0
        end = PLACES[content[VERSION]][2]
        return cls(end, first, first + entries.size, entries, origins, compression, whole, partial)

    @property
    def varying(self) -> tuple[tuple[int, int], ...]:
        """What may differ between files, (first, stop)."""
        return (self.end, self.end + 8), (self.first, self.stop)

    def read(self, content: bytes, start: int, size: int) -> tuple[ChunkLocation, ...] | None:
        """The chunks of a file of `size` bytes that begins with `content`; they begin with the byte `start`.

        None for chunks that may not be what they seem, which HDF5's way then says.
        """
        end = min(size, int.from_bytes(content[self.end : self.end + 8], "little"))
        values, step = self.entries.unpack_from(content, self.first), len(self.origins[0]) + 3
        found, ends = [], []
        for number, origin in enumerate(self.origins):
            length, mask, *stated, address = values[number * step : (number + 1) * step]
            if tuple(stated) != origin or not self._is_possible(number, length, mask):
                return None
            found.append(ChunkLocation(address, length, mask))
            ends.append((address, address + length))
        ends.sort()
        apart = all(stop <= following for (_, stop), (following, _) in pairwise(ends))
        if int.from_bytes(content[self.end : self.end + 8], "little") > size or not apart:
            return None
        return tuple(found) if start <= ends[0][0] and ends[-1][1] <= end else None

    def _is_possible(self, number: int, length: int, mask: int) -> bool:
        """Whether a chunk may have this size and filter mask. Of one that may be unfiltered only HDF5 can tell."""
        if mask >> 2 or (self.partial and number == len(self.origins) - 1 and length == self.whole):
            return False
        low, high = possible_sizes(applied(self.compression, mask), self.whole)
        return low <= length <= high


def applied(compression: Compression, mask: int) -> tuple[int, ...]:
    """The filters that a chunk with a filter mask went through: shuffle, and that of the compression."""
    codes = (SHUFFLE, CODES[compression.name])
    return tuple(code for number, code in enumerate(codes) if not mask >> number & 1)
