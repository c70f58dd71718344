"""Checks how the values of an HDF5 dataset are stored, before any is read: all there, in files that may be read."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py

from msroi_cli.errors import InputError
from msroi_cli.io.hdf5.chunk_index import ChunkIndex
from msroi_cli.io.hdf5.errors import guarded
from msroi_cli.io.hdf5.links import InputFile
from msroi_cli.io.hdf5.virtual import check_cover, is_missing, open_source, parts_of

# Virtual datasets may be made of virtual ones, this many deep.
MOST_NESTED = 4

NEVER_WRITTEN = "expected values, got some that were never written; --allow-fill reads their fill value"


class _Stored(NamedTuple):
    """A dataset of `file` with its creation properties. fill: whether values may be missing. depth: of virtual ones."""

    dataset: h5py.h5d.DatasetID
    plist: Any
    file: InputFile
    where: str
    fill: bool
    depth: int

    @property
    def size(self) -> int:
        """The bytes of all values."""
        return math.prod(self.dataset.shape or (0,)) * int(self.dataset.get_type().get_size())


def check_storage(
    dataset: h5py.h5d.DatasetID, file: InputFile, where: str, fill: bool | None = None, depth: int = 0
) -> ChunkIndex | None:
    """Checks a dataset of `file`; the index of its chunks if it has any, which is checked when it is used.

    fill: whether values that were never written are allowed, None: as `file` allows. Raises InputError for missing
    values, files that may not be read, filters that are not supported and places outside the file.
    """
    allowed = file.access.fill if fill is None else fill
    with guarded(where):
        plist = dataset.get_create_plist()
        return CHECKS[plist.get_layout()](_Stored(dataset, plist, file, where, allowed, depth))


def check_values(dataset: h5py.h5d.DatasetID, file: InputFile, where: str, fill: bool | None = None) -> None:
    """Checks all of a dataset that h5py is going to read, its chunks included; raises InputError."""
    index = check_storage(dataset, file, where, fill)
    if index is not None:
        index.check_content()


def _check_contiguous(stored: _Stored) -> None:
    count = stored.plist.get_external_count()
    if count:
        _check_raw_files([stored.plist.get_external(index) for index in range(count)], stored)
        return
    offset = stored.dataset.get_offset()
    if offset is None:
        if stored.size and not stored.fill:
            raise InputError(f"{stored.where}: {NEVER_WRITTEN}")
        return
    end = stored.file.end
    if offset + stored.size > end or stored.size > stored.dataset.get_storage_size():
        raise InputError(f"{stored.where}: cannot be read: expected {stored.size} bytes at {offset}, got fewer")


def _check_raw_files(parts: list[tuple[bytes, int, int]], stored: _Stored) -> None:
    """Checks files of raw values, which HDF5 looks for from the current folder on."""
    if not stored.file.access.external:
        name = os.fsdecode(parts[0][0])
        raise InputError(
            f"{stored.where}: expected values in the file itself, got some in {name}; --allow-external reads them"
        )
    prefix = os.environ.get("HDF5_EXTFILE_PREFIX", "").replace("${ORIGIN}", str(stored.file.path.parent))
    size = stored.size
    for raw_name, offset, length in parts:
        taken = min(length, size)
        size -= taken
        path = Path(prefix, os.fsdecode(raw_name))
        actual = path.stat().st_size if path.is_file() else 0
        if actual < offset + taken and not stored.fill:
            raise InputError(f"{stored.where}: {path}: expected {offset + taken} bytes, got {actual}: {NEVER_WRITTEN}")
        if path.is_file():
            stored.file.access.note(path, stored.where)


def _check_chunked(stored: _Stored) -> ChunkIndex:
    return ChunkIndex(stored.dataset, stored.plist, stored.where, stored.fill, stored.file.end)


def _check_virtual(stored: _Stored) -> None:
    if stored.depth > MOST_NESTED:
        raise InputError(f"{stored.where}: expected at most {MOST_NESTED} virtual datasets one in another, got more")
    parts = parts_of(stored.plist, stored.where)
    for part in parts:
        if stored.fill and is_missing(part, stored.file):
            continue
        source = open_source(part, stored.file, stored.where)
        where = f"{stored.where}: {part.file}:{part.dataset}"
        index = check_storage(source.object, source.file, where, stored.fill, stored.depth + 1)
        if index is not None:
            index.check()
    if not stored.fill:
        check_cover(stored.dataset.shape, parts, stored.where)


def _check_nothing(_: _Stored) -> None:
    """Compact values are part of the dataset's own description."""


CHECKS: dict[int, Callable[[_Stored], ChunkIndex | None]] = {
    h5py.h5d.COMPACT: _check_nothing,
    h5py.h5d.CONTIGUOUS: _check_contiguous,
    h5py.h5d.CHUNKED: _check_chunked,
    h5py.h5d.VIRTUAL: _check_virtual,
}
