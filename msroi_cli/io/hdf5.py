"""Opening HDF5 files and their members, with errors in our words."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.location import Location


def open_group(location: Location, expected: str) -> h5py.Group:
    """Opens the group of `location` for reading; `expected` says what the file should be, for messages."""
    try:
        file = h5py.File(location.path, "r")
    except OSError as error:
        raise InputError(f"{location.path}: expected {expected}, got no readable HDF5 file: {reason(error)}") from error
    group = None
    try:
        group = file.get(location.group)
    except (KeyError, RuntimeError, OSError) as error:
        raise InputError(f"{location}: cannot be read: {reason(error)}") from error
    finally:
        if not isinstance(group, h5py.Group):
            file.close()
    if not isinstance(group, h5py.Group):
        came = "no such group" if group is None else f"a {type(group).__name__.lower()}"
        raise InputError(f"{location}: expected a group of that name, got {came}")
    return group


def member(group: h5py.Group, name: str, where: str) -> h5py.Group | h5py.Dataset | None:
    """A member of a group, None if there is none; raises InputError for one that cannot be opened."""
    try:
        return group.get(name)
    except (KeyError, RuntimeError, OSError) as error:
        raise InputError(f"{where}: cannot be opened: {reason(error)}") from error


def read(dataset: h5py.Dataset, where: str, selection: Any = ()) -> NDArray[Any]:
    """The values of a dataset, or of a selection of it; raises InputError."""
    try:
        array: NDArray[Any] = np.asarray(dataset[selection])
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        raise InputError(f"{where}: cannot be read: {reason(error)}") from error
    return array


def attribute(item: h5py.HLObject, name: str, where: str) -> Any:
    """An attribute's value, None if there is none; raises InputError."""
    try:
        return item.attrs.get(name)
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        raise InputError(f"{where}: attribute {name} cannot be read: {reason(error)}") from error


def texts(dataset: h5py.Dataset, where: str) -> list[str]:
    """A dataset of strings or integers as a list of strings; raises InputError."""
    values = read(dataset, where)
    if values.ndim != 1 or values.dtype.kind not in "OSUiu":
        raise InputError(f"{where}: expected a list of strings or integers, got {values.shape} {values.dtype}")
    try:
        return [value.decode() if isinstance(value, bytes) else str(value) for value in values.tolist()]
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: expected UTF-8 strings, got {error.object!r}") from error


def open_dataset(root: h5py.Group, path: str, where: str) -> h5py.h5d.DatasetID:
    """The dataset at `path` below `root`, as HDF5's own handle; raises InputError if there is none."""
    try:
        return h5py.h5d.open(root.id, path.encode())
    except (KeyError, RuntimeError, OSError, ValueError, TypeError) as error:
        came = "none of that name" if path not in root else reason(error)
        raise InputError(f"{where}: expected a dataset, got {came}") from error


def is_dataset(item: Any) -> bool:
    """Whether a member is a dataset and no group."""
    return isinstance(item, h5py.Dataset)


def dtype_of(dataset: h5py.Dataset, where: str) -> np.dtype[Any]:
    """The NumPy dtype of a dataset; raises InputError for a type that NumPy lacks."""
    try:
        dtype: np.dtype[Any] = dataset.dtype
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{where}: expected numbers, got a type that cannot be read: {reason(error)}") from error
    return dtype


def reason(error: BaseException) -> str:
    """The first line of an HDF5 error, without its own quotes."""
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    return (text.strip().splitlines() or [type(error).__name__])[0].strip("'\"")
