"""The rows of a part in chunks whose places are known: read without HDF5, which takes longer to open a file."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError, unreadable
from msroi_cli.io.crops.folder.chunk_places import applied
from msroi_cli.io.crops.folder.part_file import identity_of
from msroi_cli.io.crops.rows import RowsInChunks, decoded_into, other_chunk
from msroi_cli.io.crops.schema import Compression
from msroi_cli.io.features.filters import UndecodableError
from msroi_cli.io.hdf5.chunk_index import ChunkLocation


class LocatedRows(RowsInChunks):
    """Rows (K, ...) of the file `path`, which has to have this `identity`; raises InputError if it has another."""

    def __init__(
        self,
        path: Path,
        identity: tuple[int, ...] | None,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        chunks: Sequence[ChunkLocation],
        compression: Compression,
    ) -> None:
        super().__init__(shape, dtype, compression.rows)
        self._path, self._chunks, self._compression = path, chunks, compression
        self._whole = math.prod(shape[1:]) * dtype.itemsize * self.step
        self._file: int | None = None
        try:
            self._file = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except OSError as error:
            raise unreadable(path, error) from error
        if identity_of(os.fstat(self._file)) != identity:
            self.close()
            raise InputError(f"{path}: expected the file that was opened, got one that has changed since")

    def slice(self, start: int, stop: int) -> NDArray[Any]:
        """Reads and decodes; raises InputError."""
        out = self._empty(stop - start)
        for first in range(start // self.step * self.step, stop, self.step):
            begin, end = max(first, start), min(first + self.step, stop)
            content, mask = self.stored_chunk(first)
            stored, filters = np.frombuffer(content, np.uint8), applied(self._compression, mask)
            try:
                decoded_into(out[begin - start : end - start], stored, filters, self._whole, begin - first)
            except UndecodableError:
                raise other_chunk(f"{self._path}:/crops", first, self._whole) from None
        out.flags.writeable = False
        return out

    def stored_chunk(self, start: int) -> tuple[bytes, int]:
        """The chunk that begins with row `start`, as it is stored, and its filter mask; raises InputError."""
        place = self._chunks[start // self.step]
        if self._file is None or place.offset is None:
            raise ValueError(f"{self._path}: expected open rows, got closed ones")
        try:
            content = os.pread(self._file, place.size, place.offset)
        except OSError as error:
            raise unreadable(self._path, error) from error
        if len(content) < place.size:
            raise InputError(f"{self._path}: expected {place.offset + place.size} bytes, got fewer")
        return content, place.filter_mask

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __del__(self) -> None:
        self.close()
