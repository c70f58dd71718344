"""The index of chunks of an HDF5 dataset: where each lies in the file."""

from __future__ import annotations

import math
import operator
import threading

import h5py
import numpy as np
from numpy.typing import NDArray

from msroi_cli.io.features.chunks import ChunkLocation
from msroi_cli.io.features.filters import UndecodableError
from msroi_cli.io.hdf5.read import H5PY_ERRORS

# Chunks of datasets with more than this many are looked up one by one.
MOST_INDEXED = 1 << 18


class ChunkIndex:
    """Gives the location of each chunk of a dataset, in one pass over all of them unless there are too many."""

    def __init__(self, dataset: h5py.h5d.DatasetID, chunks: tuple[int, ...]) -> None:
        self._dataset = dataset
        self._chunks = chunks
        self._grid = tuple(-(-side // chunk) for side, chunk in zip(dataset.shape, chunks, strict=True))
        self._locations: NDArray[np.int64] | None = None
        self._reading = threading.Lock()

    def find(self, origin: tuple[int, ...]) -> ChunkLocation:
        """The location of the chunk that begins at `origin`; raises UndecodableError where the index is damaged."""
        try:
            return self._find(origin)
        except H5PY_ERRORS as error:
            raise UndecodableError from error

    def _find(self, origin: tuple[int, ...]) -> ChunkLocation:
        if math.prod(self._grid) > MOST_INDEXED or not hasattr(self._dataset, "chunk_iter"):
            info = self._dataset.get_chunk_info_by_coord(origin)
            return ChunkLocation(info.byte_offset, info.size, info.filter_mask)
        with self._reading:
            if self._locations is None:
                self._locations = self._read_all()
        offset, size, mask = self._locations[self._number(origin)].tolist()
        return ChunkLocation(None if offset < 0 else offset, size, mask)

    def _number(self, origin: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(map(operator.floordiv, origin, self._chunks))

    def _read_all(self) -> NDArray[np.int64]:
        """The offset, -1 for none, size and filter mask of each chunk."""
        locations: NDArray[np.int64] = np.zeros((*self._grid, 3), np.int64)
        locations[..., 0] = -1

        def add(info: h5py.h5d.StoreInfo) -> None:
            if info.byte_offset is not None:
                locations[self._number(info.chunk_offset)] = info.byte_offset, info.size, info.filter_mask

        self._dataset.chunk_iter(add)
        return locations
