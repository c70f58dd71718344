"""Opens HDF5 files and their members; every failure is an InputError."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.files.location import Location
from msroi_cli.io.files.refusal import reason

# h5py raises these, and more, for files that are damaged or hold what it does not support.
H5PY_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, ArithmeticError, IndexError)


@contextmanager
def guarded(where: object, doing: str = "cannot be read") -> Iterator[None]:
    """Raises InputError about `where` for what h5py raises in the block."""
    try:
        yield
    except H5PY_ERRORS as error:
        raise InputError(f"{where}: {doing}: {reason(error)}") from error


def open_group(location: Location, expected: str) -> h5py.Group:
    """Opens the group of `location` for reading; `expected` says what the file should be, for messages."""
    with guarded(location.path, f"expected {expected}, got no readable HDF5 file"):
        file = h5py.File(location.path, "r")
    try:
        group = member(file, location.group, location)
        if not isinstance(group, h5py.Group):
            actual = "no such group" if group is None else "a dataset"
            raise InputError(f"{location}: expected a group of that name, got {actual}")
    except BaseException:
        file.close()
        raise
    return group


def names(group: h5py.Group, where: object, limit: int | None = None) -> list[str]:
    """The names of a group's members, of the first `limit` of them; raises InputError."""
    with guarded(where):
        return [os.fsdecode(name) for name in islice(group, limit)]


def member(group: h5py.Group, name: str, where: object) -> h5py.Group | h5py.Dataset | None:
    """A member of a group, None if there is none.

    Raises InputError for one that cannot be opened: it is damaged, or a link to something that is not there.
    """
    with guarded(where, "cannot be opened"):
        key = os.fsencode(name)
        item = group.get(key)
        if item is None and name != "/" and key in group.id:
            raise InputError(f"{where}: expected a group or dataset, got a link to something that is not there")
        return item


def dataset_in(group: h5py.Group, name: str, where: object, expected: str) -> h5py.Dataset:
    """The dataset `name` of a group, one that has values; raises InputError: `expected` says what it should be."""
    item = member(group, name, where)
    if not isinstance(item, h5py.Dataset) or item.shape is None:
        actual = (
            "none of that name" if item is None else "a group" if isinstance(item, h5py.Group) else "an empty dataset"
        )
        raise InputError(f"{where}: expected {expected}, got {actual}")
    return item


def open_dataset(root: h5py.Group, path: str, where: object, expected: str) -> h5py.h5d.DatasetID:
    """The dataset at `path` below `root` as HDF5's own handle, which is quicker to open; raises InputError."""
    try:
        return h5py.h5d.open(root.id, os.fsencode(path))
    except H5PY_ERRORS:
        return dataset_in(root, path, where, expected).id


def open_group_at(root: h5py.Group, path: str, where: object, expected: str) -> h5py.h5g.GroupID:
    """The group at `path` below `root` as HDF5's own handle; raises InputError that says what was `expected`."""
    try:
        return h5py.h5g.open(root.id, os.fsencode(path))
    except H5PY_ERRORS:
        item = member(root, path, where)
        if not isinstance(item, h5py.Group):
            actual = "none of that name" if item is None else "a dataset"
            raise InputError(f"{where}: expected {expected}, got {actual}") from None
        return item.id


def read(dataset: h5py.Dataset, where: object, selection: Any = ()) -> NDArray[Any]:
    """The values of a dataset, or of a selection of it; raises InputError."""
    with guarded(where):
        return np.asarray(dataset[selection])


def attribute(item: h5py.HLObject, name: str, where: object) -> Any:
    """An attribute's value, None if there is none; raises InputError."""
    with guarded(f"{where}: {name}"):
        return item.attrs.get(name)


def texts(dataset: h5py.Dataset, where: object) -> list[str]:
    """A dataset of strings or integers as a list of strings; raises InputError."""
    values = read(dataset, where)
    if values.ndim != 1 or values.dtype.kind not in "OSUiu":
        raise InputError(f"{where}: expected a list of strings or integers, got {values.shape} {values.dtype}")
    try:
        return [value.decode() if isinstance(value, bytes) else str(value) for value in values.tolist()]
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: expected UTF-8 strings, got {error.object!r}") from error


def dtype_of(dataset: h5py.Dataset, where: object) -> np.dtype[Any]:
    """The NumPy dtype of a dataset; raises InputError for a type that NumPy lacks."""
    with guarded(where, "expected numbers, got a type that cannot be read"):
        dtype: np.dtype[Any] = dataset.dtype
        return dtype
