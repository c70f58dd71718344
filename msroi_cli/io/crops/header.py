"""The HDF5 side of writing crops: a file with everything in its place, closed before the first crop is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

import h5py
import numpy as np

from msroi_cli import __version__
from msroi_cli.io.crops.schema import COLUMNS, FORMAT, FORMAT_VERSION, MOMENTS_DTYPE, STATS_DTYPE, CropsHeader
from msroi_cli.io.hdf5.write import hdf5_file, reserved_dataset

# Checksums are of single crops: whatever order crops are finished in, each has its checksum with it on the disk.
ROWS_PER_CHECKSUM = 1


def lay_out(path: Path, header: CropsHeader) -> None:
    """Makes the file `path` with all of `header`, and the bytes of crops, checksums and stats set aside."""
    with hdf5_file(path) as file:
        write_header(file, header)
        reserved_dataset(file, "crops", header.shape, header.dtype)


def write_header(file: h5py.File, header: CropsHeader) -> None:
    """Writes everything but the crops; checksums and stats get their place and no values yet."""
    file.attrs.update(
        format=FORMAT,
        format_version=FORMAT_VERSION,
        generated_by=f"msroi {__version__}",
        creation_date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        parameters=json.dumps(header.parameters),
        sources=json.dumps(header.sources_as_dict()),
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


def places(path: Path, names: tuple[str, ...]) -> Mapping[str, int]:
    """The offsets in the file at which the values of contiguous datasets begin; 0 for those that have none."""
    with h5py.File(path, "r") as file:
        return {name: file[name].id.get_offset() or 0 for name in names if name in file}
