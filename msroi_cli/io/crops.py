"""The crops file, format version 1: what is in it, and how it is read.

`crops` (K, C, Ho, Wo) is one contiguous run of bytes unless compression was asked for, so that it can be mapped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.hdf5 import attribute, dataset_in, open_group, read, texts
from msroi_cli.io.location import Location, Source, parse_json

FORMAT = "msroi-crops"
FORMAT_VERSION = 1

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
class Compression:
    """How crops are compressed: "gzip" or "lzf", the level of gzip, and the rows of a chunk."""

    name: str
    level: int
    rows: int


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
    compression: Compression | None = None

    def sources_as_dict(self) -> dict[str, Any]:
        """The sources as plain JSON values."""
        return {role: asdict(source) for role, source in self.sources.items()}

    @property
    def row_bytes(self) -> int:
        """The bytes of one crop."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize


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
        self.parameters = _json_attribute(root, location, "parameters")
        self.sources = _json_attribute(root, location, "sources")
        self.image_ids = texts(
            dataset_in(root, "image_ids", location.at("image_ids"), "a dataset"), location.at("image_ids")
        )
        columns = {
            name: read(dataset_in(root, name, location.at(name), "a dataset"), location.at(name))
            for name in COLUMNS
            if name in root or name not in OPTIONAL_COLUMNS
        }
        self.boxes, self.image_index = columns["boxes"], columns["image_index"]
        self.level, self.status, self.box_index = columns["level"], columns["status"], columns["box_index"]
        self.score, self.category_id = columns.get("score"), columns.get("category_id")
        self.annotation_id = columns.get("annotation_id")
        self.stats = read(dataset_in(root, "stats", location.at("stats"), "a dataset"), location.at("stats"))
        self._crops = self._map(dataset_in(root, "crops", location.at("crops"), "a dataset"))

    def _map(self, dataset: h5py.Dataset) -> NDArray[Any]:
        offset = dataset.id.get_offset()
        if offset is None or not dataset.size:
            return read(dataset, "crops")
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


def _json_attribute(root: h5py.Group, location: Location, name: str) -> dict[str, Any]:
    value = attribute(root, name, location)
    content = parse_json(f"{location}: attribute {name}", str(value).encode()) if value is not None else None
    if not isinstance(content, dict):
        raise InputError(f"{location}: expected the attribute {name}, a JSON object, got {value!r}")
    return content
