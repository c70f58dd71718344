"""Chooses how the values of an HDF5 dataset of features are read: with pread, chunk by chunk, or with h5py."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from msroi_cli.io.features.chunk_index import ChunkIndex
from msroi_cli.io.features.chunks import ChunkedMap, ChunkStorage
from msroi_cli.io.features.contiguous import ContiguousMap, RawFile
from msroi_cli.io.features.filters import decodable
from msroi_cli.io.features.source import LibraryMap, MapSource
from msroi_cli.io.hdf5.read import guarded


class OpenFile:
    """An HDF5 file open in h5py, at the group `root`, and for pread; `close` it."""

    def __init__(self, root: h5py.Group) -> None:
        self.root = root
        name = os.fsdecode(root.file.filename)
        self.name = h5py.h5f.get_name(root.id)
        self.raw = RawFile(os.open(name, os.O_RDONLY), name)
        # Most images have the type of the one before.
        self.last_type: tuple[h5py.h5t.TypeID, np.dtype[Any], bool] | None = None
        # HDF5 versions differ in whether offsets count from the start of the file or from the end of a user block.
        self.has_offsets = root.file.userblock_size == 0

    def close(self) -> None:
        """Closes both."""
        os.close(self.raw.descriptor)
        self.root.file.close()


class FeatureDataset:
    """A dataset (C, H, W) or (N, C, H, W) of features, and how its values are read."""

    def __init__(self, dataset: h5py.h5d.DatasetID, file: OpenFile) -> None:
        self.shape: tuple[int, ...] = dataset.shape or ()
        self.dtype, plain = _type_of(dataset, file)
        self._raw = file.raw
        # A link may lead to another file, and a type that NumPy lacks is converted by h5py when it reads.
        direct = plain and file.has_offsets and h5py.h5f.get_name(dataset) == file.name
        self._offset = dataset.get_offset() if direct else None
        # A dataset that is read without HDF5 is closed now: the thread that drops it later would wait for HDF5's lock.
        self._dataset = dataset if self._offset is None else None
        self._chunks = _chunk_storage(dataset, self.dtype, self._raw) if direct and self._dataset else None

    def map(self, image: int, where: str) -> MapSource:
        """The map (C, H, W) of an image; `where` names it in messages."""
        shape = (self.shape[-3], self.shape[-2], self.shape[-1])
        if self._offset is not None:
            size = shape[0] * shape[1] * shape[2] * self.dtype.itemsize
            return ContiguousMap(shape, self.dtype, where, self._raw, self._offset + image * size)
        fallback = LibraryMap(shape, self.dtype, where, partial(_read_channels, self._dataset, image, where))
        return fallback if self._chunks is None else ChunkedMap(shape, self.dtype, where, self._chunks, image, fallback)


def _type_of(dataset: h5py.h5d.DatasetID, file: OpenFile) -> tuple[np.dtype[Any], bool]:
    """The dtype of a dataset, and whether its bytes in the file are those that NumPy has in memory."""
    kind = dataset.get_type()
    if file.last_type is not None and kind.equal(file.last_type[0]):
        return file.last_type[1:]
    dtype: np.dtype[Any] = dataset.dtype
    file.last_type = (kind, dtype, kind.equal(h5py.h5t.py_create(dtype)))
    return file.last_type[1:]


def _chunk_storage(dataset: h5py.h5d.DatasetID, dtype: np.dtype[Any], file: RawFile) -> ChunkStorage | None:
    """The chunks of a dataset; None if it has none, or one of its filters is not decoded here."""
    plist = dataset.get_create_plist()
    if plist.get_layout() != h5py.h5d.CHUNKED:
        return None
    filters = tuple(plist.get_filter(index)[0] for index in range(plist.get_nfilters()))
    if not decodable(filters):
        return None
    fill = np.zeros((), dtype)
    plist.get_fill_value(fill)
    chunks = plist.get_chunk()
    return ChunkStorage(file, chunks, filters, dtype, fill[()], ChunkIndex(dataset, chunks).find)


def _read_channels(dataset: h5py.h5d.DatasetID, image: int, where: str, start: int, stop: int) -> NDArray[Any]:
    """The channels from `start` to `stop` of an image, with h5py; raises InputError."""
    channels = slice(start, stop)
    with guarded(where):
        array: NDArray[Any] = h5py.Dataset(dataset)[(channels,) if len(dataset.shape) == 3 else (image, channels)]
        return array
