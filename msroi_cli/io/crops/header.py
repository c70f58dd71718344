"""The HDF5 side of writing crops: a file with everything in its place, closed before the first crop is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from msroi_cli import __version__
from msroi_cli.io.crops.schema import COLUMNS, FORMAT, FORMAT_VERSION, MOMENTS_DTYPE, STATS_DTYPE, CropsHeader
from msroi_cli.io.hdf5.write import hdf5_file

# Checksums are of single crops: whatever order crops are finished in, each has its checksum with it on the disk.
ROWS_PER_CHECKSUM = 1


def lay_out(path: Path, header: CropsHeader) -> None:
    """Makes the file `path` with all of `header`, and the bytes of crops, checksums and stats set aside."""
    with hdf5_file(path) as file:
        write_header(file, header)
        _set_aside(file, "crops", header.shape, header.dtype)


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
    sums = _set_aside(file, "checksums", header.shape[:1], np.dtype(np.uint32))
    sums.attrs.update(algorithm="crc32", rows_per_block=ROWS_PER_CHECKSUM)
    _set_aside(file, "stats", (header.levels,), STATS_DTYPE)
    if header.part is not None:
        file.attrs["part"] = header.part.as_json()
        _set_aside(file, "moments", (header.levels,), MOMENTS_DTYPE)


def _set_aside(file: h5py.File, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> h5py.Dataset:
    """A contiguous dataset whose bytes have their place in the file, but no values yet."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_layout(h5py.h5d.CONTIGUOUS)
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    plist.set_obj_track_times(False)
    kind = h5py.h5t.py_create(dtype, logical=True)
    return h5py.Dataset(h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create_simple(shape), plist))


def places(path: Path, names: tuple[str, ...]) -> Mapping[str, int]:
    """The offsets in the file at which the values of contiguous datasets begin; 0 for those that have none."""
    with h5py.File(path, "r") as file:
        return {name: file[name].id.get_offset() or 0 for name in names if name in file}
