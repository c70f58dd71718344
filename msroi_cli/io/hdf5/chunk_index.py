"""The index of chunks of an HDF5 dataset: where each lies in the file, checked before any of them is read."""

from __future__ import annotations

import math
import operator
import threading
from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.hdf5.errors import guarded
from msroi_cli.io.hdf5.pipeline import DEFLATE, filter_codes, is_bounded, possible_sizes

# Chunks of datasets with more than this many are looked up and checked one by one.
MOST_INDEXED = 1 << 18


class ChunkLocation(NamedTuple):
    """Where a chunk lies: its byte offset, None if it was never written; its size; bit i set: filter i was skipped."""

    offset: int | None
    size: int
    filter_mask: int


class ChunkIndex:
    """The location of each chunk of a dataset, read in one pass unless there are too many.

    shape: of a chunk. filters: codes in the order in which they were applied. whole: bytes of a chunk before filters.
    """

    def __init__(self, dataset: h5py.h5d.DatasetID, plist: Any, where: str, fill: bool, end: int) -> None:
        """end: where the values of the file end, bytes."""
        self._dataset = dataset
        self._end = end
        self._where = where
        self._fill = fill
        self.shape: tuple[int, ...] = plist.get_chunk()
        self.filters = filter_codes(plist, where)
        self.whole = math.prod(self.shape) * dataset.get_type().get_size()
        self._sides: tuple[int, ...] = dataset.shape
        self._grid = tuple(-(-side // chunk) for side, chunk in zip(self._sides, self.shape, strict=True))
        self._locations: NDArray[np.int64] | None = None
        self._reading = threading.Lock()

    def find(self, origin: Sequence[int]) -> ChunkLocation:
        """The location of the chunk that begins at `origin`; raises InputError where the index is damaged."""
        self.check()
        if self._locations is None:
            return self._found_alone(origin)
        offset, size, mask = self._locations[self._number(origin)].tolist()
        return ChunkLocation(None if offset < 0 else offset, size, mask)

    def check(self) -> None:
        """Checks all chunks, once; of too many of them only how many there are. Raises InputError."""
        with self._reading:
            if self._locations is None:
                self._locations = self._checked()

    def check_content(self, block: Sequence[slice] = ()) -> None:
        """Checks that HDF5, which is going to read a block, all unless given, inflates no chunk without end."""
        self.check()
        if DEFLATE not in self.filters:
            return
        spans = [block[axis] if axis < len(block) else slice(0, side) for axis, side in enumerate(self._sides)]
        starts = [range(s.start // step * step, s.stop, step) for s, step in zip(spans, self.shape, strict=True)]
        for origin in product(*starts):
            location = self.find(origin)
            if location.offset is None:
                continue
            with guarded(self._where):
                mask, content = self._dataset.read_direct_chunk(origin)
            if not is_bounded(content, self.applied(mask), self.whole) and not self.may_be_unfiltered(origin, location):
                self._refuse(f"a chunk of {self.whole} bytes behind its filters at {origin}", "others")

    def is_partial(self, origin: Sequence[int]) -> bool:
        """Whether the chunk that begins at `origin` reaches beyond the dataset."""
        return any(at + chunk > side for at, chunk, side in zip(origin, self.shape, self._sides, strict=True))

    def _checked(self) -> NDArray[np.int64] | None:
        count = math.prod(self._grid)
        if count > MOST_INDEXED or not hasattr(self._dataset, "chunk_iter"):
            with guarded(self._where):
                written = self._dataset.get_num_chunks()
            if written < count and not self._fill:
                self._refuse_missing(count, written)
            return None
        locations, entries = self._read_all()
        flat = locations.reshape(-1, 3)
        written = int(np.count_nonzero(flat[:, 0] >= 0))
        if entries > written:
            self._refuse("each chunk once", "one of them twice")
        if written < count and not self._fill:
            self._refuse_missing(count, written)
        self._check_places(flat[flat[:, 0] >= 0])
        for number in np.flatnonzero(~self._possible(flat)).tolist():
            origin = tuple(map(operator.mul, np.unravel_index(number, self._grid), self.shape))
            self._check_one(origin, ChunkLocation(*flat[number].tolist()))
        return locations

    def _read_all(self) -> tuple[NDArray[np.int64], int]:
        """The offset, -1 for none, size and filter mask of each chunk; and how many entries the index has."""
        locations: NDArray[np.int64] = np.zeros((*self._grid, 3), np.int64)
        locations[..., 0] = -1
        outside: list[tuple[int, ...]] = []
        entries = 0

        def add(info: h5py.h5d.StoreInfo) -> None:
            nonlocal entries
            if info.byte_offset is None:
                return
            entries += 1
            number = self._number(info.chunk_offset)
            if any(map(operator.mod, info.chunk_offset, self.shape)) or not all(map(operator.lt, number, self._grid)):
                outside.append(info.chunk_offset)
            else:
                locations[number] = info.byte_offset, info.size, info.filter_mask

        with guarded(self._where):
            self._dataset.chunk_iter(add)
        if outside:
            self._refuse(f"chunks {self.shape} of {self._sides}", f"one at {outside[0]}")
        return locations, entries

    def _number(self, origin: Sequence[int]) -> tuple[int, ...]:
        return tuple(map(operator.floordiv, origin, self.shape))

    def _possible(self, flat: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether size and mask of each chunk are those of a whole one, which almost all are."""
        possible = flat[:, 0] < 0
        for mask in sorted(set(flat[:, 2].tolist())):
            low, high = possible_sizes(self.applied(mask), self.whole)
            fits = (flat[:, 1] >= low) & (flat[:, 1] <= high) & (flat[:, 2] == mask)
            possible |= fits & (not mask >> len(self.filters))
        return possible

    def applied(self, mask: int) -> tuple[int, ...]:
        """The filters that a chunk with this mask went through."""
        return tuple(code for index, code in enumerate(self.filters) if not mask >> index & 1)

    def _check_places(self, written: NDArray[np.int64]) -> None:
        """Raises InputError unless the chunks (k, 3) lie inside the file and apart from each other."""
        if not len(written):
            return
        order = np.argsort(written[:, 0])
        starts, sizes = written[order, 0], written[order, 1]
        end = self._end
        if (sizes > end).any() or (starts > end - sizes).any():
            self._refuse(f"chunks inside the file, {end} bytes", f"one at {int(starts[-1])}")
        if (starts[1:] - starts[:-1] < sizes[:-1]).any():
            self._refuse("chunks apart from each other", "some that overlap")

    def _found_alone(self, origin: Sequence[int]) -> ChunkLocation:
        with guarded(self._where):
            info = self._dataset.get_chunk_info_by_coord(tuple(origin))
        location = ChunkLocation(info.byte_offset, info.size, info.filter_mask)
        if location.offset is None and not self._fill:
            self._refuse_missing(math.prod(self._grid), math.prod(self._grid) - 1)
        if location.offset is not None:
            self._check_places(np.array([location], np.int64))
            self._check_one(origin, location)
        return location

    def _check_one(self, origin: Sequence[int], location: ChunkLocation) -> None:
        """Raises InputError unless size and mask of a chunk are possible."""
        low, high = possible_sizes(self.applied(location.filter_mask), self.whole)
        if location.filter_mask >> len(self.filters):
            self._refuse(f"a filter mask of {len(self.filters)} bits", f"{location.filter_mask:#x}")
        if not self.may_be_unfiltered(origin, location) and not low <= location.size <= high:
            self._refuse(f"a chunk of {low} to {high} bytes at {tuple(map(int, origin))}", f"{location.size}")

    def may_be_unfiltered(self, origin: Sequence[int], location: ChunkLocation) -> bool:
        """Whether a chunk reaches beyond the dataset and is whole, which its mask does not say (H5Pset_chunk_opts)."""
        return location.size == self.whole and self.is_partial(origin)

    def _refuse_missing(self, count: int, written: int) -> None:
        raise InputError(
            f"{self._where}: expected {count} chunks, got {written}: values were never written; "
            "--allow-fill reads their fill value"
        )

    def _refuse(self, expected: str, actual: str) -> None:
        raise InputError(f"{self._where}: cannot be read: index of chunks: expected {expected}, got {actual}")
