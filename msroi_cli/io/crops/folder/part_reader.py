"""Reads the rows of parts into memory, for one thread that goes through them part after part."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError, unreadable
from msroi_cli.io.crops.folder.part_file import identity_of
from msroi_cli.io.crops.folder.part_rows import PartPlace
from msroi_cli.io.crops.rows import RowSource


class PartReader:
    """Rows (k, ...) of one part at a time, which stays open until another one is read.

    Crops in one run are read, not mapped: a map costs a fault for each of its pages.
    places: the crops of each part. shape and dtype: of all rows together.
    """

    def __init__(self, places: Sequence[PartPlace], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._places = places
        self._shape, self._dtype = shape[1:], dtype
        self._row_bytes = math.prod(self._shape) * dtype.itemsize
        self._part: int | None = None
        self._file: int | None = None
        self._rows: RowSource | None = None
        self._buffer: NDArray[Any] = np.empty((0, *self._shape), dtype)

    def read(self, part: int, start: int, stop: int) -> NDArray[Any]:
        """The rows `start` to `stop` of a part, good until the next call; raises InputError."""
        if part != self._part:
            self._open(part)
        if self._rows is not None:
            return self._rows.slice(start, stop)
        if len(self._buffer) < stop - start:
            self._buffer = np.empty((stop - start, *self._shape), self._dtype)
        values = self._buffer[: stop - start]
        self._fill(self._places[part], values.reshape(-1).view(np.uint8).data, start * self._row_bytes)
        return values

    def _open(self, part: int) -> None:
        self.close()
        place = self._places[part]
        if place.first is None:
            self._rows = place.rows((place.count, *self._shape), self._dtype)
        else:
            try:
                self._file = os.open(place.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
            except OSError as error:
                raise unreadable(place.path, error) from error
            if identity_of(os.fstat(self._file)) != place.identity:
                raise InputError(f"{place.path}: expected the file that was opened, got one that has changed since")
        self._part = part

    def _fill(self, place: PartPlace, rest: memoryview, offset: int) -> None:
        """Reads as many bytes as `rest` has, from so many on behind the first of the crops."""
        if self._file is None or place.first is None:
            raise TypeError("_fill: expected a part whose crops are one run")
        at = place.first + offset
        while rest:
            try:
                count = os.preadv(self._file, [rest], at)
            except OSError as error:
                raise unreadable(place.path, error) from error
            if not count:
                raise InputError(f"{place.path}: expected {at + len(rest)} bytes, got {at}")
            rest, at = rest[count:], at + count

    def close(self) -> None:
        """Closes the part that is open."""
        if self._file is not None:
            os.close(self._file)
        if self._rows is not None:
            self._rows.close()
        self._part = self._file = self._rows = None
