"""The rows of the `crops` dataset: mapped where they are one run of bytes, else by way of h5py, chunk by chunk."""

from __future__ import annotations

import math
import operator
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.crops.schema import Compression
from msroi_cli.io.features.filters import UndecodableError, decodable, decoded, elements_into, is_shuffled
from msroi_cli.io.files.location import Location
from msroi_cli.io.hdf5.chunk_index import ChunkIndex
from msroi_cli.io.hdf5.errors import guarded
from msroi_cli.io.hdf5.pipeline import DEFLATE, LZF, SHUFFLE
from msroi_cli.io.hdf5.read import InputDataset, InputGroup, dataset_in, open_group
from msroi_cli.io.hdf5.storage import check_storage


class RowSource(ABC):
    """Fetches rows of (K, ...). mapped: whether a slice is a view of the file and no copy."""

    mapped: bool

    @abstractmethod
    def slice(self, start: int, stop: int) -> NDArray[Any]:
        """The rows from `start` to `stop`, not to be written to."""

    @abstractmethod
    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """The given rows (k,), from 0 to K - 1, in any order, in an array of their own."""

    @abstractmethod
    def close(self) -> None:
        """Lets go of the file."""


def open_rows(path: Path, dataset: InputDataset) -> RowSource:
    """The rows of the `crops` of the open file `path`, which may be a link to another file.

    Raises InputError if values are missing or lie outside the file: a map of them would end the process.
    """
    where = f"{path}:/crops"
    index = check_storage(dataset.id, dataset.input, where, fill=False)
    if index is not None:
        index.check()
    offset = dataset.id.get_offset()
    plain = is_plain(dataset) and dataset.file.userblock_size == 0
    if not dataset.size:
        return MappedRows(np.empty(dataset.shape, dataset.dtype))
    if offset is None or not plain or dataset.external or dataset.is_virtual:
        return ChunkedRows(path, dataset)
    try:
        return MappedRows(np.memmap(dataset.input.path, dataset.dtype, "r", offset, dataset.shape))
    except (OSError, ValueError) as error:
        raise InputError(f"{where}: expected {dataset.nbytes} bytes at {offset}, got: {error}") from error


def is_plain(dataset: InputDataset) -> bool:
    """Whether values are in the file as they are in memory."""
    return bool(dataset.id.get_type().equal(h5py.h5t.py_create(dataset.dtype)))


def compression_of(dataset: InputDataset) -> Compression | None:
    """How crops are compressed, as `extract --compression` does it; None where they are stored in another way."""
    plist = dataset.id.get_create_plist()
    inside = tuple(dataset.shape[1:])
    filters = [plist.get_filter(number) for number in range(plist.get_nfilters())]
    codes = [code for code, *_ in filters]
    names = {DEFLATE: "gzip", LZF: "lzf"}
    if len(codes) != 2 or codes[0] != SHUFFLE or codes[1] not in names or dataset.chunks[1:] != inside:
        return None
    level = filters[1][2][0] if codes[1] == DEFLATE else 0
    return Compression(names[codes[1]], int(level), int(dataset.chunks[0])) if is_plain(dataset) else None


class MappedRows(RowSource):
    """Rows that stand in the file one after the other. A read-only map goes on in the child of a fork."""

    mapped = True

    def __init__(self, rows: NDArray[Any]) -> None:
        self._map: NDArray[Any] = np.asarray(rows)
        self._map.flags.writeable = False

    def slice(self, start: int, stop: int) -> NDArray[Any]:
        """A view."""
        return self._map[start:stop]

    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Copies row after row in the order of the file, so that a disk reads ahead and not to and fro."""
        out: NDArray[Any] = np.empty((len(rows), *self._map.shape[1:]), self._map.dtype)
        for place in np.argsort(rows, kind="stable").tolist():
            out[place] = self._map[rows[place]]
        return out

    def close(self) -> None:
        """The map goes with the last array that shows it."""
        self._map = self._map[:0]


class RowsInChunks(RowSource):
    """Rows in chunks that hold whole rows, `step` of them each."""

    mapped = False

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], step: int) -> None:
        self._shape, self._dtype, self.step = shape, dtype, step

    @abstractmethod
    def stored_chunk(self, start: int) -> tuple[bytes, int]:
        """The chunk that begins with row `start`, as it is stored, and its filter mask; raises InputError."""

    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Reads every chunk that is needed once, in the order of the file."""
        order = np.argsort(rows, kind="stable")
        chunk = rows[order] // self.step
        out: NDArray[Any] = self._empty(len(rows))
        for places in np.split(order, np.flatnonzero(np.diff(chunk)) + 1) if len(rows) else ():
            first, last = int(rows[places[0]]), int(rows[places[-1]])
            out[places] = self.slice(first, last + 1)[rows[places] - first]
        return out

    def _empty(self, count: int) -> NDArray[Any]:
        """An array for so many rows."""
        return np.empty((count, *self._shape[1:]), self._dtype)


def decoded_into(out: NDArray[Any], content: NDArray[np.uint8], filters: Sequence[int], whole: int, skip: int) -> None:
    """Fills `out` (k, ...) with the rows behind the first `skip` of a chunk that went through `filters`.

    whole: the bytes of a chunk before filters. Raises UndecodableError.
    """
    side = math.prod(out.shape[1:])
    flat = out.reshape(len(out), 1, side)
    elements_into(flat, decoded(content, filters, whole), is_shuffled(filters), skip * side, (1, side))


class ChunkedRows(RowsInChunks):
    """Rows in chunks, perhaps compressed. Every process opens the file for itself, when it first reads."""

    def __init__(self, path: Path, dataset: InputDataset) -> None:
        super().__init__(dataset.shape, dataset.dtype, dataset.chunks[0] if dataset.chunks else 1)
        self._path = path.absolute()
        self._where = f"{self._path}:/crops"
        self._identity = self._file_identity()
        self._root: InputGroup | None = None
        self._dataset: InputDataset | None = None
        self._index: ChunkIndex | None = None
        self._process = 0

    def _file_identity(self) -> tuple[int, ...]:
        try:
            status = self._path.stat()
        except OSError as error:
            raise InputError(f"{self._path}: cannot be read: {error.strerror}") from error
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    def _opened(self) -> h5py.Dataset:
        """The dataset; in the child of a fork, one of its own: the parent's is closed here, and stays open there."""
        if self._dataset is None or self._process != os.getpid():
            self.close()
            if self._file_identity() != self._identity:
                raise InputError(f"{self._path}: expected the file that was opened, got one that has changed since")
            self._root = open_group(Location(self._path), "a crops file")
            self._dataset = dataset_in(self._root, "crops", self._where, "a dataset")
            self._index = check_storage(self._dataset.id, self._dataset.input, self._where, fill=False)
            self._process = os.getpid()
        return self._dataset

    def slice(self, start: int, stop: int) -> NDArray[Any]:
        """Reads; decodes here what can be, as HDF5 inflates whatever there is."""
        with guarded(self._where):
            dataset, index = self._opened(), self._index
            whole = index is not None and index.shape[1:] == self._shape[1:] and decodable(index.filters)
            if index is not None and whole and is_plain(dataset):
                rows = self._decoded(dataset, index, start, stop)
            else:
                if index is not None:
                    index.check_content((slice(start, stop),))
                rows = dataset[start:stop]
        rows.flags.writeable = False
        return rows

    def _decoded(self, dataset: InputDataset, index: ChunkIndex, start: int, stop: int) -> NDArray[Any]:
        """The rows from `start` to `stop`, of chunks that hold whole rows; raises InputError."""
        out = self._empty(stop - start)
        for first in range(start // self.step * self.step, stop, self.step):
            begin, end = max(first, start), min(first + self.step, stop)
            origin = (first, *(0,) * (len(self._shape) - 1))
            if index.may_be_unfiltered(origin, index.find(origin)):
                out[begin - start : end - start] = dataset[begin:end]
                continue
            mask, stored = dataset.id.read_direct_chunk(origin)
            into = out[begin - start : end - start]
            try:
                decoded_into(into, np.frombuffer(stored, np.uint8), index.applied(mask), index.whole, begin - first)
            except UndecodableError:
                raise other_chunk(self._where, first, index.whole) from None
        return out

    def stored_chunk(self, start: int) -> tuple[bytes, int]:
        """The chunk that begins with row `start`, as it is stored, and its filter mask; raises InputError."""
        with guarded(self._where):
            dataset, index = self._opened(), self._index
            if index is None:
                raise InputError(f"{self._where}: expected crops in chunks, got others")
            origin = (start, *(0,) * (len(self._shape) - 1))
            if index.find(origin).offset is None:
                raise InputError(f"{self._where}: expected a chunk of row {start}, got none")
            mask, content = dataset.id.read_direct_chunk(origin)
            return content, mask

    def close(self) -> None:
        """Closes the file, if this process or the one it was forked from had it open."""
        if self._root is not None:
            self._root.close()
            self._root = self._dataset = self._index = None


def other_chunk(where: str, row: int, whole: int) -> InputError:
    """The error for a chunk that is not what its filters make."""
    return InputError(f"{where}: cannot be read: chunk of row {row}: expected {whole} bytes, got others")


def selected_rows(key: Any, count: int) -> int | range | NDArray[np.int64]:
    """What an index means for `count` rows: one, a run with step 1, or any rows (..., ) from 0 to count - 1.

    Raises IndexError as NumPy does.
    """
    if key is Ellipsis:
        return range(count)
    if isinstance(key, slice):
        run = range(count)[key]
        return range(run.start, max(run.start, run.stop)) if run.step == 1 else np.array(run, np.int64)
    if not isinstance(key, (bool, np.bool_)) and not np.ndim(key) and hasattr(key, "__index__"):
        row = operator.index(key)
        if not -count <= row < count:
            raise IndexError(f"row {row}: expected {-count} to {count - 1}")
        return row % count
    return _listed(key, count)


def _listed(key: Any, count: int) -> NDArray[np.int64]:
    rows = np.asarray(key)
    if rows.ndim and not rows.size and rows.dtype.kind == "f":
        return np.empty(rows.shape, np.int64)
    if rows.ndim == 1 and rows.dtype.kind == "b":
        if len(rows) != count:
            raise IndexError(f"expected a mask of {count} rows, got {len(rows)}")
        return np.flatnonzero(rows)
    if not rows.ndim or rows.dtype.kind not in "iu":
        raise IndexError(f"expected row numbers, a slice or a mask of rows, got {key!r:.60}")
    if rows.size and not (-count <= rows.min() and rows.max() < count):
        raise IndexError(f"rows: expected {-count} to {count - 1}, got {rows.min()} to {rows.max()}")
    return np.where(rows < 0, rows + count, rows).astype(np.int64)
