"""Opens HDF5 files and their members; every failure is an InputError."""

from __future__ import annotations

import os
from typing import Any

import h5py

from msroi_cli.errors import InputError, MissingFileError
from msroi_cli.io.files.access import Access
from msroi_cli.io.files.location import Location
from msroi_cli.io.hdf5.errors import H5PY_ERRORS, guarded
from msroi_cli.io.hdf5.links import WITHIN_ONE_FILE, Found, InputFile, open_object
from msroi_cli.io.hdf5.structure.listing import listed

# No file has an address beyond.
HIGHEST = (1 << 63) - 1


class InputGroup(h5py.Group):  # type: ignore[misc]
    """A group of an input; `input` is the file that it lies in, `top` the file that was named."""

    def __init__(self, identifier: h5py.h5g.GroupID, file: InputFile, top: InputFile | None = None) -> None:
        super().__init__(identifier)
        self.input = file
        self.top = top or file

    def close(self) -> None:
        """Closes the file that was named, and those that it links to."""
        self.top.close()


class InputDataset(h5py.Dataset):  # type: ignore[misc]
    """A dataset of an input; `input` is the file that it lies in."""

    def __init__(self, identifier: h5py.h5d.DatasetID, file: InputFile) -> None:
        super().__init__(identifier)
        self.input = file


def open_group(location: Location, expected: str, access: Access | None = None) -> InputGroup:
    """Opens the group of `location` for reading; `expected` says what the file should be, for messages.

    Its `close` closes the file and those that it links to.
    """
    if not location.path.exists():
        raise MissingFileError(f"{location.path}: expected {expected}, got none: No such file or directory")
    with guarded(location.path, f"expected {expected}, got no readable HDF5 file"):
        file = InputFile(location.path, access or Access())
    try:
        with guarded(location.path):
            top = InputGroup(file.file["/"].id, file)
        group = member(top, location.group, location)
        if not isinstance(group, InputGroup):
            actual = "no such group" if group is None else "a dataset"
            raise InputError(f"{location}: expected a group of that name, got {actual}")
    except BaseException:
        file.close()
        raise
    return group


def member_links(group: h5py.h5g.GroupID, where: object, descriptor: int | None = None) -> dict[str, int | None]:
    """The names of a group's members, with the address of the header of each, None for those linked in another way.

    descriptor: of the file, open for reading: where that can be, they are listed without HDF5, which is for many.
    Raises InputError as `names` does.
    """
    if descriptor is not None:
        with guarded(where):
            listing = listed(descriptor, h5py.h5o.get_info(group).addr)
        if listing is not None:
            return listing
    found: dict[str, int | None] = {}
    count = 0

    def note(name: bytes, info: h5py.h5l.LinkInfo) -> None:
        nonlocal count
        direct = info.type == h5py.h5l.TYPE_HARD and info.u <= HIGHEST
        found[name.decode("utf-8", "surrogateescape")] = info.u if direct else None
        count += 1

    with guarded(where):
        group.links.iterate(note, info=True)
    if "" in found or len(found) < count:
        raise _unnamed(where)
    return found


def names(group: h5py.Group, where: object, limit: int | None = None) -> list[str]:
    """The names of a group's members, of the first `limit` of them; raises InputError, also for one that is twice."""
    found: list[str] = []

    def note(name: bytes) -> bool | None:
        found.append(name.decode("utf-8", "surrogateescape"))
        return True if len(found) == limit else None

    with guarded(where):
        tracked = group.id.get_create_plist().get_link_creation_order() & h5py.h5p.CRT_ORDER_TRACKED
        group.id.links.iterate(note, idx_type=h5py.h5.INDEX_CRT_ORDER if tracked else h5py.h5.INDEX_NAME)
    if "" in found or len(set(found)) < len(found):
        raise _unnamed(where)
    return found


def _unnamed(where: object) -> InputError:
    return InputError(f"{where}: cannot be read: expected members with names of their own, got one twice or none")


def member(group: InputGroup, name: str, where: object) -> InputGroup | InputDataset | None:
    """A member of a group, None if there is none, or if it is no group or dataset.

    Raises InputError for one that cannot be opened: it is damaged, or a link that may not be followed or leads nowhere.
    """
    with guarded(where, "cannot be opened"):
        found = open_object(group.id, os.fsencode(name), group.input, where)
        if found is None:
            return None
        if isinstance(found.object, h5py.h5d.DatasetID):
            return InputDataset(found.object, found.file)
        return InputGroup(found.object, found.file, group.top) if isinstance(found.object, h5py.h5g.GroupID) else None


def dataset_in(group: InputGroup, name: str, where: object, expected: str) -> InputDataset:
    """The dataset `name` of a group, one that has values; raises InputError: `expected` says what it should be."""
    item = member(group, name, where)
    if not isinstance(item, InputDataset) or item.shape is None:
        actual = (
            "none of that name" if item is None else "a group" if isinstance(item, InputGroup) else "an empty dataset"
        )
        raise InputError(f"{where}: expected {expected}, got {actual}")
    return item


def _handle(root: InputGroup, path: str) -> Any:
    """HDF5's own handle of what is at `path` below `root` in its file; None where there is nothing to open."""
    try:
        return h5py.h5o.open(root.id, os.fsencode(path), WITHIN_ONE_FILE)
    except H5PY_ERRORS:
        return None


def open_dataset(root: InputGroup, path: str, where: object, expected: str) -> Found:
    """The dataset at `path` below `root` as HDF5's own handle, which is quicker to open; raises InputError."""
    found = _handle(root, path)
    if isinstance(found, h5py.h5d.DatasetID):
        return Found(found, root.input)
    item = dataset_in(root, path, where, expected)
    return Found(item.id, item.input)


def open_group_at(root: InputGroup, path: str, where: object, expected: str) -> Found:
    """The group at `path` below `root` as HDF5's own handle; raises InputError that says what was `expected`."""
    found = _handle(root, path)
    if isinstance(found, h5py.h5g.GroupID):
        return Found(found, root.input)
    item = member(root, path, where)
    if not isinstance(item, InputGroup):
        actual = "none of that name" if item is None else "a dataset"
        raise InputError(f"{where}: expected {expected}, got {actual}")
    return Found(item.id, item.input)
