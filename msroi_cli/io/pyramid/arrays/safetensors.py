"""Pyramids in safetensors: the header is read here, tensors where they lie.

Format: the length of the header, 8 bytes little-endian; the header, JSON `{name: {"dtype", "shape", "data_offsets"}}`;
the tensors, offsets counted from the end of the header (the page "Format" of the safetensors documentation).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from msroi_cli.errors import InputError, unreadable
from msroi_cli.io.files.location import Location, parse_json
from msroi_cli.io.hdf5.values import json_value
from msroi_cli.io.pyramid.arrays.batched import SIDE_ARRAYS, refuse_channels_last, says_layout
from msroi_cli.io.pyramid.arrays.stored import StoredArray, StoredArrays
from msroi_cli.io.pyramid.levels import LevelChoice

DTYPES = {
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
    "BF16": "<f4",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "U16": "<u2",
    "U32": "<u4",
    "U64": "<u8",
}
"""The NumPy dtypes of values; bfloat16 is widened to float32. Tensors of other dtypes are no levels."""

LONGEST_HEADER = 100_000_000  # as the format's own library has it


def open_safetensors(location: Location, choice: LevelChoice) -> StoredArrays:
    """Opens tensors (N, C, H, W), or (C, H, W) of one image.

    SIDE_ARRAYS are tensors of those names, or JSON texts in the metadata (`strides` there also as an object by level).
    Raises InputError or UsageError.
    """
    header, begin = _header(location.path)
    metadata = header.pop("__metadata__", None) or {}
    layouts = {f"metadata {name}": json_value(text) or text for name, text in metadata.items() if says_layout(name)}
    refuse_channels_last(location, layouts)
    size = location.path.stat().st_size
    arrays = {}
    for name, entry in header.items():
        array = _tensor(location, name, entry, begin)
        if array is not None:
            if array.offset + array.bytes > size:
                raise InputError(f"{location.at(name)}: expected {array.offset + array.bytes} bytes, got {size}")
            arrays[name] = array
    side: dict[str, Any] = {name: arrays.pop(name).values() for name in SIDE_ARRAYS if name in arrays}
    for name in SIDE_ARRAYS:
        if name in metadata:
            if name in side:
                raise InputError(f"{location}: {name}: expected a tensor or metadata, got both")
            side[name] = _metadata(location, name, metadata[name])
    return StoredArrays(location, arrays, side, choice)


def _metadata(location: Location, name: str, text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{location}: metadata {name}: expected JSON, got: {error}") from error


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """The header, and where the tensors begin."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            content = file.read(min(length, LONGEST_HEADER))
    except OSError as error:
        raise unreadable(path, error) from error
    if len(content) != length:
        raise InputError(f"{path}: expected a header of {length} bytes, got {len(content)}")
    header = parse_json(path, content)
    if not isinstance(header, dict) or not all(isinstance(entry, dict) for entry in header.values()):
        raise InputError(f"{path}: expected the header of safetensors, an object by tensor name, got something else")
    return header, 8 + length


def _tensor(location: Location, name: str, entry: dict[str, Any], begin: int) -> StoredArray | None:
    """Where a tensor lies; None for a dtype that NumPy lacks."""
    shape, offsets, code = entry.get("shape"), entry.get("data_offsets"), entry.get("dtype")
    if not (_counts(shape) and _counts(offsets) and len(offsets) == 2):
        raise InputError(f"{location.at(name)}: expected shape and data_offsets, got {shape} and {offsets}")
    if code not in DTYPES:
        return None
    array = StoredArray(location.path, begin + offsets[0], tuple(shape), np.dtype(DTYPES[code]), code == "BF16")
    if array.bytes != offsets[1] - offsets[0]:
        raise InputError(f"{location.at(name)}: expected {array.bytes} bytes for {code} {shape}, got {offsets}")
    return array


def _counts(values: Any) -> TypeGuard[list[int]]:
    """Whether it is a list of whole numbers from 0 on."""
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)
