"""The crops file, format version 1: how it is laid out, written and read.

`crops` (K, C, Ho, Wo) is one contiguous run of bytes, so that it can be written row by row without HDF5, and mapped.
Everything else is small. All of it is put in place, and the file closed, before the first crop is written.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from msroi_cli import __version__
from msroi_cli.errors import InputError
from msroi_cli.io.atomic import failures_named, reserve_space, whole_file
from msroi_cli.io.hdf5 import is_dataset, member, open_group, read, texts
from msroi_cli.io.location import Location, Source

FORMAT = "msroi-crops"
FORMAT_VERSION = 1
CHECKSUM_BYTES = 4 << 20

STATUS_POOLED, STATUS_INVALID = 0, 1
COLUMNS = {
    "boxes": np.float32,
    "image_index": np.int64,
    "level": np.int8,
    "status": np.uint8,
    "box_index": np.int64,
    "score": np.float64,
    "category_id": np.int64,
    "annotation_id": np.int64,
}
OPTIONAL_COLUMNS = ("score", "category_id", "annotation_id")
STATS_DTYPE = np.dtype(
    [("level", "i4"), ("stride_y", "f8"), ("stride_x", "f8"), ("boxes", "i8"), ("share", "f8")]
    + [(f"box_size_{name}", "f8") for name in ("min", "median", "max")]
    + [(name, "f8") for name in ("mean", "std", "min", "max", "zero_fraction")]
)


@dataclass(frozen=True, slots=True)
class CropsHeader:
    """Everything a crops file says besides the crops, their checksums and their statistics.

    shape: (K, C, Ho, Wo). columns: arrays (K, ...) by the names of `COLUMNS`. levels: how many rows `stats` has.
    """

    shape: tuple[int, int, int, int]
    dtype: np.dtype[Any]
    columns: Mapping[str, NDArray[Any]]
    image_ids: list[str]
    levels: int
    parameters: Mapping[str, Any]
    sources: Mapping[str, Source]

    @property
    def row_bytes(self) -> int:
        """The bytes of one crop."""
        return int(np.prod(self.shape[1:])) * self.dtype.itemsize

    @property
    def rows_per_block(self) -> int:
        """The rows that share one checksum."""
        return max(1, CHECKSUM_BYTES // max(1, self.row_bytes))

    @property
    def blocks(self) -> int:
        """The number of checksums."""
        return -(-self.shape[0] // self.rows_per_block)


@contextmanager
def crops_writer(path: Path, header: CropsHeader, overwrite: bool) -> Iterator[CropsWriter]:
    """Yields a writer; the file takes its name when the block has succeeded, and else is gone.

    Raises UsageError if `path` may not be written, RunError for what the file system refuses.
    """
    with whole_file(path, overwrite) as partial:
        with failures_named(path):
            offsets = _lay_out(partial, header)
            file = partial.open("r+b", buffering=0)
            reserve_space(file)
        with file:
            yield CropsWriter(path, file, header, offsets)


class CropsWriter:
    """Writes crops by row number, in any order, then `finish`."""

    def __init__(self, path: Path, file: Any, header: CropsHeader, offsets: Mapping[str, int]) -> None:
        self._path = path
        self._file = file
        self._header = header
        self._offsets = offsets

    def write(self, rows: NDArray[np.int64], crops: NDArray[Any]) -> None:
        """Writes `crops` (k, C, Ho, Wo), C-contiguous and of the file's dtype, as the rows `rows`, ascending."""
        # Rows that follow each other are one write.
        edges = np.flatnonzero(np.diff(rows) != 1) + 1
        for part, first in zip(np.split(crops, edges), rows[np.r_[0, edges]], strict=True):
            self._put(self._offsets["crops"] + int(first) * self._header.row_bytes, part)

    def finish(self, stats: NDArray[Any]) -> None:
        """Writes the statistics, (levels,) of STATS_DTYPE, and the checksums of what was written."""
        self._put(self._offsets["stats"], stats)
        self._put(self._offsets["checksums"], self._checksums())

    def _put(self, offset: int, array: NDArray[Any]) -> None:
        if not array.size:
            return
        rest = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        with failures_named(self._path):
            self._file.seek(offset)
            while rest:
                rest = rest[self._file.write(rest) :]

    def _checksums(self) -> NDArray[np.uint32]:
        header = self._header
        sums = np.empty(header.blocks, np.uint32)
        left = header.shape[0] * header.row_bytes
        with failures_named(self._path):
            self._file.seek(self._offsets["crops"])
            for block in range(header.blocks):
                sums[block], taken = self._crc(min(left, header.rows_per_block * header.row_bytes))
                left -= taken
        return sums

    def _crc(self, size: int) -> tuple[int, int]:
        crc, left = 0, size
        while left:
            content = self._file.read(min(left, CHECKSUM_BYTES))
            if not content:
                raise OSError("the file ended early")
            crc = zlib.crc32(content, crc)
            left -= len(content)
        return crc, size


def _lay_out(path: Path, header: CropsHeader) -> dict[str, int]:
    """Makes the file with everything but crops, checksums and stats; returns the offsets of those three."""
    with h5py.File(path, "w") as file:
        file.attrs.update(
            format=FORMAT,
            format_version=FORMAT_VERSION,
            generated_by=f"msroi {__version__}",
            creation_date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            parameters=json.dumps(header.parameters),
            sources=json.dumps({role: _source(source) for role, source in header.sources.items()}),
        )
        for name, dtype in COLUMNS.items():
            if name in header.columns:
                file.create_dataset(name, data=np.asarray(header.columns[name], dtype=dtype))
        file.create_dataset(
            "image_ids", data=header.image_ids, dtype=h5py.string_dtype(), shape=(len(header.image_ids),)
        )
        sums = _reserve(file, "checksums", (header.blocks,), np.dtype(np.uint32))
        sums.attrs.update(algorithm="crc32", rows_per_block=header.rows_per_block)
        reserved = {
            "checksums": sums,
            "stats": _reserve(file, "stats", (header.levels,), STATS_DTYPE),
            "crops": _reserve(file, "crops", header.shape, header.dtype),
        }
        return {name: dataset.id.get_offset() or 0 for name, dataset in reserved.items()}


def _source(source: Source) -> dict[str, Any]:
    return {"name": source.name, "size": source.size, "fingerprint": source.fingerprint}


def _reserve(file: h5py.File, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> h5py.Dataset:
    """A contiguous dataset whose bytes have their place in the file, but no values yet."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_layout(h5py.h5d.CONTIGUOUS)
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    kind = h5py.h5t.py_create(dtype, logical=True)
    space = h5py.h5s.create_simple(shape)
    return h5py.Dataset(h5py.h5d.create(file.id, name.encode(), kind, space, plist))


def open_crops(path: str | Path) -> Crops:
    """Opens a crops file for reading: `len`, rows, slices, `by_image(id)`.

    Raises InputError if it is none.
    """
    return Crops(path)


class Crops:
    """The crops of a file, (K, C, Ho, Wo), mapped and not read until they are used, and what goes with them.

    boxes: (K, 4) float32, x1 y1 x2 y2, pixels of the network's input. image_index: (K,) int64 into `image_ids`,
    -1 where the image is unknown. level: (K,) int8, -1 where none was pooled. status: (K,) uint8, 0 pooled, 1 invalid
    box. box_index: (K,) int64, the row in the box file. score, category_id, annotation_id: (K,) or None.
    parameters, sources: what the file says of how it was made. stats: one record a level.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        location = Location(self.path)
        root = open_group(location, "a crops file")
        try:
            self._read(root, location)
        finally:
            root.file.close()

    def _read(self, root: h5py.Group, location: Location) -> None:
        if root.attrs.get("format") != FORMAT:
            raise InputError(f"{location}: expected a crops file, format {FORMAT}, got another HDF5 file")
        if root.attrs.get("format_version") != FORMAT_VERSION:
            version = root.attrs.get("format_version")
            raise InputError(f"{location}: expected format version {FORMAT_VERSION}, got {version}")
        self.parameters: dict[str, Any] = json.loads(root.attrs["parameters"])
        self.sources: dict[str, Any] = json.loads(root.attrs["sources"])
        self.image_ids = texts(_dataset(root, location, "image_ids"), location.at("image_ids"))
        columns = {
            name: read(_dataset(root, location, name), location.at(name))
            for name in COLUMNS
            if name in root or name not in OPTIONAL_COLUMNS
        }
        self.boxes, self.image_index = columns["boxes"], columns["image_index"]
        self.level, self.status, self.box_index = columns["level"], columns["status"], columns["box_index"]
        self.score, self.category_id = columns.get("score"), columns.get("category_id")
        self.annotation_id = columns.get("annotation_id")
        self.stats = read(_dataset(root, location, "stats"), location.at("stats"))
        self._crops = self._map(_dataset(root, location, "crops"))

    def _map(self, dataset: h5py.Dataset) -> NDArray[Any]:
        offset = dataset.id.get_offset()
        if offset is None or not dataset.size:
            return np.empty(dataset.shape, dataset.dtype)
        return np.memmap(self.path, dataset.dtype, "r", offset, dataset.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """(K, C, Ho, Wo)."""
        return self._crops.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the crops."""
        return self._crops.dtype

    def __len__(self) -> int:
        return len(self._crops)

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        """Row k as (C, Ho, Wo); rows of a slice, a mask or a list of numbers as (k, C, Ho, Wo)."""
        return np.asarray(self._crops[rows])

    def by_image(self, image_id: str | int) -> NDArray[Any]:
        """The crops of one image, in the order of the file; KeyError if the file does not name the image."""
        return self[self.rows_of(image_id)]

    def rows_of(self, image_id: str | int) -> NDArray[np.int64]:
        """The row numbers of one image's crops; KeyError if the file does not name the image."""
        try:
            index = self.image_ids.index(str(image_id))
        except ValueError:
            raise KeyError(f"{self.path}: no image {image_id!r}") from None
        return np.flatnonzero(self.image_index == index)


def _dataset(root: h5py.Group, location: Location, name: str) -> h5py.Dataset:
    dataset = member(root, name, location.at(name))
    if not is_dataset(dataset):
        raise InputError(f"{location.at(name)}: expected a dataset, got none of that name")
    return dataset
