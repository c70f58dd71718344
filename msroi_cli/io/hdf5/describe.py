"""Metadata of HDF5 files: how datasets are stored, what a group holds, attributes as plain values."""

from __future__ import annotations

from itertools import islice
from typing import Any

import h5py
import numpy as np

from msroi_cli.io.files.location import Location
from msroi_cli.io.hdf5.pipeline import DEFLATE, FILTER_NAMES
from msroi_cli.io.hdf5.read import InputGroup, dataset_in, member, open_group
from msroi_cli.io.hdf5.values import attribute

LISTED = 8


def dataset_storage(dataset: h5py.Dataset) -> dict[str, Any]:
    """How a dataset is stored."""
    return {
        "shape": list(dataset.shape),
        "dtype": dtype_text(dataset.dtype),
        "chunks": list(dataset.chunks) if dataset.chunks else None,
        "filters": _filters(dataset),
        "bytes": int(dataset.id.get_storage_size()),
    }


def dtype_text(dtype: np.dtype[Any]) -> str:
    """`float32` or `float32 big-endian`."""
    return f"{dtype.name} big-endian" if dtype.str.startswith(">") else dtype.name


def _filters(dataset: h5py.Dataset) -> list[str]:
    """The filters in the order in which they are applied; gzip with its level."""
    plist = dataset.id.get_create_plist()
    filters = []
    for index in range(plist.get_nfilters()):
        code, _, values, name = plist.get_filter(index)
        level = f" {values[0]}" if code == DEFLATE and values else ""
        filters.append(FILTER_NAMES.get(code, name.decode(errors="replace") or f"filter {code}") + level)
    return filters


def crops_storage(location: Location) -> dict[str, Any]:
    """How the `crops` of a crops file are stored, and what the file says of its making."""
    root = open_group(location, "a crops file")
    try:
        made = {name: attribute(root, name, str(location)) for name in ("generated_by", "creation_date")}
        return {
            **{name: None if value is None else str(value) for name, value in made.items()},
            **dataset_storage(dataset_in(root, "crops", location.at("crops"), "a dataset")),
        }
    finally:
        root.close()


def has_attribute(location: Location, name: str, other_than: str = "") -> bool:
    """Whether the group that is meant has an attribute of this name, and of another value; raises InputError."""
    root = open_group(location, "an HDF5 file")
    try:
        return name in root.attrs and attribute(root, name, str(location)) != other_than
    finally:
        root.close()


def listing(location: Location) -> str:
    """The first members of a group in words: `a (3, 4) float32, b group of 7`."""
    root = open_group(location, "an HDF5 file")
    try:
        words = [_in_words(root, name, location) for name in islice(root, LISTED)]
        more = f" and {len(root) - LISTED} more" if len(root) > LISTED else ""
        return (", ".join(words) or "nothing") + more
    finally:
        root.close()


def _in_words(root: InputGroup, name: str, location: Location) -> str:
    item = member(root, name, location.at(name))
    if isinstance(item, h5py.Dataset):
        return f"{name} {item.shape} {item.id.get_type().dtype}"
    return f"{name} group of {len(item)}" if isinstance(item, h5py.Group) else f"{name}"
