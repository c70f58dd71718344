"""Reads datasets and attributes whose type, rank and length have been compared with what they should be."""

from __future__ import annotations

import json
import math
import os
from operator import itemgetter
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.hdf5.errors import guarded
from msroi_cli.io.hdf5.read import InputDataset, InputGroup
from msroi_cli.io.hdf5.storage import check_values
from msroi_cli.io.messages import value_text

# An attribute of more bytes is no stride, size or record of ours.
LARGEST_ATTRIBUTE = 64 << 20

# Strings of variable length are 16 bytes each, wherever their text is: no attribute of ours has as many.
MOST_STRINGS = 1024

# Values of up to so many bytes may be stored in any few; of more, filters make at most RATIO bytes of each stored one.
FREE_BYTES, RATIO = 64 << 20, 1100

NUMBERS = (h5py.h5t.INTEGER, h5py.h5t.FLOAT)
ATTRIBUTE_CLASSES = (*NUMBERS, h5py.h5t.STRING, h5py.h5t.ENUM, h5py.h5t.ARRAY)


def read(dataset: InputDataset, where: str) -> NDArray[Any]:
    """All values of a dataset whose shape and dtype have been checked; raises InputError, for missing values too."""
    _check_size(dataset, where)
    _check_members(dtype_of(dataset, where), where)
    check_values(dataset.id, dataset.input, where, fill=False)
    with guarded(where):
        return np.asarray(dataset[()])


def _check_members(dtype: np.dtype[Any], where: str) -> None:
    """Raises InputError for records whose members overlap: HDF5 would write behind the end of their memory.

    h5py reads a float of unusual form as a longer one, at the place of the shorter one.
    """
    members = sorted(((start, kind) for kind, start, *_ in (dtype.fields or {}).values()), key=itemgetter(0))
    stops = [start for start, _ in members[1:]] + [dtype.itemsize]
    for (start, kind), stop in zip(members, stops, strict=False):
        if start + kind.itemsize > stop:
            raise InputError(f"{where}: expected members one after another, got {dtype}")
        _check_members(kind.base, where)


def _check_size(dataset: InputDataset, where: str) -> None:
    """Raises InputError for more bytes than those that are stored can give."""
    with guarded(where):
        stored = dataset.id.get_storage_size()
        size = math.prod(dataset.shape) * dataset.id.get_type().get_size()
        if size > max(FREE_BYTES, RATIO * stored) and not dataset.is_virtual:
            raise InputError(f"{where}: cannot be read: expected {size} bytes, got {stored} that cannot hold as many")


def read_numbers(dataset: InputDataset, where: str, shape: tuple[int | None, ...], expected: str) -> NDArray[Any]:
    """Integers or floats of a shape, None for any length; raises InputError that says what was `expected`."""
    dtype = dtype_of(dataset, where)
    actual = dataset.shape
    fits = len(actual) == len(shape) and all(want in (None, side) for want, side in zip(shape, actual, strict=True))
    if not fits or dtype.kind not in "fiu":
        raise InputError(f"{where}: expected {expected}, got {actual} {dtype}")
    return read(dataset, where)


def texts(dataset: InputDataset, where: str, count: int | None = None) -> list[str]:
    """A dataset of strings or integers, `count` of them, as a list of strings; raises InputError."""
    dtype = dtype_of(dataset, where)
    if len(dataset.shape) != 1 or not (dtype.kind in "SUiu" or h5py.check_string_dtype(dtype)):
        raise InputError(f"{where}: expected a list of strings or integers, got {dataset.shape} {dtype}")
    if count is not None and len(dataset) != count:
        raise InputError(f"{where}: expected {count} ids, got {len(dataset)}")
    values = _long_texts(dataset, where) if h5py.check_vlen_dtype(dtype) else read(dataset, where).tolist()
    try:
        return [value.decode() if isinstance(value, bytes) else str(value) for value in values]
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: expected UTF-8 strings, got {error.object!r:.60}") from error


def _long_texts(dataset: InputDataset, where: str) -> list[bytes]:
    """Strings of variable length, some at a time: all may be the same long one."""
    _check_size(dataset, where)
    check_values(dataset.id, dataset.input, where, fill=False)
    found: list[bytes] = []
    with guarded(where):
        dataset.input.check_heaps()
        left = FREE_BYTES + 4 * dataset.input.path.stat().st_size
        for start in range(0, len(dataset), MOST_STRINGS):
            found += dataset[start : start + MOST_STRINGS].tolist()
            left -= sum(map(len, found[start:]))
            if left < 0:
                raise InputError(f"{where}: expected strings that the file has room for, got longer ones")
    return found


def attribute(item: InputGroup | InputDataset, name: str, where: object) -> Any:
    """An attribute's value, None if there is none; raises InputError unless it is numbers or text.

    An attribute that holds no value is an empty array.
    """
    key, file = os.fsencode(name), item.input
    with guarded(f"{where}: {name}"):
        if not h5py.h5a.exists(item.id, key):
            return None
        stored = h5py.h5a.open(item.id, key)
        kind = stored.get_type()
        size = math.prod(stored.shape or ()) * kind.get_size()
        if kind.get_class() not in ATTRIBUTE_CLASSES or size > LARGEST_ATTRIBUTE:
            raise InputError(f"{where}: {name}: expected numbers or text, got {size} bytes of another type")
        if isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str():
            if math.prod(stored.shape or ()) > MOST_STRINGS:
                raise InputError(f"{where}: {name}: expected at most {MOST_STRINGS} strings, got {stored.shape}")
            file.check_heap_of(item.id, key)
        if kind.get_class() not in NUMBERS or stored.shape is None:
            value = item.attrs.get(name)
            if isinstance(value, h5py.Empty):
                return np.empty(0)
            return value if not isinstance(value, bytes) else _decoded(value, f"{where}: {name}")
        # Without h5py's own layer, which takes longer than the rest of opening a small map.
        values = np.empty(stored.shape, stored.dtype)
        stored.read(values)
        return values[()]


def _decoded(text: bytes, where: str) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise InputError(f"{where}: expected numbers or text, got {value_text(text)}, which is no UTF-8") from None


def json_value(text: Any) -> Any:
    """The value of an attribute that is JSON; None if it is none."""
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return None


def dtype_of(dataset: h5py.Dataset, where: object) -> np.dtype[Any]:
    """The NumPy dtype of a dataset; raises InputError for a type that NumPy lacks."""
    with guarded(where, "expected numbers, got a type that cannot be read"):
        dtype: np.dtype[Any] = dataset.dtype
        return dtype
