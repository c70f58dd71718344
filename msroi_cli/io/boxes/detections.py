"""Boxes as torchvision's detectors give them: an object an image, with `boxes`, `scores` and `labels`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.boxes.table import BoxTable, numbers, shortened, whole_numbers
from msroi_cli.io.columns import BoxColumns

LIKE = "[x1, y1, x2, y2]"


def is_detections(data: Any) -> bool:
    """Whether JSON values are such a list."""
    return isinstance(data, list) and bool(data) and isinstance(data[0], dict) and "boxes" in data[0]


def parse_detections(name: str, data: list[Any]) -> BoxTable:
    """`[{"image_id", "boxes", "scores", "labels"}, ...]`; without `image_id` anywhere, the first is image 0.

    Raises InputError that names the entry where something is missing that others have.
    """
    for index, entry in enumerate(data):
        if not isinstance(entry, dict) or "boxes" not in entry:
            raise InputError(f"{name}: entry {index}: expected an object with boxes, got {shortened(entry)}")
    parts = [numbers(f"{name}: entry {index}", entry["boxes"], 4, LIKE) for index, entry in enumerate(data)]
    counts = [len(part) for part in parts]
    image, ids = _images(name, data, counts)
    columns: dict[str, NDArray[Any]] = {}
    score, category = (_column(name, data, key, counts) for key in ("scores", "labels"))
    if score is not None:
        columns["score"] = score
    if category is not None:
        columns["category_id"] = whole_numbers(name, category, "labels")
    return BoxTable(
        "detections by image",
        np.concatenate([np.empty((0, 4)), *parts]),
        image,
        image_ids=ids,
        columns=BoxColumns(columns),
    )


def _images(name: str, data: list[Any], counts: list[int]) -> tuple[NDArray[np.int64], list[str] | None]:
    """The image of each box, and the image ids; entries of one image go together."""
    keys = [entry.get("image_id") for entry in data]
    if all(key is None for key in keys):
        return np.repeat(np.arange(len(data)), counts), None
    for index, key in enumerate(keys):
        if type(key) not in (int, str):
            raise InputError(
                f"{name}: entry {index}: expected image_id, a whole number or a string, got {shortened(key)}"
            )
    code = {key: number for number, key in enumerate(dict.fromkeys(map(str, keys)))}
    return np.repeat(np.array([code[str(key)] for key in keys], np.int64), counts), list(code)


def _column(name: str, data: list[Any], key: str, counts: list[int]) -> NDArray[np.float64] | None:
    """The numbers beside the boxes; None if no entry has them."""
    if not any(key in entry for entry in data):
        return None
    parts = []
    for index, (entry, count) in enumerate(zip(data, counts, strict=True)):
        values = entry.get(key)
        fits = isinstance(values, list) and len(values) == count
        if not fits or not all(type(value) in (int, float) for value in values):
            raise InputError(f"{name}: entry {index}: expected {count} numbers as {key}, got {shortened(values)}")
        parts.append(np.array(values, np.float64))
    return np.concatenate(parts)
