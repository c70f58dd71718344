"""COCO boxes: data sets (`annotations`) and results, per the format page of the COCO data set (cocodataset.org)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError, UsageError
from msroi_cli.io.boxes.table import BoxTable, numbers, shortened, whole_numbers
from msroi_cli.io.columns import BOX_COLUMNS, BoxColumn, BoxColumns
from msroi_cli.io.files.location import parse_json

BBOX = "[x, y, width, height]"
LARGEST_SIDE = 1e9


def parse_data_set(name: str, data: dict[str, Any]) -> BoxTable:
    """The annotations of a COCO data set, in the order of the file; ids of annotations travel along."""
    records = _records(f"{name}: annotations", data["annotations"])
    return _table(f"{name}: annotations", "COCO data set", records, **images_of(name, data))


def with_images(table: BoxTable, name: str, content: bytes) -> BoxTable:
    """COCO results with the names, sizes and categories of the data set `content`.

    Raises InputError for what is no data set, or lacks an image of the boxes; UsageError for boxes of another format.
    """
    if table.kind != "COCO results":
        raise UsageError(f"--coco-images: expected with COCO results, got {table.kind}")
    data = parse_json(name, content)
    if not isinstance(data, dict) or "images" not in data:
        raise InputError(f"{name}: expected a COCO data set with images, got {shortened(data)}")
    known = {str(image.get("id")) for image in _records(f"{name}: images", data["images"])}
    unknown = next((image for image in table.image_ids or () if image not in known), None)
    if unknown is not None:
        raise InputError(f"{name}: images: expected the images of the boxes, got none with the id {unknown!r}")
    return table._replace(**images_of(name, data))


def images_of(name: str, data: dict[str, Any]) -> dict[str, Any]:
    """What a data set says of its images and categories: fields of BoxTable."""
    images = _records(f"{name}: images", data.get("images", []))
    ids = _image_ids(f"{name}: images", images, "id")
    seen: set[str] = set()
    for row, key in enumerate(ids if len(set(ids)) < len(ids) else ()):
        if key in seen:
            raise InputError(f"{name}: images: row {row}: expected an id of its own, got {key[:60]!r} again")
        seen.add(key)
    sizes = [_size(f"{name}: images: row {row}", image) for row, image in enumerate(images)]
    pairs = list(zip(ids, images, strict=True))
    return {
        "listed_ids": ids,
        "file_names": {key: str(image["file_name"]) for key, image in pairs if "file_name" in image},
        "image_sizes": {key: size for key, size in zip(ids, sizes, strict=True) if size is not None},
        "category_names": _category_names(data.get("categories")),
    }


def _category_names(categories: Any) -> dict[int, str]:
    """The names of categories by id, of those that have both."""
    if not isinstance(categories, list):
        return {}
    return {
        entry["id"]: str(entry["name"])
        for entry in categories
        if isinstance(entry, dict) and isinstance(entry.get("id"), int) and "name" in entry
    }


def _size(where: str, image: dict[str, Any]) -> tuple[float, float] | None:
    """The (width, height) of an image; None if it has none."""
    sides: list[Any] = [image.get("width"), image.get("height")]
    if None in sides:
        return None
    if not all(type(side) in (int, float) and 0 < side < LARGEST_SIDE for side in sides):
        raise InputError(f"{where}: expected width and height above 0, got {shortened(sides)}")
    return float(sides[0]), float(sides[1])


def parse_results(name: str, data: list[Any]) -> BoxTable:
    """COCO results, a list of {"image_id", "bbox", "score", "category_id"}, in the order of the file."""
    return _table(name, "COCO results", _records(name, data))


def _table(where: str, kind: str, records: list[dict[str, Any]], **extra: Any) -> BoxTable:
    keys = _image_ids(where, records, "image_id")
    code = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    try:
        boxes = [record["bbox"] for record in records]
    except KeyError:
        index = next(index for index, record in enumerate(records) if "bbox" not in record)
        raise InputError(
            f"{where}: row {index}: expected bbox {BBOX}, got only {', '.join(map(str, records[index]))}"
        ) from None
    columns = {column.name: _column(where, records, column) for column in BOX_COLUMNS}
    return BoxTable(
        kind,
        numbers(where, boxes, 4, f"bbox {BBOX}"),
        np.array([code[key] for key in keys], dtype=np.int64),
        box_format="xywh",
        image_ids=list(code),
        columns=BoxColumns({name: values for name, values in columns.items() if values is not None}),
        **extra,
    )


def _records(where: str, records: Any) -> list[dict[str, Any]]:
    if not isinstance(records, list):
        raise InputError(f"{where}: expected a list of objects, got {shortened(records)}")
    for index, record in enumerate(records):
        if not isinstance(record, dict):
            raise InputError(f"{where}: row {index}: expected an object, got {shortened(record)}")
    return records


def _image_ids(where: str, records: list[dict[str, Any]], key: str) -> list[str]:
    """The image ids under `key`, whole numbers or strings, as strings."""
    values = [record.get(key) for record in records]
    if not {type(value) for value in values} <= {int, str}:
        index = next(index for index, value in enumerate(values) if type(value) not in (int, str))
        raise InputError(
            f"{where}: row {index}: expected {key}, a whole number or a string, got {shortened(values[index])}"
        )
    return [str(value) for value in values]


def _column(where: str, records: list[dict[str, Any]], column: BoxColumn) -> NDArray[Any] | None:
    """The values of a column (K,); None if no record has it, an error if only some do."""
    key = column.coco_key
    values = [record.get(key) for record in records]
    if not records or all(value is None for value in values):
        return None
    # true is no number.
    if not {type(value) for value in values} <= {int, float}:
        index = next(index for index, value in enumerate(values) if type(value) not in (int, float))
        raise InputError(
            f"{where}: row {index}: expected {key} to be a number, as in the other rows, got {shortened(values[index])}"
        )
    whole = column.dtype.kind == "i"
    try:
        exact = whole and all(isinstance(value, int) for value in values)
        found = np.array(values, dtype=np.int64 if exact else np.float64)
    except OverflowError:
        index = next(index for index, value in enumerate(values) if abs(value or 0) >= 2**63)
        raise InputError(
            f"{where}: row {index}: expected {key} within 64 bits, got {shortened(values[index])}"
        ) from None
    return whole_numbers(where, found, key) if whole else found
