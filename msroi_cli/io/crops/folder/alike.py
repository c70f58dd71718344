"""Opens crops files that are alike much faster than HDF5 does, which takes some milliseconds for each.

Two files whose bytes are the same but for the values of datasets and the texts of attributes have these at the same
places. So the places of one file, which HDF5 has opened, are those of every other file of its size that has the same
bytes in between. A file that is not like one that is known is opened by way of HDF5.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.columns import BOX_COLUMNS
from msroi_cli.io.crops.folder.part_file import PartFile, identity_of
from msroi_cli.io.crops.parts import Part
from msroi_cli.io.crops.schema import CHECKSUMS, CHECKSUMS_DTYPE, COLUMNS, MOMENTS_DTYPE, STATS_DTYPE
from msroi_cli.io.hdf5.errors import H5PY_ERRORS
from msroi_cli.io.hdf5.links import opened

# So many kinds of files of one size are known at a time, and files up to so many bytes beside their crops.
MOST_KINDS, MOST_BYTES = 16, 8 << 20

TEXTS = ("creation_date", "parameters", "sources", "warnings", "part")
KNOWN: dict[str, np.dtype[Any]] = {
    **{name: np.dtype(dtype) for name, dtype in COLUMNS.items()},
    "checksums": np.dtype(np.uint32),
    "stats": STATS_DTYPE,
    "moments": MOMENTS_DTYPE,
    CHECKSUMS: CHECKSUMS_DTYPE,
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


@dataclass(frozen=True, slots=True)
class Kind:
    """Files that are alike. crops: where these are. datasets and texts (first, stop): where all else is that differs.

    same: the first byte of each run that all have in common, and the run. names: of all that has a checksum, as the
    file has them; checked: where each of it is, (first, stop).
    """

    crops: Place
    datasets: Mapping[str, Place]
    texts: Mapping[str, tuple[int, int]]
    same: tuple[tuple[int, bytes], ...]
    names: bytes
    checked: tuple[tuple[int, int], ...]
    rows_per_block: int

    def has(self, content: bytes) -> bool:
        """Whether a file, without its crops, is one of them."""
        for first, run in self.same:  # noqa: SIM110 a generator takes longer than the rest
            if not content.startswith(run, first):
                return False
        return True


class AlikeFiles:
    """Opens parts, most of which are like one that was opened before."""

    def __init__(self) -> None:
        self._kinds: defaultdict[int, list[Kind]] = defaultdict(list)

    def open(self, path: Path) -> PartFile:
        """A part; raises InputError as `Crops` does."""
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except OSError:
            return PartFile.opened(path)
        try:
            return self._known(path, descriptor) or self._new(path, descriptor)
        finally:
            os.close(descriptor)

    def _known(self, path: Path, descriptor: int) -> PartFile | None:
        """A file of a kind that is known and whose checksums are right; None for any other."""
        status = os.fstat(descriptor)
        kinds = self._kinds[status.st_size]
        crops, content = None, b""
        for number, kind in enumerate(kinds):
            if kind.crops != crops:
                crops, content = kind.crops, _without(descriptor, status.st_size, kind.crops)
            if kind.has(content):
                # Files that follow each other are alike: the next one is compared with this kind first.
                kinds.insert(0, kinds.pop(number))
                return _read(path, identity_of(status), kind, content)
        return None

    def _new(self, path: Path, descriptor: int) -> PartFile:
        """Opens a file by way of HDF5, and remembers its kind."""
        found = PartFile.opened(path)
        size = os.fstat(descriptor).st_size
        kinds = self._kinds[size]
        known = found.first is not None or not found.size
        if known and len(kinds) < MOST_KINDS and size - found.size <= MOST_BYTES:
            kind = _kind(path, found, descriptor, size)
            if kind is not None:
                kinds.append(kind)
        return found


def _without(descriptor: int, size: int, crops: Place) -> bytes:
    """The bytes of a file, those of its crops left out."""
    if crops.stop - crops.first < MOST_BYTES:
        content = os.pread(descriptor, size, 0)
        return content[: crops.first] + content[crops.stop :]
    return os.pread(descriptor, crops.first, 0) + os.pread(descriptor, size - crops.stop, crops.stop)


def _kind(path: Path, found: PartFile, descriptor: int, size: int) -> Kind | None:
    """The kind of a file that HDF5 has opened; None where it cannot be told what differs between files."""
    crops = Place.at(found.first or 0, found.dtype, found.shape)
    content = _without(descriptor, size, crops)
    try:
        with opened(path) as file:
            datasets = {name: _place(file, name, crops) for name in file if name != "crops"}
            texts = {name: _text_place(file.attrs[name], content) for name in TEXTS}
    except H5PY_ERRORS:
        return None
    if not NEEDED <= {*datasets} <= {*KNOWN, "image_ids"}:
        return None
    if any(datasets[name].dtype != dtype for name, dtype in KNOWN.items() if name in datasets):
        return None
    same = _between(content, sorted([*((place.first, place.stop) for place in datasets.values()), *texts.values()]))
    names = _array(datasets[CHECKSUMS], content)["name"]
    places = {name.encode(): (place.first, place.stop) for name, place in datasets.items()}
    places |= {b"@" + name.encode(): place for name, place in texts.items()}
    if same is None or not places.keys() >= set(names.tolist()):
        return None
    checked = tuple(places[name] for name in names.tolist())
    return Kind(crops, datasets, texts, same, names.tobytes(), checked, found.rows_per_block)


def _place(file: h5py.File, name: str, crops: Place) -> Place:
    """Where the values of a dataset are; raises ValueError for one that is not a run of bytes as in memory."""
    dataset = file[name]
    link = file.get(name, getlink=True)
    first = dataset.id.get_offset() if dataset.size else 0
    kept = dataset.id.get_create_plist()
    plain = dataset.id.get_type().equal(h5py.h5t.py_create(dataset.dtype)) and not file.userblock_size
    if not isinstance(link, h5py.HardLink) or first is None or not plain or kept.get_external_count():
        raise ValueError(f"{name}: expected a run of bytes")
    cut = crops.stop - crops.first if first >= crops.stop else 0
    return Place.at(first - cut, dataset.dtype, dataset.shape)


def _text_place(text: str | bytes, content: bytes) -> tuple[int, int]:
    """Where the text of an attribute is; raises ValueError if that cannot be told."""
    stored = text if isinstance(text, bytes) else text.encode()
    if not stored or content.count(stored) != 1:
        raise ValueError(f"expected one text {stored[:40]!r}")
    first = content.index(stored)
    return first, first + len(stored)


def _between(content: bytes, varying: list[tuple[int, int]]) -> tuple[tuple[int, bytes], ...] | None:
    """The runs of bytes between others, which ascend; None if these overlap."""
    same, start = [], 0
    for first, stop in [*varying, (len(content), len(content))]:
        if first == stop != len(content):
            continue
        if first < start:
            return None
        same.append((start, content[start:first]))
        start = stop
    return tuple(same)


def _read(path: Path, identity: tuple[int, ...], kind: Kind, content: bytes) -> PartFile | None:
    """A part by the places of its kind; None if anything is wrong with it, which HDF5's way then says."""
    if not _is_sound(kind, content):
        return None
    arrays = {name: _array(place, content) for name, place in kind.datasets.items()}
    texts = {name: content[first:stop] for name, (first, stop) in kind.texts.items()}
    parameters, sources, warnings = (_parsed(texts[name]) for name in ("parameters", "sources", "warnings"))
    ids, index = arrays["image_ids"].tolist(), arrays["image_index"]
    if not (isinstance(parameters, dict) and isinstance(sources, dict) and isinstance(warnings, list)):
        return None
    if len(index) and not -1 <= index.min() <= index.max() < len(ids):
        return None
    try:
        part = Part.parse(path, texts["part"].decode())
        image_ids = [image.decode() for image in ids]
    except (InputError, UnicodeDecodeError):
        return None
    return PartFile(
        path,
        identity,
        part,
        kind.crops.shape,
        kind.crops.dtype,
        {name: arrays[name] for name in COLUMNS if name in arrays},
        image_ids,
        arrays["checksums"],
        kind.rows_per_block,
        arrays["moments"],
        parameters,
        sources,
        warnings,
        kind.crops.first,
        checked=True,
    )


def _array(place: Place, content: bytes) -> NDArray[Any]:
    # A copy, which does not keep all of the file.
    return np.frombuffer(content, place.dtype, place.count, place.first).reshape(place.shape).copy()


def _is_sound(kind: Kind, content: bytes) -> bool:
    """Whether all that has a checksum is what it is of."""
    table = _array(kind.datasets[CHECKSUMS], content)
    if table["name"].tobytes() != kind.names:
        return False
    view = memoryview(content)
    pairs = zip(kind.checked, table["crc32"].tolist(), strict=True)
    return all(zlib.crc32(view[first:stop]) == crc for (first, stop), crc in pairs)


@lru_cache(maxsize=64)
def _parsed(text: bytes) -> Any:
    """The value of a JSON text, None if it is none: the parts of a job share most of their texts."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
