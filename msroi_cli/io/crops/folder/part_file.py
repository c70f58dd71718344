"""What a part of a job says besides its crops, and where these are."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from msroi_cli.io.crops.parts import Part
from msroi_cli.io.crops.reader import Crops
from msroi_cli.io.crops.schema import Compression
from msroi_cli.io.hdf5.chunk_index import ChunkLocation


class PartFile(NamedTuple):
    """A part; attributes as of `Crops`, columns by name.

    identity: of the file, see `identity_of`.
    first: the byte of the file where its crops begin, if they are one run; None: they are read by way of HDF5.
    compression: of the crops, None if they are not compressed. chunks: where theirs are, None if HDF5 has to be asked.
    checked: whether all but the crops has been compared with its checksums.
    """

    path: Path
    identity: tuple[int, ...]
    part: Part | None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    columns: Mapping[str, NDArray[Any]]
    image_ids: Sequence[str]
    checksums: NDArray[Any]
    rows_per_block: int
    moments: NDArray[Any] | None
    parameters: Mapping[str, Any]
    sources: Mapping[str, Any]
    warnings: Sequence[Mapping[str, Any]]
    first: int | None = None
    compression: Compression | None = None
    chunks: Sequence[ChunkLocation] | None = None
    checked: bool = False

    @property
    def crops(self) -> int:
        """How many crops it has."""
        return self.shape[0]

    @property
    def size(self) -> int:
        """The bytes of all crops."""
        return math.prod(self.shape) * self.dtype.itemsize

    @classmethod
    def opened(cls, path: Path) -> PartFile:
        """Reads a part by way of HDF5; raises InputError."""
        with Crops(path) as crops:
            return cls(
                path,
                identity_of(path.stat()),
                crops.part,
                crops.shape,
                crops.dtype,
                crops.columns,
                crops.image_ids,
                crops.checksums,
                crops.rows_per_block,
                crops.moments if crops.part is not None else None,
                crops.parameters,
                crops.sources,
                crops.warnings,
                crops.first,
                crops.compression,
            )


def identity_of(status: os.stat_result) -> tuple[int, ...]:
    """What is another when a file has been written to or replaced."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
