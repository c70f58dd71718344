"""A crops file whose `crops` are a virtual dataset of the parts in a folder beside it: writing it, and what it names.

HDF5 itself would give zeros where a part is missing. The attribute `parts` names the folder, so that who opens the file
can look at each part first.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.crops.folder.part_rows import PartPlace
from msroi_cli.io.crops.header import column_checksums, write_header
from msroi_cli.io.crops.schema import CHECKSUMS, CropsHeader, Results
from msroi_cli.io.files.atomic import failures_named
from msroi_cli.io.files.location import Location
from msroi_cli.io.hdf5.errors import guarded
from msroi_cli.io.hdf5.read import InputDataset, open_group
from msroi_cli.io.hdf5.values import attribute
from msroi_cli.io.hdf5.virtual import parts_of
from msroi_cli.io.hdf5.write import hdf5_file

PARTS = "parts"


def write_virtual(
    path: Path, header: CropsHeader, results: Results, checksums: NDArray[np.uint32], places: Sequence[PartPlace]
) -> None:
    """Writes to `path`, a file that is there, the crops file of parts whose rows follow each other.

    header: of all rows; `header.parts` is the folder of the parts, as the file is going to see it.
    checksums: (K,), of all rows. Raises RunError.
    """
    with failures_named(path), hdf5_file(path) as file:
        write_header(file, header, results.warnings)
        file["checksums"][...] = checksums
        file["stats"][...] = results.stats
        file[CHECKSUMS][...] = column_checksums(header, results)
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        space = h5py.h5s.create_simple(header.shape)
        spaces = {count: _space(count, header) for count in {place.count for place in places}}
        first, inside = 0, (0,) * (len(header.shape) - 1)
        for name, place in _mapped(header.parts or "", places):
            space.select_hyperslab((first, *inside), (place.count, *header.shape[1:]))
            plist.set_virtual(space, name.encode(), b"/crops", spaces[place.count])
            first += place.count
        space.select_all()
        kind = h5py.h5t.py_create(header.dtype, logical=True)
        h5py.h5d.create(file.id, b"crops", kind, space, plist)


def _space(count: int, header: CropsHeader) -> h5py.h5s.SpaceID:
    """That of so many crops."""
    return h5py.h5s.create_simple((count, *header.shape[1:]))


def _mapped(folder: str, places: Sequence[PartPlace]) -> list[tuple[str, PartPlace]]:
    """The name of each part that has rows, as the file sees it, and the part."""
    beside = str(PurePosixPath(folder, "part")).removesuffix("part")
    return [(beside + place.path.name, place) for place in places if place.count]


def named_folder(path: Path) -> str | None:
    """The folder of parts that a crops file names; None if it names none. Raises InputError."""
    location = Location(path)
    root = open_group(location, "a crops file")
    try:
        name: Any = attribute(root, PARTS, str(location))
    finally:
        root.close()
    return None if name is None else str(name)


def checked_folder(path: Path, name: str) -> Path:
    """The folder of parts `name` of the crops file `path`.

    Raises InputError if it is not there, or is not below the folder of the file: the rule for all links of HDF5 files.
    """
    folder = path.parent / name
    named = PurePath(name)
    below = folder.resolve().is_relative_to(path.parent.resolve())
    if named.is_absolute() or ".." in named.parts or not below:
        raise InputError(f"{path}: expected its parts in a folder below its own, got {name}")
    if not folder.is_dir():
        raise InputError(
            f"{path}: expected the folder {name} beside it, which has its crops, got none: "
            "a virtual file stays where its parts are; `msroi merge` without --virtual makes one that can be moved"
        )
    return folder


def check_parts(path: Path, dataset: InputDataset, folder: str, places: Sequence[PartPlace]) -> None:
    """Raises InputError unless the virtual dataset is made of all rows of these parts, one after the other.

    folder: of the parts, as the file names it.
    """
    where = f"{path}:/crops"
    for place in places:
        if place.path.is_symlink() and not place.path.resolve().is_relative_to(path.parent.resolve()):
            raise InputError(f"{path}: expected its parts in a folder below its own, got {place.path.resolve()}")
    with guarded(where):
        plist = dataset.id.get_create_plist()
        found = parts_of(plist, where) if plist.get_layout() == h5py.h5d.VIRTUAL else []
    actual = [(part.file, part.dataset, part.block[0][0], part.block[1][0] + 1) for part in found]
    expected, first = [], 0
    for name, place in _mapped(folder, places):
        expected.append((name, "/crops", first, first + place.count))
        first += place.count
    if actual != expected:
        other = next((pair for pair in zip(expected, actual, strict=False) if pair[0] != pair[1]), None)
        expects, got = other or (f"{len(expected)} parts", f"{len(actual)} parts")
        raise InputError(f"{where}: expected a virtual dataset of {expects}, got {got}")
