"""What is in a file: pyramid, boxes, crops or a model, as plain JSON values."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.boxes import BOX_FORMATS
from msroi_cli.errors import InputError
from msroi_cli.io.boxes.content import is_stream
from msroi_cli.io.boxes.json_file import box_document, boxes_of, collector_paused
from msroi_cli.io.boxes.open import read_boxes
from msroi_cli.io.boxes.table import BoxTable
from msroi_cli.io.crops.reader import Crops
from msroi_cli.io.files.location import Location
from msroi_cli.io.files.refusal import refusing
from msroi_cli.io.hdf5.describe import crops_storage, has_attribute, listing
from msroi_cli.job.crops import open_crops
from msroi_cli.job.inspect.model import model_facts
from msroi_cli.job.inspect.pyramid import pyramid_facts
from msroi_cli.job.join.boxes import invalid_reasons, reason_counts
from msroi_cli.job.recipe import level_name

PERCENTILES = (0, 5, 25, 50, 75, 95, 100)


def inspect(text: str) -> dict[str, Any]:
    """What is in `FILE`, `FILE::/group` or `-`, standard input: its `kind`, and what there is to say of that kind.

    Raises InputError, for a file of no known kind with what was looked for and what was found.
    """
    with refusing(text):
        return _inspect(text)


def _inspect(text: str) -> dict[str, Any]:
    if text == "-":
        return _document(text, sys.stdin.buffer.read())
    location = Location.parse(text)
    if location.path.is_dir():
        return _folder(text, location)
    if location.path.suffix == ".onnx":
        return model_facts(text)
    if is_stream(location):
        return _boxes(text, read_boxes(text)[0])
    kind = location.kind()
    if kind == "NPZ":
        return _either(text, f"{text}: expected a pyramid or boxes in NPZ")
    if location.is_hdf5():
        return _hdf5(text, location)
    if kind == "JSON":
        return _document(text, location.content())
    return _boxes(text, read_boxes(text)[0])


def _folder(text: str, location: Location) -> dict[str, Any]:
    """A folder of crops in parts, of YOLO labels, or of pyramids."""
    if any(location.path.glob("part-*-of-*.h5")):
        return _crops(text, location)
    if any(location.path.glob("*.txt")):
        return _boxes(text, read_boxes(text)[0])
    return pyramid_facts(text)


def _document(text: str, content: bytes) -> dict[str, Any]:
    with collector_paused():
        data = box_document(text, content)
        if isinstance(data, dict) and "levels" in data:
            return pyramid_facts(text)
        return _boxes(text, boxes_of(text, data))


def _hdf5(text: str, location: Location) -> dict[str, Any]:
    # Of a pyramid that `msroi features` or a PyramidWriter made, the attribute says so.
    if has_attribute(location, "format", other_than="msroi-pyramid"):
        return _crops(text, location)
    return _either(
        text, f"{text}: expected a pyramid, boxes or crops, got {listing(location)}; as crops: no attribute format"
    )


def _either(text: str, expected: str) -> dict[str, Any]:
    """What is in a pyramid, or in a box file; raises InputError that says why it is neither."""
    errors = []
    for look in (pyramid_facts, lambda name: _boxes(name, read_boxes(name)[0])):
        try:
            return look(text)
        except InputError as error:
            errors.append(str(error))
    raise InputError(f"{expected}; as a pyramid: {errors[0]}; as boxes: {errors[1]}")


def _boxes(text: str, table: BoxTable) -> dict[str, Any]:
    with np.errstate(over="ignore", invalid="ignore"):
        corners = BOX_FORMATS[table.box_format](table.boxes)
        sides = corners[:, 2:] - corners[:, :2]
        reasons = invalid_reasons(corners.astype(np.float32), np.zeros(len(corners), np.int64))
    good = reasons == 0
    used, per_image = np.unique(table.image, return_counts=True)
    return {
        "file": text,
        "kind": "boxes",
        "format": table.kind,
        "box_format": table.box_format,
        "boxes": len(table.boxes),
        "images": len(used),
        "images_named_by": "index" if table.image_ids is None else "id",
        "image_ids": None if table.image_ids is None else table.image_ids[:5],
        "boxes_per_image": _percentiles(per_image, (0, 50, 100)),
        "x": _extent(corners[good][:, 0::2]),
        "y": _extent(corners[good][:, 1::2]),
        "width": _percentiles(sides[good, 0]),
        "height": _percentiles(sides[good, 1]),
        "size": _percentiles(np.sqrt(sides[good, 0] * sides[good, 1])),
        "not_poolable": reason_counts(reasons),
        "columns": list(table.columns),
        "image_sizes": len(table.image_sizes),
        "categories": _categories(table),
    }


def _percentiles(values: NDArray[Any], which: tuple[int, ...] = PERCENTILES) -> dict[str, float] | None:
    """Percentiles by name, p0 being the smallest and p100 the largest; None of no values."""
    if not len(values):
        return None
    return {f"p{q}": float(value) for q, value in zip(which, np.percentile(values, which), strict=True)}


def _extent(values: NDArray[np.float64]) -> list[float] | None:
    return [float(values.min()), float(values.max())] if values.size else None


def _categories(table: BoxTable) -> list[dict[str, Any]] | None:
    """Every category that boxes have, the most frequent first."""
    if "category_id" not in table.columns:
        return None
    ids, counts = np.unique(table.columns["category_id"], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [
        {"id": int(ids[index]), "name": table.category_names.get(int(ids[index])), "boxes": int(counts[index])}
        for index in order.tolist()
    ]


def _crops(text: str, location: Location) -> dict[str, Any]:
    if location.group != "/":
        raise InputError(f"{text}: expected a crops file as a whole, got a group inside")
    with open_crops(location.path) as crops:
        parts = [path for path in crops.paths if path != location.path]
        return {
            "file": text,
            "kind": "crops",
            **({"parts": len(parts)} if parts else {}),
            **_storage(crops, [Location(path) for path in parts] or [location]),
            "images": len(crops.image_ids),
            "images_with_crops": len(np.unique(crops.image_index[crops.image_index >= 0])),
            "invalid_boxes": int(np.count_nonzero(crops.status)),
            "columns": list(crops.box_columns),
            "parameters": crops.parameters,
            "sources": crops.sources,
            "warnings": crops.warnings,
            "levels": [_stats_row(record, crops.parameters) for record in crops.stats],
        }


def _storage(crops: Crops, files: list[Location]) -> dict[str, Any]:
    """How the crops are stored; of parts, as the first one is, and the bytes of all."""
    stored = crops_storage(files[0])
    more = sum(crops_storage(file)["bytes"] for file in files[1:])
    return {**stored, "shape": list(crops.shape), "bytes": stored["bytes"] + more}


def _stats_row(record: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in zip(record.dtype.names, record.tolist(), strict=True)
    }
    return {"name": level_name(parameters, row.get("level", -1)), **row}
