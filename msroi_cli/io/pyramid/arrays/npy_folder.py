"""Pyramids as folders of `.npy` files: one file a level, named as the level."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from msroi_cli.errors import InputError
from msroi_cli.io.files.location import Location
from msroi_cli.io.pyramid.arrays.batched import LONGEST_TEXT, SIDE_ARRAYS, refuse_channels_last, says_layout
from msroi_cli.io.pyramid.arrays.stored import StoredArray, StoredArrays
from msroi_cli.io.pyramid.levels import LevelChoice


def open_npy_folder(location: Location, choice: LevelChoice) -> StoredArrays:
    """Opens a folder of arrays (N, C, H, W), or (C, H, W) of one image; SIDE_ARRAYS are files of those names.

    Raises InputError or UsageError.
    """
    if location.group != "/":
        raise InputError(f"{location}: expected an HDF5 file, which has groups, got a folder of .npy files")
    paths = {path.stem: path for path in sorted(location.path.glob("*.npy")) if not path.name.startswith(".")}
    side: dict[str, Any] = {name: _whole(paths.pop(name)) for name in SIDE_ARRAYS if name in paths}
    arrays = {name: _stored(path) for name, path in paths.items()}
    refuse_channels_last(location, {name: array.values() for name, array in arrays.items() if _is_layout(name, array)})
    return StoredArrays(location, arrays, side, choice)


def _is_layout(name: str, array: StoredArray) -> bool:
    return says_layout(name) and array.dtype.kind in "SU" and 0 < array.bytes <= LONGEST_TEXT


def _stored(path: Path) -> StoredArray:
    """Where the array of a `.npy` file lies, by its header and the length of the file."""
    try:
        with path.open("rb") as file:
            version = npy.read_magic(file)
            read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran, dtype = read_header(file)
            array = StoredArray(path, file.tell(), shape, dtype)
            size = file.seek(0, 2)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected an array in NumPy's format, got: {error}") from error
    if fortran and len(shape) > 1:
        raise InputError(f"{path}: expected an array in C order, got Fortran order")
    if not dtype.hasobject and size < array.offset + array.bytes:
        raise InputError(f"{path}: expected {array.offset + array.bytes} bytes, got {size}")
    return array


def _whole(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: expected an array in NumPy's format, got: {error}") from error
