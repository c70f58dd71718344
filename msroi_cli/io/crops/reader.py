"""Reading a crops file as a sequence: rows, slices, masks and lists of rows, in any process."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.columns import BOX_COLUMNS, BoxColumns
from msroi_cli.io.crops.parts import Part
from msroi_cli.io.crops.rows import RowSource, compression_of, open_rows, selected_rows
from msroi_cli.io.crops.schema import COLUMNS, FORMAT, FORMAT_VERSION, LATER_STATS, MOMENTS_DTYPES, STATS_DTYPE
from msroi_cli.io.files.location import Location, checked_sources
from msroi_cli.io.files.refusal import refusing
from msroi_cli.io.hdf5.read import InputDataset, InputGroup, dataset_in, member, open_group
from msroi_cli.io.hdf5.values import attribute, dtype_of, json_value, read, texts
from msroi_cli.io.messages import value_text

BLOCK_BYTES = 8 << 20
MOST_LEVELS = 1 << 16


class Crops:
    """The crops of a file, (K, C, Ho, Wo) or, reduced, (K, C): read when they are used; and what goes with them.

    boxes: (K, 4) float32, x1 y1 x2 y2, pixels of the network's input. image_index: (K,) int64 into `image_ids`,
    -1 where the image is unknown. level: (K,) int8, -1 where none was pooled. status: (K,) uint8, 0 pooled, 1 invalid
    box, 2 unknown image. box_index: (K,) int64, the row in the box file. box_columns: score, category_id and
    annotation_id, (K,), those of them that the box file had; they are attributes too, None where there are none.
    parameters, sources, warnings: what the file says of how it was made. stats: one record a level. checksums: the
    CRC32 of every `rows_per_block` rows. part: which part of a job the file is, None if it is none; a part has moments,
    one record a level, from which the statistics of the job are made. first: the byte where crops in one run begin.
    compression: of crops that are compressed as `extract` does it.

    A pickle holds the path alone: loading it opens the file again. After a fork both processes can go on reading.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.paths = [self.path]
        location = Location(self.path)
        root = open_group(location, "a crops file")
        try:
            with refusing(location):
                self._read(root, location)
        finally:
            root.close()

    def _read(self, root: InputGroup, location: Location) -> None:
        if not np.array_equal(attribute(root, "format", str(location)), FORMAT):
            raise InputError(f"{location}: expected a crops file, format {FORMAT}, got another HDF5 file")
        version = attribute(root, "format_version", str(location))
        if not np.array_equal(version, FORMAT_VERSION):
            raise InputError(f"{location}: expected format version {FORMAT_VERSION}, got {version}")
        self.parameters = _json_attribute(root, location, "parameters")
        self.sources = checked_sources(location, _json_attribute(root, location, "sources"))
        self.warnings = _warnings(root, location)
        self.image_ids = texts(_dataset(root, location, "image_ids"), location.at("image_ids"))
        dataset = _crops_dataset(root, location)
        travelling = [column.name for column in BOX_COLUMNS]
        columns = {
            name: _column(root, location, name, len(dataset))
            for name in COLUMNS
            if name not in travelling or member(root, name, location.at(name)) is not None
        }
        self.boxes, self.image_index = columns["boxes"], columns["image_index"]
        self.level, self.status, self.box_index = columns["level"], columns["status"], columns["box_index"]
        self.box_columns = BoxColumns({name: columns[name] for name in travelling if name in columns})
        if len(dataset) and not -1 <= self.image_index.min() <= self.image_index.max() < len(self.image_ids):
            raise InputError(
                f"{location.at('image_index')}: expected -1 or indices into {len(self.image_ids)} image_ids, got others"
            )
        self.stats = _stats(root, location)
        self.part = None
        if attribute(root, "part", str(location)) is not None:
            self.part = Part.parse(location, attribute(root, "part", str(location)))
            self.moments = _moments(root, location, len(self.stats))
        self.shape: tuple[int, ...] = dataset.shape
        self.dtype: np.dtype[Any] = dtype_of(dataset, location.at("crops"))
        self.rows_per_block = _rows_per_block(root, location)
        self.checksums = _values(root, location, "checksums", (-(-len(self) // self.rows_per_block),), "u")
        self._rows: RowSource | None = self._open_rows(dataset)

    def _open_rows(self, dataset: InputDataset) -> RowSource:
        """The rows of the crops, when all else has been read; raises InputError."""
        rows = open_rows(self.path, dataset)
        self.first = dataset.id.get_offset() if rows.mapped and dataset.input.path == self.path else None
        self.compression = compression_of(dataset)
        return rows

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        """Row k as (C, Ho, Wo); rows of a slice, a mask or a list of numbers as (k, C, Ho, Wo).

        Numbers may be negative, repeated and in any order; the file is read in its own order. A tuple goes on into the
        crops, with numbers and slices. What a number or a slice gives may not be written to: `.copy()` may.
        Raises IndexError as a list or an array would, InputError for a file that has become unreadable.
        """
        if isinstance(rows, tuple):
            return self._inside(rows)
        selected = selected_rows(rows, len(self))
        if isinstance(selected, int):
            row: NDArray[Any] = self._source().slice(selected, selected + 1)[0]
            return row
        if isinstance(selected, range):
            return self._source().slice(selected.start, selected.stop)
        return self._source().take(selected.ravel()).reshape(*selected.shape, *self.shape[1:])

    def _inside(self, key: tuple[Any, ...]) -> NDArray[Any]:
        if any(not isinstance(part, (int, np.integer, slice, type(...))) for part in key[1:]):
            raise IndexError(f"expected numbers, slices and ... behind the rows, got {key[1:]!r}")
        if not key or key[0] is Ellipsis:
            every: NDArray[Any] = self[:][key]
            return every
        crops = self[key[0]]
        one = crops.ndim < len(self.shape)
        inside: NDArray[Any] = crops[key[1:] if one else (slice(None), *key[1:])]
        return inside

    def __iter__(self) -> Iterator[NDArray[Any]]:
        for _, block in self.blocks():
            yield from block

    def blocks(self, block_bytes: int = BLOCK_BYTES) -> Iterator[tuple[slice, NDArray[Any]]]:
        """All rows, some at a time: which they are, and the crops (k, C, Ho, Wo), of about `block_bytes`."""
        step = max(1, block_bytes // max(1, self.row_bytes))
        for start in range(0, len(self), step):
            rows = slice(start, min(start + step, len(self)))
            yield rows, self[rows]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All crops, mapped where they can be and no other dtype is asked for."""
        crops = self[:]
        if copy is False and (not self._source().mapped or (dtype is not None and np.dtype(dtype) != self.dtype)):
            raise ValueError(f"{self.path}: expected crops that can be mapped as they are, to have them without a copy")
        array: NDArray[Any] = crops.astype(dtype or self.dtype, copy=bool(copy))
        return array

    def by_image(self, image_id: str | int) -> NDArray[Any]:
        """The crops of one image, in the order of the file; KeyError if the file does not name the image."""
        return self[self.rows_of(image_id)]

    def rows_of(self, image_id: str | int) -> NDArray[np.int64]:
        """The row numbers of one image's crops, ascending; KeyError if the file does not name the image."""
        numbers, order, edges = self._images
        try:
            index = numbers[str(image_id)]
        except KeyError:
            raise KeyError(f"{self.path}: no image {image_id!r}") from None
        return order[edges[index] : edges[index + 1]]

    @cached_property
    def _images(self) -> tuple[dict[str, int], NDArray[np.int64], NDArray[np.int64]]:
        """The number of each image; the rows sorted by image; where the rows of each image begin among them."""
        numbers = {image: number for number, image in reversed(list(enumerate(self.image_ids)))}
        order = np.argsort(self.image_index, kind="stable")
        edges = np.searchsorted(self.image_index[order], np.arange(len(self.image_ids) + 1))
        return numbers, order, edges

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """All columns by their names in the file, (K, ...) each."""
        own = ("boxes", "image_index", "level", "status", "box_index")
        return {**{name: getattr(self, name) for name in own}, **self.box_columns}

    @property
    def score(self) -> NDArray[Any] | None:
        """The score of each box, (K,) float64."""
        return self.box_columns.get("score")

    @property
    def category_id(self) -> NDArray[Any] | None:
        """The category of each box, (K,) int64."""
        return self.box_columns.get("category_id")

    @property
    def annotation_id(self) -> NDArray[Any] | None:
        """The id of each box in a COCO data set, (K,) int64."""
        return self.box_columns.get("annotation_id")

    @property
    def row_bytes(self) -> int:
        """The bytes of one crop."""
        return int(np.prod(self.shape[1:])) * self.dtype.itemsize

    def _source(self) -> RowSource:
        if self._rows is None:
            raise ValueError(f"{self.path}: expected open crops, got closed ones")
        return self._rows

    def close(self) -> None:
        """Lets go of the file; arrays that were given out stay good."""
        if self._rows is not None:
            self._rows.close()
            self._rows = None

    def __enter__(self) -> Crops:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return Crops, (self.path.absolute(),)

    def __repr__(self) -> str:
        return f"<Crops {self.path}: {self.shape} {self.dtype}>"


def _json_attribute(root: InputGroup, location: Location, name: str) -> dict[str, Any]:
    """A root attribute that holds a JSON object; raises InputError."""
    text = attribute(root, name, str(location))
    value = json_value(text)
    if not isinstance(value, dict):
        raise InputError(f"{location}: attribute {name}: expected a JSON object, got {value_text(text)}")
    return value


def _warnings(root: InputGroup, location: Location) -> list[dict[str, Any]]:
    """The warnings of the job, plain JSON values; none in files that were made before there were any."""
    text: Any = attribute(root, "warnings", str(location))
    if text is None:
        return []
    found = json_value(text)
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise InputError(f"{location}: attribute warnings: expected a JSON list of objects, got {value_text(text)}")
    return found


def _dataset(root: InputGroup, location: Location, name: str) -> InputDataset:
    return dataset_in(root, name, location.at(name), "a dataset")


def _crops_dataset(root: InputGroup, location: Location) -> InputDataset:
    dataset = _dataset(root, location, "crops")
    dtype = dtype_of(dataset, location.at("crops"))
    if len(dataset.shape or ()) not in (2, 4) or dtype.kind != "f":
        raise InputError(
            f"{location.at('crops')}: expected float crops (K, C, Ho, Wo) or (K, C), got {dataset.shape} {dtype}"
        )
    return dataset


def _moments(root: InputGroup, location: Location, levels: int) -> NDArray[Any]:
    """The exact statistics of a part, (L,) of one of MOMENTS_DTYPES."""
    values = read(_dataset(root, location, "moments"), location.at("moments"))
    if values.dtype not in MOMENTS_DTYPES or values.shape != (levels,):
        raise InputError(f"{location.at('moments')}: expected {levels} moments, got {values.shape} {values.dtype}")
    return values


def _column(root: InputGroup, location: Location, name: str, count: int) -> NDArray[Any]:
    kinds = "fiu" if COLUMNS[name] in (np.float32, np.float64) else "iu"
    values = _values(root, location, name, (count, 4) if name == "boxes" else (count,), kinds)
    if values.dtype == np.uint64 and values.size and values.max() > np.iinfo(np.int64).max:
        raise InputError(f"{location.at(name)}: expected integers within 64 bits, got {values.max()}")
    return values


def _values(root: InputGroup, location: Location, name: str, shape: tuple[int, ...], kinds: str) -> NDArray[Any]:
    """A dataset of this shape and of one of these kinds of dtype, which are checked before anything is read."""
    dataset, where = _dataset(root, location, name), location.at(name)
    dtype = dtype_of(dataset, where)
    if dataset.shape != shape or dtype.kind not in kinds:
        raise InputError(f"{where}: expected {shape} numbers, got {dataset.shape} {dtype}")
    return read(dataset, where)


def _stats(root: InputGroup, location: Location) -> NDArray[Any]:
    """One record a level, with the fields of STATS_DTYPE at least, but for LATER_STATS."""
    dataset, where = _dataset(root, location, "stats"), location.at("stats")
    dtype = dtype_of(dataset, where)
    fields: Any = dtype.fields or {}
    names = [name for name in STATS_DTYPE.names or () if name in fields or name not in LATER_STATS]
    missing = [name for name in names if name not in fields or fields[name][0].kind not in "fiu"]
    if len(dataset.shape) != 1 or missing or len(dataset) > MOST_LEVELS:
        lacks = f" without numbers {', '.join(missing[:3])}" if missing else ""
        raise InputError(f"{where}: expected a record a level, got {dataset.shape}{lacks}")
    return read(dataset, where)


def _rows_per_block(root: InputGroup, location: Location) -> int:
    """How many rows a checksum is of; 1 unless the file says otherwise."""
    where = location.at("checksums")
    value: Any = attribute(_dataset(root, location, "checksums"), "rows_per_block", where)
    if value is None:
        return 1
    if np.ndim(value) or not isinstance(value, (int, np.integer)) or not 1 <= value < 2**31:
        raise InputError(f"{where}: rows_per_block: expected a number of rows from 1 on, got {value_text(value)}")
    return int(value)
