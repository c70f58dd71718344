"""Chooses how the values of an HDF5 dataset of features are read: with pread, chunk by chunk, or with h5py."""

from __future__ import annotations

import math
import os
from functools import partial
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.features.channels_last import as_map
from msroi_cli.io.features.chunks import ChunkedMap, ChunkStorage
from msroi_cli.io.features.contiguous import ContiguousMap, RawFile
from msroi_cli.io.features.filters import decodable
from msroi_cli.io.features.source import LibraryMap, MapSource
from msroi_cli.io.hdf5.chunk_index import ChunkIndex
from msroi_cli.io.hdf5.errors import guarded
from msroi_cli.io.hdf5.links import Found
from msroi_cli.io.hdf5.read import InputGroup
from msroi_cli.io.hdf5.storage import check_storage


class OpenFile:
    """An HDF5 file open in h5py, at the group `root`, and for pread; `close` it."""

    def __init__(self, root: InputGroup) -> None:
        self.root = root
        self.input = root.input
        name = os.fsdecode(root.file.filename)
        self.raw = RawFile(os.open(name, os.O_RDONLY), name)
        # Most images have the type of the one before.
        self.last_type: tuple[h5py.h5t.TypeID, np.dtype[Any], bool] | None = None
        # HDF5 versions differ in whether offsets count from the start of the file or from the end of a user block.
        self.has_offsets = root.file.userblock_size == 0

    def close(self) -> None:
        """Closes both, and linked files."""
        os.close(self.raw.descriptor)
        self.root.close()


class FeatureDataset:
    """A dataset of features, (C, H, W), (N, C, H, W), or in another layout, and how its values are read.

    shape: as it is stored.
    """

    def __init__(self, found: Found, file: OpenFile, where: str, layout: str) -> None:
        self._layout = layout
        dataset = found.object
        # Values in linked files, and behind a user block, are read with h5py.
        direct = found.file is file.input and file.has_offsets
        offset = dataset.get_offset() if direct else None
        index = None if offset is not None else check_storage(dataset, found.file, where)
        if index is not None:
            index.check()
        self.shape: tuple[int, ...] = dataset.shape or ()
        self.dtype, plain = _type_of(dataset, file)
        self._raw = file.raw
        # A type that NumPy lacks is converted by h5py when it reads.
        self._offset = offset if plain else None
        if self._offset is not None:
            check_end(self._offset, self.shape, self.dtype, found.file.end, where)
        # A dataset that is read without HDF5 is closed now: the thread that drops it later would wait for HDF5's lock.
        self._dataset = dataset if self._offset is None else None
        self._index = index
        decoded_here = index is not None and direct and plain and decodable(index.filters)
        self._chunks = self._chunk_storage(dataset, index) if index is not None and decoded_here else None

    def _chunk_storage(self, dataset: h5py.h5d.DatasetID, index: ChunkIndex) -> ChunkStorage:
        fill = np.zeros((), self.dtype)
        dataset.get_create_plist().get_fill_value(fill)
        return ChunkStorage(self._raw, index, self.dtype, fill[()], index.find, partial(_read_block, dataset))

    def map(self, image: int, where: str) -> MapSource:
        """The map (C, H, W) of an image; `where` names it in messages."""
        return as_map(self._stored(image, where), self._layout)

    def _stored(self, image: int, where: str) -> MapSource:
        """What is stored of an image, as a map of the shape that it has in the file."""
        shape = (self.shape[-3], self.shape[-2], self.shape[-1])
        if self._offset is not None:
            size = shape[0] * shape[1] * shape[2] * self.dtype.itemsize
            return ContiguousMap(shape, self.dtype, where, self._raw, self._offset + image * size)
        if self._chunks is not None:
            return ChunkedMap(shape, self.dtype, where, self._chunks, image)
        head = (slice(image, image + 1),) if len(self.shape) == 4 else ()
        return LibraryMap(shape, self.dtype, where, partial(self._read_channels, head, where))

    def _read_channels(self, head: tuple[slice, ...], where: str, start: int, stop: int) -> NDArray[Any]:
        """What is stored of an image from `start` to `stop` of its first axis, with h5py; raises InputError."""
        block = (*head, slice(start, stop))
        if self._index is not None:
            self._index.check_content(block)
        return _read_block(self._dataset, block, where).reshape(-1, *self.shape[-2:])


def check_end(offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], end: int, where: str) -> None:
    """Raises InputError unless values at `offset` lie before the end of what HDF5 reads of their file."""
    size = math.prod(shape) * dtype.itemsize
    if offset + size > end:
        raise InputError(f"{where}: cannot be read: expected {size} bytes at {offset}, got {max(0, end - offset)}")


def _type_of(dataset: h5py.h5d.DatasetID, file: OpenFile) -> tuple[np.dtype[Any], bool]:
    """The dtype of a dataset, and whether its bytes in the file are those that NumPy has in memory."""
    kind = dataset.get_type()
    if file.last_type is not None and kind.equal(file.last_type[0]):
        return file.last_type[1:]
    dtype: np.dtype[Any] = dataset.dtype
    file.last_type = (kind, dtype, kind.equal(h5py.h5t.py_create(dtype)))
    return file.last_type[1:]


def _read_block(dataset: h5py.h5d.DatasetID, block: tuple[slice, ...], where: str) -> NDArray[Any]:
    with guarded(where):
        array: NDArray[Any] = h5py.Dataset(dataset)[block]
        return array
