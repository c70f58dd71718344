"""Boxes in HDF5: `rois` (K, 5); `boxes` (K, 4) with the image of each; or one group an image with `boxes` (k, 4)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.boxes.table import BoxTable, refuse_other_index, whole_numbers
from msroi_cli.io.columns import BOX_COLUMNS, BoxColumns
from msroi_cli.io.files.access import Access, Links
from msroi_cli.io.files.location import Location
from msroi_cli.io.hdf5.read import InputGroup, dataset_in, member, names, open_group
from msroi_cli.io.hdf5.values import attribute, dtype_of, read_numbers, texts
from msroi_cli.io.numbers import Floats, as_float64, as_floats

EXPECTED = (
    "boxes: rois (K, 5), or boxes (K, 4) with image_index or image_ids (K,), or one group per image with boxes (k, 4)"
)


def read_hdf5_boxes(location: Location, access: Access | None = None) -> BoxTable:
    """Reads a box file, and what it links to as far as `access` allows; raises InputError."""
    links = Links()
    root = open_group(location, EXPECTED, (access or Access())._replace(links=links))
    try:
        table = _read(root, location)
        return table._replace(linked=links.sources(location.path.absolute().parent)) if links else table
    finally:
        root.close()


def _read(root: InputGroup, location: Location) -> BoxTable:
    known = names(root, location)
    if "rois" in known and "boxes" in known:
        raise InputError(f"{location}: expected rois (K, 5) or boxes (K, 4), got both")
    if "rois" in known or "boxes" in known:
        _refuse_groups(root, location, known)
    if "rois" in known:
        rois = _table(root, location, "rois", 5)
        image = whole_numbers(location.at("rois"), rois[:, 0], "image index")
        table = BoxTable("HDF5 rois", rois[:, 1:], image, columns=_columns(root, location, len(rois)))
        return _with_stated_images(root, location, known, table)
    return _flat(root, location, known) if "boxes" in known else _grouped(root, location, known)


def _refuse_groups(root: InputGroup, location: Location, known: list[str]) -> None:
    """Raises InputError for groups of images with boxes, beside boxes of all images."""
    for name in known:
        group = None if name in ("rois", "boxes") else member(root, name, location.at(name))
        if isinstance(group, InputGroup) and member(group, "boxes", location.at(name, "boxes")) is not None:
            raise InputError(
                f"{location}: expected boxes of all images or one group per image, got both; FILE::/group is one group"
            )


def _with_stated_images(root: InputGroup, location: Location, known: list[str], table: BoxTable) -> BoxTable:
    """The table of `rois` with what else the file says of the images of its boxes; raises InputError."""
    if "image_index" in known:
        index = _column(root, location, "image_index", len(table.boxes))
        refuse_other_index(location.at("image_index"), table.image, index)
    where = location.at("image_ids")
    if "image_ids" not in known:
        return table
    ids = texts(dataset_in(root, "image_ids", where, "a dataset of ids"), where)
    return table._replace(stated_ids=ids, stated_each=len(ids) == len(table.boxes))


def _flat(root: InputGroup, location: Location, known: list[str]) -> BoxTable:
    boxes = _table(root, location, "boxes", 4)
    columns = _columns(root, location, len(boxes))
    where = location.at("image_ids")
    ids = texts(dataset_in(root, "image_ids", where, "a dataset of ids"), where) if "image_ids" in known else None
    if "image_index" in known:
        where = location.at("image_index")
        index = whole_numbers(where, _column(root, location, "image_index", len(boxes)), "image index")
        # -1 is how a crops file says that it does not know the image.
        if ids is not None and len(index) and not (index.min() >= -1 and index.max() < len(ids)):
            raise InputError(f"{where}: expected indices from 0 to {len(ids) - 1} into image_ids, got others")
        if ids is not None:
            _refuse_two_readings(root, where, index, ids)
            if len(set(ids)) < len(ids) == len(index) and attribute(root, "format", where) is None:
                # Ids of the boxes, and not a list of images that the index could point into: it is the pyramid's.
                return BoxTable("HDF5 boxes", boxes, index, stated_ids=ids, stated_each=True, columns=columns)
        return BoxTable("HDF5 boxes", boxes, index, image_ids=ids, columns=columns)
    if ids is None or len(ids) != len(boxes):
        actual = "none" if ids is None else f"image_ids of length {len(ids)}"
        raise InputError(f"{location}: expected image_index or image_ids ({len(boxes)},) beside boxes, got {actual}")
    code = {key: number for number, key in enumerate(dict.fromkeys(ids))}
    image = np.array([code[key] for key in ids], dtype=np.int64)
    return BoxTable("HDF5 boxes", boxes, image, image_ids=list(code), columns=columns)


def _refuse_two_readings(root: InputGroup, where: str, index: NDArray[np.int64], ids: list[str]) -> None:
    """Raises InputError where image_ids may be those of the boxes, one each, or those that image_index points to.

    Only a crops file says which.
    """
    if attribute(root, "format", where) is not None or len(ids) != len(index):
        return
    differ = [row for row, image in enumerate(index.tolist()) if image >= 0 and ids[image] != ids[row]]
    if differ:
        row = differ[0]
        raise InputError(
            f"{where}: row {row}: expected image_index or image_ids, one a box, or both for the same image, "
            f"got index {index[row]}, image {ids[index[row]]!r}, beside id {ids[row]!r}"
        )


def _grouped(root: InputGroup, location: Location, known: list[str]) -> BoxTable:
    ids: list[str] = []
    parts: list[Floats] = []
    columns: list[BoxColumns] = []
    for name in known:
        group = member(root, name, location.at(name))
        if isinstance(group, InputGroup) and member(group, "boxes", location.at(name, "boxes")) is not None:
            inside = Location(location.path, f"{location.group.rstrip('/')}/{name}")
            ids.append(name)
            parts.append(_table(group, inside, "boxes", 4))
            columns.append(_columns(group, inside, len(parts[-1])))
    if not ids:
        raise InputError(f"{location}: expected {EXPECTED}, got {', '.join(known[:5]) or 'an empty group'}")
    image = np.repeat(np.arange(len(ids)), [len(part) for part in parts])
    for key in dict.fromkeys(key for some in columns for key in some):
        lacking = [name for name, some in zip(ids, columns, strict=True) if key not in some]
        if lacking:
            raise InputError(f"{location.at(lacking[0])}: expected {key} beside boxes, as in other groups, got none")
    boxes: NDArray[Any] = np.concatenate(parts)
    return BoxTable("HDF5 boxes by image", boxes, image, image_ids=ids, columns=BoxColumns.joined(columns))


def _table(group: InputGroup, location: Location, name: str, width: int) -> Floats:
    where = location.at(name)
    expected = f"(K, {width}) numbers"
    dataset = dataset_in(group, name, where, expected)
    dtype_of(dataset, where)
    if dataset.size == 0 and dataset.ndim in (1, 2):
        return np.empty((0, width))
    return as_floats(read_numbers(dataset, where, (None, width), expected))


def _column(group: InputGroup, location: Location, name: str, count: int) -> NDArray[Any]:
    where = location.at(name)
    expected = f"({count},) numbers, one a box"
    return read_numbers(dataset_in(group, name, where, expected), where, (count,), expected)


def _columns(group: InputGroup, location: Location, count: int) -> BoxColumns:
    """The columns that travel along with the boxes."""
    found: dict[str, NDArray[Any]] = {}
    for column in BOX_COLUMNS:
        present = [name for name in column.names if member(group, name, location.at(name)) is not None]
        name = column.name_in(location, present)
        if name:
            values = _column(group, location, name, count)
            whole = column.dtype.kind == "i"
            where = location.at(name)
            found[column.name] = whole_numbers(where, values, name) if whole else as_float64(values)
    return BoxColumns(found)
