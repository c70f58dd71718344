"""What HDF5 itself says of a file: how datasets are stored, what is there, and attributes as plain values."""

from __future__ import annotations

from itertools import islice
from typing import Any

import h5py
import numpy as np

from msroi_cli.io.hdf5 import attribute, member, open_group
from msroi_cli.io.location import Location
from msroi_cli.io.pyramid import Pyramid
from msroi_cli.io.pyramid_arrays import JsonPyramid, NpzPyramid
from msroi_cli.io.pyramid_hdf5 import BatchedHdf5Pyramid, PerImageHdf5Pyramid

LISTED = 8


def storage_of(pyramid: Pyramid, image: int, level: int) -> dict[str, Any]:
    """How one level of an image is stored: `shape`, `dtype`, `chunks`, `filters`, `bytes` on the disk.

    In a batched pyramid that is the level of all images.
    """
    name = pyramid.levels[level].name
    if isinstance(pyramid, BatchedHdf5Pyramid):
        return dataset_storage(pyramid.root[name])
    if isinstance(pyramid, PerImageHdf5Pyramid):
        return dataset_storage(pyramid.root[pyramid.image_ids[image]][name])
    if not isinstance(pyramid, (NpzPyramid, JsonPyramid)):
        raise TypeError(f"{type(pyramid).__name__}: expected a pyramid of a known kind")
    shape, dtype, size, filters = pyramid.stored(level)
    return {"shape": list(shape), "dtype": dtype_text(dtype), "chunks": None, "filters": filters, "bytes": size}


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
    """`float32`, and `float32 big-endian` where that is meant."""
    return f"{dtype.name} big-endian" if dtype.str.startswith(">") else dtype.name


def _filters(dataset: h5py.Dataset) -> list[str]:
    """The filters in the order in which they are applied; gzip with its level."""
    plist = dataset.id.get_create_plist()
    names = {
        h5py.h5z.FILTER_DEFLATE: "gzip",
        h5py.h5z.FILTER_SHUFFLE: "shuffle",
        h5py.h5z.FILTER_FLETCHER32: "fletcher32",
    }
    filters = []
    for index in range(plist.get_nfilters()):
        code, _, values, name = plist.get_filter(index)
        level = f" {values[0]}" if code == h5py.h5z.FILTER_DEFLATE and values else ""
        filters.append(names.get(code, name.decode(errors="replace") or f"filter {code}") + level)
    return filters


def crops_storage(location: Location) -> dict[str, Any]:
    """How the `crops` of a crops file are stored, and what the file says of its making."""
    root = open_group(location, "a crops file")
    try:
        made = {name: attribute(root, name, str(location)) for name in ("generated_by", "creation_date")}
        return {
            **{name: None if value is None else str(value) for name, value in made.items()},
            **dataset_storage(root["crops"]),
        }
    finally:
        root.file.close()


def has_attribute(location: Location, name: str) -> bool:
    """Whether the group that is meant has an attribute of this name; raises InputError if there is no such group."""
    root = open_group(location, "an HDF5 file")
    try:
        return name in root.attrs
    finally:
        root.file.close()


def listing(location: Location) -> str:
    """The first members of a group in words: `a (3, 4) float32, b group of 7`."""
    root = open_group(location, "an HDF5 file")
    try:
        words = [_in_words(root, name, location) for name in islice(root, LISTED)]
        more = f" and {len(root) - LISTED} more" if len(root) > LISTED else ""
        return (", ".join(words) or "nothing") + more
    finally:
        root.file.close()


def _in_words(root: h5py.Group, name: str, location: Location) -> str:
    item = member(root, name, location.at(name))
    if isinstance(item, h5py.Dataset):
        return f"{name} {item.shape} {item.id.get_type().dtype}"
    return f"{name} group of {len(item)}" if isinstance(item, h5py.Group) else f"{name}"
