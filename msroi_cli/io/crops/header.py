"""The HDF5 side of writing crops: a file with everything in its place, closed before the first crop is written."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from msroi_cli import __version__
from msroi_cli.errors import InputError
from msroi_cli.io.crops.schema import (
    CHECKSUMS,
    CHECKSUMS_DTYPE,
    COLUMNS,
    FORMAT,
    FORMAT_VERSION,
    MOMENTS_DTYPE,
    STATS_DTYPE,
    CropsHeader,
    Results,
)
from msroi_cli.io.files.location import Location
from msroi_cli.io.files.refusal import refusing
from msroi_cli.io.hdf5.read import InputGroup, dataset_in, member, open_group
from msroi_cli.io.hdf5.values import attribute, read
from msroi_cli.io.hdf5.write import fixed_texts, hdf5_file, reserved_dataset, set_texts

# Checksums are of single crops: whatever order crops are finished in, each has its checksum with it on the disk.
ROWS_PER_CHECKSUM = 1

# Of a column.
ROWS_AT_ONCE = 1 << 16

# For what the crops themselves give, in characters: one warning that names a few rows.
ROOM_FOR_WARNINGS = 8192


def lay_out(descriptor: int, header: CropsHeader) -> None:
    """Fills an open file with all of `header`, and the bytes of crops, checksums and stats set aside."""
    with hdf5_file(descriptor) as file:
        write_header(file, header, header.warnings)
    # Of a few small crops: were the rest aligned as they are, it would take as many blocks as it has parts.
    with hdf5_file(descriptor, aligned=max(1, header.shape[0] * header.row_bytes)) as file:
        reserved_dataset(file, "crops", header.shape, header.dtype)


def write_header(file: h5py.File, header: CropsHeader, warnings: Sequence[Mapping[str, Any]]) -> None:
    """Writes everything but the crops; checksums and stats get their place and no values yet."""
    file.attrs["format_version"] = FORMAT_VERSION
    made = {
        "format": FORMAT,
        "generated_by": f"msroi {__version__}",
        "creation_date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    set_texts(file, {**made, **_texts(header, warnings)})
    for name in _column_names(header):
        _write_column(file, header, name)
    sums = reserved_dataset(file, "checksums", header.shape[:1], np.dtype(np.uint32))
    set_texts(sums, {"algorithm": "crc32"})
    sums.attrs["rows_per_block"] = ROWS_PER_CHECKSUM
    reserved_dataset(file, "stats", (header.levels,), STATS_DTYPE)
    if header.part is not None:
        set_texts(file, {"part": header.part.as_json()})
        reserved_dataset(file, "moments", (header.levels,), MOMENTS_DTYPE)
    reserved_dataset(file, CHECKSUMS, (len(_checksum_names(header)),), CHECKSUMS_DTYPE)


def _column_names(header: CropsHeader) -> list[str]:
    """What has a value for each row; and the ids of the images."""
    return [*(name for name in COLUMNS if name in header.columns), "image_ids"]


def _write_column(file: h5py.File, header: CropsHeader, name: str) -> None:
    if name not in COLUMNS:
        ids = fixed_texts(name, header.image_ids)
        file.create_dataset(name, data=ids, dtype=ids.dtype)
        return
    dataset = file.create_dataset(name, header.columns[name].shape, COLUMNS[name])
    for start, values in _pieces(header, name):
        dataset[start : start + len(values)] = values


def _pieces(header: CropsHeader, name: str) -> Iterator[tuple[int, NDArray[Any]]]:
    """A column as it is stored, which may take twice the memory of the header's, and where each piece begins."""
    values = header.columns[name]
    for start in range(0, len(values), ROWS_AT_ONCE):
        yield start, np.asarray(values[start : start + ROWS_AT_ONCE], COLUMNS[name])


def _texts(header: CropsHeader, warnings: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The attributes that have checksums."""
    return {
        "parameters": json.dumps(header.parameters),
        "sources": json.dumps(header.sources_as_dict()),
        "warnings": warnings_text(header, warnings),
        **({} if header.parts is None else {"parts": header.parts}),
    }


def _checksum_names(header: CropsHeader) -> list[str]:
    """The datasets that have checksums, and, behind an @, the attributes."""
    moments = [] if header.part is None else ["moments"]
    parts = [] if header.parts is None else ["@parts"]
    return [*_column_names(header), "stats", *moments, "@parameters", "@sources", "@warnings", *parts]


def column_checksums(header: CropsHeader, results: Results) -> NDArray[Any]:
    """The CRC32 of all that a crops file says besides crops and their checksums, of CHECKSUMS_DTYPE."""
    texts = {f"@{name}": text.encode() for name, text in _texts(header, results.warnings).items()}
    others = {"stats": results.stats, "moments": results.moments}

    def checksum(name: str) -> int:
        if name in texts:
            return zlib.crc32(texts[name])
        if name not in COLUMNS:
            return _crc(others[name] if name in others else fixed_texts(name, header.image_ids))
        found = 0
        for _, values in _pieces(header, name):
            found = _crc(values, found)
        return found

    return np.array([(name.encode(), checksum(name)) for name in _checksum_names(header)], dtype=CHECKSUMS_DTYPE)


def _crc(values: NDArray[Any], start: int = 0) -> int:
    return zlib.crc32(_stored(values).view(np.uint8).data, start)


def stored_bytes(values: NDArray[Any]) -> bytes:
    """The bytes of an array as a file has them: little-endian, in C order."""
    return _stored(values).tobytes()


def _stored(values: NDArray[Any]) -> NDArray[Any]:
    """The elements as a file has them, one after the other."""
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).reshape(-1)


def warnings_text(header: CropsHeader, warnings: Sequence[Mapping[str, Any]]) -> str:
    """The attribute `warnings`: JSON, and spaces up to a length that the header alone decides.

    So it can be written over when the crops are made, without a call of HDF5. Raises ValueError for warnings that are
    longer than their room.
    """
    room = len(json.dumps(list(header.warnings))) + ROOM_FOR_WARNINGS
    text = json.dumps(list(warnings))
    if len(text) > room:
        raise ValueError(f"warnings: expected at most {room} characters, got {len(text)}")
    return text.ljust(room)


def changed_columns(path: Path) -> list[str] | None:
    """What a crops file says besides crops and differs from its checksums, in words; None for a file without them.

    Raises InputError for what cannot be read.
    """
    location = Location(path)
    root = open_group(location, "a crops file")
    try:
        with refusing(location):
            if member(root, CHECKSUMS, location) is None:
                return None
            where = location.at(CHECKSUMS)
            table = read(dataset_in(root, CHECKSUMS, where, "checksums"), where)
            if table.dtype != CHECKSUMS_DTYPE or table.ndim != 1:
                raise InputError(f"{where}: expected names and checksums, got {table.shape} {table.dtype}")
            entries = [(name.decode(errors="replace"), crc) for name, crc in table.tolist()]
            return [text for name, crc in entries for text in _changed(root, location, name, crc)]
    finally:
        root.close()


def _changed(root: InputGroup, location: Location, name: str, crc: int) -> Iterator[str]:
    """What is wrong with a dataset or, behind an @, an attribute, in words."""
    if name.startswith("@"):
        content = str(attribute(root, name[1:], location)).encode()
        shown = f"attribute {name[1:]}"
    else:
        content = stored_bytes(read(dataset_in(root, name, location.at(name), "a column"), location.at(name)))
        shown = name
    if zlib.crc32(content) != crc:
        yield f"{shown}: expected the checksum {crc:08x}, got other bytes"
