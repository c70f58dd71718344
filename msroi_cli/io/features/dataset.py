"""How an HDF5 dataset of features is stored, and the way to fetch from it that fits: pread, chunk by chunk, or h5py."""

from __future__ import annotations

import math
import operator
import os
import threading
from functools import partial
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from msroi_cli.io.features.chunks import ChunkedMap, ChunkStorage, Place
from msroi_cli.io.features.contiguous import ContiguousMap, RawFile
from msroi_cli.io.features.filters import UndecodableError, decodable
from msroi_cli.io.features.source import FetchedMap, MapSource
from msroi_cli.io.hdf5.read import H5PY_ERRORS, guarded

# Datasets with more chunks than this are asked for each when it is needed.
MOST_INDEXED = 1 << 18


class OpenFile:
    """An HDF5 file open in h5py, at the group `root`, and for pread; `close` it."""

    def __init__(self, root: h5py.Group) -> None:
        self.root = root
        name = os.fsdecode(root.file.filename)
        self.name = h5py.h5f.get_name(root.id)
        self.raw = RawFile(os.open(name, os.O_RDONLY), name)
        # Of images that are alike, the type of one is that of the next.
        self.last_type: tuple[h5py.h5t.TypeID, np.dtype[Any], bool] | None = None
        # HDF5 versions differ in whether the offsets they tell count from the start of the file or behind a user block.
        self.has_offsets = root.file.userblock_size == 0

    def close(self) -> None:
        """Closes both."""
        os.close(self.raw.descriptor)
        self.root.file.close()


class Storage:
    """A dataset (C, H, W) or (N, C, H, W) of features, and where its values are."""

    def __init__(self, dataset: h5py.h5d.DatasetID, file: OpenFile) -> None:
        self.shape: tuple[int, ...] = dataset.shape or ()
        self.dtype, plain = _type_of(dataset, file)
        self._raw = file.raw
        # A link may lead to another file, and a type that NumPy lacks is converted by h5py when it reads.
        direct = plain and file.has_offsets and h5py.h5f.get_name(dataset) == file.name
        self._offset = dataset.get_offset() if direct else None
        # What is read without HDF5 is closed now, not by whichever thread drops it: that would wait for HDF5's lock.
        self._dataset = dataset if self._offset is None else None
        self._chunks = _chunk_storage(dataset, self.dtype, self._raw) if direct and self._dataset else None

    def map(self, image: int, where: str) -> MapSource:
        """The map (C, H, W) of an image; `where` names it in messages."""
        shape = (self.shape[-3], self.shape[-2], self.shape[-1])
        if self._offset is not None:
            size = shape[0] * shape[1] * shape[2] * self.dtype.itemsize
            return ContiguousMap(self._raw, self._offset + image * size, shape, self.dtype, where)
        whole = FetchedMap(partial(_fetch, self._dataset, image, where), shape, self.dtype, where)
        return whole if self._chunks is None else ChunkedMap(self._chunks, image, whole)


def _type_of(dataset: h5py.h5d.DatasetID, file: OpenFile) -> tuple[np.dtype[Any], bool]:
    """The dtype of a dataset, and whether its bytes in the file are those that NumPy has in memory."""
    kind = dataset.get_type()
    if file.last_type is not None and kind.equal(file.last_type[0]):
        return file.last_type[1:]
    dtype: np.dtype[Any] = dataset.dtype
    file.last_type = (kind, dtype, kind.equal(h5py.h5t.py_create(dtype)))
    return file.last_type[1:]


def _chunk_storage(dataset: h5py.h5d.DatasetID, dtype: np.dtype[Any], file: RawFile) -> ChunkStorage | None:
    """The chunks of a dataset; None if it has none, or has filters that are not ours to decode."""
    plist = dataset.get_create_plist()
    if plist.get_layout() != h5py.h5d.CHUNKED:
        return None
    filters = tuple(plist.get_filter(index)[0] for index in range(plist.get_nfilters()))
    if not decodable(filters):
        return None
    fill = np.zeros((), dtype)
    plist.get_fill_value(fill)
    chunks = plist.get_chunk()
    return ChunkStorage(file, chunks, filters, dtype, fill[()], _ChunkIndex(dataset, chunks).find)


class _ChunkIndex:
    """Where the chunks of a dataset lie: all of them are asked for in one go, which is far quicker than one by one."""

    def __init__(self, dataset: h5py.h5d.DatasetID, chunks: tuple[int, ...]) -> None:
        self._dataset = dataset
        self._chunks = chunks
        self._grid = tuple(-(-side // chunk) for side, chunk in zip(dataset.shape, chunks, strict=True))
        self._places: NDArray[np.int64] | None = None
        self._filling = threading.Lock()

    def find(self, origin: tuple[int, ...]) -> Place:
        """Where the chunk lies that begins at `origin`; raises UndecodableError where the index is damaged."""
        try:
            return self._find(origin)
        except H5PY_ERRORS as error:
            raise UndecodableError from error

    def _find(self, origin: tuple[int, ...]) -> Place:
        if math.prod(self._grid) > MOST_INDEXED or not hasattr(self._dataset, "chunk_iter"):
            info = self._dataset.get_chunk_info_by_coord(origin)
            return Place(info.byte_offset, info.size, info.filter_mask)
        with self._filling:
            if self._places is None:
                self._places = self._filled()
        offset, size, mask = self._places[self._number(origin)].tolist()
        return Place(None if offset < 0 else offset, size, mask)

    def _number(self, origin: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(map(operator.floordiv, origin, self._chunks))

    def _filled(self) -> NDArray[np.int64]:
        """The offset, -1 for none, size and filter mask of each chunk."""
        places: NDArray[np.int64] = np.zeros((*self._grid, 3), np.int64)
        places[..., 0] = -1

        def note(info: h5py.h5d.StoreInfo) -> None:
            if info.byte_offset is not None:
                places[self._number(info.chunk_offset)] = info.byte_offset, info.size, info.filter_mask

        self._dataset.chunk_iter(note)
        return places


def _fetch(dataset: h5py.h5d.DatasetID, image: int, where: str, start: int, stop: int) -> NDArray[Any]:
    """The channels from `start` to `stop` of an image, by way of h5py; raises InputError."""
    channels = slice(start, stop)
    with guarded(where):
        array: NDArray[Any] = h5py.Dataset(dataset)[(channels,) if len(dataset.shape) == 3 else (image, channels)]
        return array
