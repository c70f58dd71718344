"""The rows of a folder of parts: fetched from the part that has them, with few files open at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError, unreadable
from msroi_cli.io.crops.folder.located_rows import LocatedRows
from msroi_cli.io.crops.folder.part_file import identity_of
from msroi_cli.io.crops.rows import MappedRows, RowSource, open_rows
from msroi_cli.io.crops.schema import Compression
from msroi_cli.io.files.location import Location
from msroi_cli.io.hdf5.chunk_index import ChunkLocation
from msroi_cli.io.hdf5.read import dataset_in, open_group
from msroi_cli.io.hdf5.values import dtype_of

OPEN_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class PartPlace:
    """The crops of a part: how many, and the byte where they begin, None if they are read by way of HDF5.

    identity: of the file when this was found out, None if that is not known. compression: of the crops, None
    if they are not compressed. chunks: where theirs are, None if HDF5 has to be asked.
    """

    path: Path
    count: int
    first: int | None = None
    identity: tuple[int, ...] | None = None
    compression: Compression | None = None
    chunks: Sequence[ChunkLocation] | None = None

    def rows(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> RowSource:
        """Opens the rows, of this shape and dtype; raises InputError if the file is not what it was."""
        if self.chunks is not None and self.compression is not None:
            return LocatedRows(self.path, self.identity, shape, dtype, self.chunks, self.compression)
        if self.identity is not None:
            self._check_identity()
        if self.first is not None:
            try:
                return MappedRows(np.memmap(self.path, dtype, "r", self.first, shape))
            except (OSError, ValueError) as error:
                raise InputError(f"{self.path}: cannot be read: {error}") from error
        location = Location(self.path)
        root = open_group(location, "a part of crops")
        try:
            dataset = dataset_in(root, "crops", location.at("crops"), "crops")
            if dataset.shape != shape or dtype_of(dataset, location.at("crops")) != dtype:
                raise InputError(
                    f"{location.at('crops')}: expected {shape} {dtype}, got {dataset.shape} {dataset.dtype}"
                )
            return open_rows(self.path, dataset)
        finally:
            root.close()

    def _check_identity(self) -> None:
        try:
            actual = identity_of(self.path.stat())
        except OSError as error:
            raise unreadable(self.path, error) from error
        if actual != self.identity:
            raise InputError(f"{self.path}: expected the file that was opened, got one that has changed since")


class PartRows(RowSource):
    """Rows (K, ...) of several files.

    places: the crops of each part. part: (K,) int32, the part of each row. row: (K,) int64, its row there. shape and
    dtype: of all rows together. most_open: how many parts are open at a time.
    """

    mapped = False

    def __init__(
        self,
        places: Sequence[PartPlace],
        part: NDArray[np.int32],
        row: NDArray[np.int64],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        most_open: int = OPEN_AT_ONCE,
    ) -> None:
        self._places, self._most_open = places, most_open
        self._part, self._row = part, row
        self._shape, self._dtype = shape, dtype
        self._open: OrderedDict[int, RowSource] = OrderedDict()

    def source(self, part: int) -> RowSource:
        """The rows of a part; the file that was not used for the longest time is closed for it."""
        if part in self._open:
            self._open.move_to_end(part)
            return self._open[part]
        if len(self._open) >= self._most_open:
            self._open.popitem(last=False)[1].close()
        place = self._places[part]
        self._open[part] = place.rows((place.count, *self._shape[1:]), self._dtype)
        return self._open[part]

    def alone(self, most_open: int) -> PartRows:
        """The same rows for another thread, with parts that it opens for itself."""
        return PartRows(self._places, self._part, self._row, self._shape, self._dtype, most_open)

    def places_of(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The number of the part that has each of `rows` (k,), and the row there."""
        return self._part[rows], self._row[rows]

    def slice(self, start: int, stop: int) -> NDArray[Any]:
        """A view or a read of one part where the rows follow each other in it, else a copy."""
        if stop > start:
            part, row = int(self._part[start]), int(self._row[start])
            same = self._part[stop - 1] == part and self._row[stop - 1] == row + stop - 1 - start
            if same and (np.diff(self._row[start:stop]) == 1).all() and (self._part[start:stop] == part).all():
                return self.source(part).slice(row, row + stop - start)
        rows = self.take(np.arange(start, stop))
        rows.flags.writeable = False
        return rows

    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Part after part."""
        out: NDArray[Any] = np.empty((len(rows), *self._shape[1:]), self._dtype)
        part = self._part[rows]
        order = np.argsort(part, kind="stable")
        for places in np.split(order, np.flatnonzero(np.diff(part[order])) + 1) if len(rows) else ():
            out[places] = self.source(int(part[places[0]])).take(self._row[rows[places]])
        return out

    def close(self) -> None:
        """Closes all parts."""
        while self._open:
            self._open.popitem()[1].close()
