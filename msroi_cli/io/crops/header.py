"""The HDF5 side of writing crops: a file with everything in its place, closed before the first crop is written."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from msroi_cli import __version__
from msroi_cli.io.crops.schema import COLUMNS, FORMAT, FORMAT_VERSION, MOMENTS_DTYPE, STATS_DTYPE, CropsHeader
from msroi_cli.io.files.work import create
from msroi_cli.io.hdf5.write import hdf5_file, reserved_dataset

# Checksums are of single crops: whatever order crops are finished in, each has its checksum with it on the disk.
ROWS_PER_CHECKSUM = 1

# For what the crops themselves give, in characters: one warning that names a few rows.
ROOM_FOR_WARNINGS = 8192


def lay_out(path: Path, header: CropsHeader) -> None:
    """Makes the new file `path` with all of `header`, and the bytes of crops, checksums and stats set aside."""
    os.close(create(path))
    with hdf5_file(path) as file:
        write_header(file, header, header.warnings)
        reserved_dataset(file, "crops", header.shape, header.dtype)


def write_header(file: h5py.File, header: CropsHeader, warnings: Sequence[Mapping[str, Any]]) -> None:
    """Writes everything but the crops; checksums and stats get their place and no values yet."""
    file.attrs.update(
        format=FORMAT,
        format_version=FORMAT_VERSION,
        generated_by=f"msroi {__version__}",
        creation_date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        parameters=json.dumps(header.parameters),
        sources=json.dumps(header.sources_as_dict()),
        warnings=warnings_text(header, warnings),
    )
    for name, dtype in COLUMNS.items():
        if name in header.columns:
            file.create_dataset(name, data=np.asarray(header.columns[name], dtype=dtype))
    file.create_dataset("image_ids", data=header.image_ids, dtype=h5py.string_dtype(), shape=(len(header.image_ids),))
    sums = reserved_dataset(file, "checksums", header.shape[:1], np.dtype(np.uint32))
    sums.attrs.update(algorithm="crc32", rows_per_block=ROWS_PER_CHECKSUM)
    reserved_dataset(file, "stats", (header.levels,), STATS_DTYPE)
    if header.part is not None:
        file.attrs["part"] = header.part.as_json()
        reserved_dataset(file, "moments", (header.levels,), MOMENTS_DTYPE)


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
