"""Kinds of crops files that are alike: what differs between the files of a kind, and where it is.

Two files whose bytes are the same but for the values of datasets and the texts of attributes have these at the same
places. So the places of one file, which HDF5 has opened, are those of every other file that has the same bytes in
between. Compressed crops come last in a file, and their sizes differ: the node of their index says where each chunk is.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from struct import Struct
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from msroi_cli.io.columns import BOX_COLUMNS
from msroi_cli.io.crops.folder.chunk_places import ChunkPlaces
from msroi_cli.io.crops.folder.part_file import PartFile
from msroi_cli.io.crops.schema import CHECKSUMS, CHECKSUMS_DTYPE, COLUMNS, MOMENTS_DTYPES, STATS_DTYPE
from msroi_cli.io.hdf5.errors import H5PY_ERRORS
from msroi_cli.io.hdf5.links import opened

# Of files up to so many bytes beside their crops.
MOST_BYTES = 8 << 20

TEXTS = ("creation_date", "parameters", "sources", "warnings", "part")
KNOWN: dict[str, tuple[np.dtype[Any], ...]] = {
    **{name: (np.dtype(dtype),) for name, dtype in COLUMNS.items()},
    "checksums": (np.dtype(np.uint32),),
    "stats": (STATS_DTYPE,),
    "moments": MOMENTS_DTYPES,
    CHECKSUMS: (CHECKSUMS_DTYPE,),
}
NEEDED = {*KNOWN, "image_ids"} - {column.name for column in BOX_COLUMNS}


@dataclass(frozen=True, slots=True)
class Place:
    """`count` values of a dataset, in bytes from the start of a file without its crops."""

    first: int
    stop: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    count: int

    @classmethod
    def at(cls, first: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Place:
        """The place of values that begin with the byte `first`."""
        count = math.prod(shape)
        return cls(first, first + count * dtype.itemsize, dtype, shape, count)

    def values(self, contents: NDArray[np.uint8]) -> NDArray[Any]:
        """The values (k, *shape) of k files (k, bytes), in an array of their own, which does not keep the files."""
        if not self.count:
            return np.empty((len(contents), *self.shape), self.dtype)
        return contents[:, self.first : self.stop].copy().view(self.dtype).reshape(len(contents), *self.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """Files that are alike. crops: where these are. datasets and texts (first, stop): where all else is that differs.

    same: the runs of bytes that all have in common, and `runs` where they are. names (n,): of all that has a checksum,
    as the file has them; checked: where each of it is, (first, stop). size: the bytes beside the crops.
    chunks: of compressed crops, which go on to the end of a file.
    """

    crops: Place
    datasets: Mapping[str, Place]
    texts: Mapping[str, tuple[int, int]]
    same: tuple[bytes, ...]
    runs: Struct
    names: NDArray[Any]
    checked: tuple[tuple[int, int], ...]
    rows_per_block: int
    size: int
    chunks: ChunkPlaces | None = None

    def has(self, content: bytearray, start: int) -> bool:
        """Whether a file is one of them, whose bytes but for its crops begin at `start` of `content`."""
        return self.runs.unpack_from(content, start) == self.same

    def read_into(self, place: memoryview, descriptor: int, size: int) -> bool:
        """Reads an open file of `size` bytes but for its crops; False if it has not as many bytes as files of the kind.

        place: of `self.size` bytes.
        """
        if self.chunks is not None:
            return os.preadv(descriptor, [place], 0) == self.size
        before, crops = self.crops.first, self.crops.stop - self.crops.first
        if size != self.size + crops:
            return False
        found = os.preadv(descriptor, [place[:before]], 0)
        return found + os.preadv(descriptor, [place[before:]], self.crops.stop) == self.size


def kind_like(path: Path, found: PartFile, descriptor: int, size: int) -> Kind | None:
    """The kind of a file that HDF5 has opened; None where it cannot be told what differs between files."""
    try:
        with opened(path) as file:
            crops = Place.at(found.first or 0, found.dtype, found.shape)
            if found.compression is not None:
                crops = replace(crops, first=_first_chunk(file["crops"]), stop=size)
            content = _without(descriptor, size, crops, found.compression is not None)
            chunks = None
            if found.compression is not None:
                chunks = ChunkPlaces.of(file["crops"], found.compression, content)
            datasets = {name: _place(file, name, crops) for name in file if name != "crops"}
            texts = {name: _text_place(file.attrs[name], content) for name in TEXTS}
    except H5PY_ERRORS:
        return None
    if not NEEDED <= {*datasets} <= {*KNOWN, "image_ids"}:
        return None
    if any(datasets[name].dtype not in dtypes for name, dtypes in KNOWN.items() if name in datasets):
        return None
    varying = [*((place.first, place.stop) for place in datasets.values()), *texts.values()]
    runs = _between(content, sorted([*varying, *(chunks.varying if chunks else ())]))
    names = datasets[CHECKSUMS].values(np.frombuffer(content, np.uint8)[None])[0]["name"]
    places = {name.encode(): (place.first, place.stop) for name, place in datasets.items()}
    places |= {b"@" + name.encode(): place for name, place in texts.items()}
    if runs is None or not places.keys() >= set(names.tolist()):
        return None
    checked = tuple(places[name] for name in names.tolist())
    same = runs.unpack(content)
    return Kind(crops, datasets, texts, same, runs, names, checked, found.rows_per_block, len(content), chunks)


def _first_chunk(crops: h5py.Dataset) -> int:
    """The byte with which the chunks begin."""
    return min(int(crops.id.get_chunk_info(number).byte_offset) for number in range(crops.id.get_num_chunks()))


def _without(descriptor: int, size: int, crops: Place, compressed: bool) -> bytes:
    """The bytes of a file, those of its crops left out; raises ValueError for too many."""
    if compressed:
        if crops.first > MOST_BYTES:
            raise ValueError("expected fewer bytes beside crops")
        return os.pread(descriptor, crops.first, 0)
    if size - (crops.stop - crops.first) > MOST_BYTES:
        raise ValueError("expected fewer bytes beside crops")
    return os.pread(descriptor, crops.first, 0) + os.pread(descriptor, size - crops.stop, crops.stop)


def _place(file: h5py.File, name: str, crops: Place) -> Place:
    """Where the values of a dataset are; raises ValueError for one that is not a run of bytes as in memory."""
    dataset = file[name]
    link = file.get(name, getlink=True)
    dtype, shape = dataset.dtype, dataset.shape
    first = dataset.id.get_offset() if math.prod(shape) else 0
    kept = dataset.id.get_create_plist()
    plain = dataset.id.get_type().equal(h5py.h5t.py_create(dtype)) and not file.userblock_size
    if not isinstance(link, h5py.HardLink) or first is None or not plain or kept.get_external_count():
        raise ValueError(f"{name}: expected a run of bytes")
    cut = crops.stop - crops.first if first >= crops.stop else 0
    return Place.at(first - cut, dtype, shape)


def _text_place(text: str | bytes, content: bytes) -> tuple[int, int]:
    """Where the text of an attribute is; raises ValueError if that cannot be told."""
    stored = text if isinstance(text, bytes) else text.encode()
    if not stored or content.count(stored) != 1:
        raise ValueError(f"expected one text {stored[:40]!r}")
    first = content.index(stored)
    return first, first + len(stored)


def _between(content: bytes, varying: list[tuple[int, int]]) -> Struct | None:
    """Takes the runs of bytes between others, which ascend, from `content` and its like; None if these overlap."""
    runs, start = "", 0
    for first, stop in varying:
        if first == stop:
            continue
        if first < start:
            return None
        runs += f"{first - start}s{stop - first}x"
        start = stop
    return Struct(f"{runs}{len(content) - start}s")
