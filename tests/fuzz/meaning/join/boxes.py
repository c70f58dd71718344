"""Reads boxes with h5py, NumPy, csv and json alone, told their format; raises ContradictionError."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.fuzz.meaning.job import Job, Pair
from tests.fuzz.meaning.join.pyramids import expect, natural
from tests.fuzz.meaning.write.boxes import NAMES, boxes_name


@dataclass
class RowRead:
    """key: the number or the name of the image. numbers: the four of the file."""

    key: int | str
    numbers: list[float]
    score: float | None = None
    category: int | None = None


@dataclass
class BoxesRead:
    """box_format: what the numbers are. normalized: fractions. names, sizes: of images by id, where stated.

    listed: the ids of a COCO data set in its order.
    """

    rows: list[RowRead]
    box_format: str = "xyxy"
    normalized: bool = False
    names: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, Pair] = field(default_factory=dict)
    listed: list[str] = field(default_factory=list)


def _whole(value: float) -> int:
    expect(value == int(value), "whole numbers as images")
    return int(value)


def _rows(values: Any) -> BoxesRead:
    for row in values:
        expect(len(row) == 5, "five numbers a row")
    return BoxesRead([RowRead(_whole(row[0]), [float(value) for value in row[1:]]) for row in values])


def _different(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    expect(len({key for key, _ in pairs}) == len(pairs), "one key twice")
    return dict(pairs)


def _parse(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_different)


def _lines(text: str) -> list[Any]:
    return [_parse(line) for line in text.splitlines()]


def _id_map(document: dict[str, Any]) -> BoxesRead:
    return BoxesRead([RowRead(key, row) for key, rows in document.items() for row in rows])


def _results(records: list[dict[str, Any]]) -> BoxesRead:
    for key in ("score", "category_id"):
        expect(len({key in record for record in records}) < 2, f"{key} of some boxes")
    rows = [
        RowRead(str(record["image_id"]), record["bbox"], record.get("score"), record.get("category_id"))
        for record in records
    ]
    return BoxesRead(rows, "xywh")


def _of_images(found: BoxesRead, document: dict[str, Any]) -> BoxesRead:
    images = document["images"]
    found.listed = [str(image["id"]) for image in images]
    expect(len(set(found.listed)) == len(images), "one id of two images")
    for image in images:
        if "file_name" in image:
            found.names[str(image["id"])] = image["file_name"]
        if "width" in image:
            found.sizes[str(image["id"])] = float(image["width"]), float(image["height"])
    expect({row.key for row in found.rows} <= set(found.listed), "boxes of images that are not listed")
    return found


def _coco(document: dict[str, Any]) -> BoxesRead:
    return _of_images(_results(document["annotations"]), document)


def _detections(entries: list[dict[str, Any]]) -> BoxesRead:
    for key in ("image_id", "scores", "labels"):
        expect(len({key in entry for entry in entries}) < 2, f"{key} in some entries")
    rows = []
    for place, entry in enumerate(entries):
        key = str(entry["image_id"]) if "image_id" in entry else place
        columns = [entry.get("scores"), entry.get("labels")]
        for column in columns:
            expect(column is None or len(column) == len(entry["boxes"]), "one value a box")
        for index, numbers in enumerate(entry["boxes"]):
            rows.append(RowRead(key, numbers, *(None if column is None else column[index] for column in columns)))
    return BoxesRead(rows)


def _table(columns: dict[str, Iterable[Any]]) -> BoxesRead:
    complete = [name for name, four in NAMES.items() if set(four) <= set(columns)]
    expect(len(complete) == 1, "columns of one box format")
    expect("image_index" not in columns or len({"image_id", "file_name"} & set(columns)) == 0, "one column of images")
    numbers = np.array([list(columns[name]) for name in NAMES[complete[0]]], np.float64).T
    name = next(key for key in ("image_index", "image_id", "file_name") if key in columns)
    keys = [_whole(float(key)) if name == "image_index" else str(key) for key in columns[name]]
    scores = columns.get("score", [None] * len(keys))
    categories = columns.get("category_id", [None] * len(keys))
    rows = [
        RowRead(key, four.tolist(), None if score is None else float(score), None if label is None else int(label))
        for key, four, score, label in zip(keys, numbers, scores, categories, strict=True)
    ]
    found = BoxesRead(rows, complete[0])
    if {"image_id", "file_name"} <= set(columns):
        pairs = set(zip(keys, columns["file_name"], strict=True))
        found.names = dict(pairs)
        expect(len(found.names) == len(pairs), "two file names of one image")
    return found


def _csv(delimiter: str) -> Callable[[str], BoxesRead]:
    def read(text: str) -> BoxesRead:
        header, *lines = csv.reader(text.splitlines(), delimiter=delimiter)
        expect(len(set(header)) == len(header) and {len(line) for line in lines} <= {len(header)}, "columns as headed")
        return _table(dict(zip(header, zip(*lines, strict=True), strict=True)))

    return read


def _arrays(found: dict[str, np.ndarray]) -> BoxesRead:
    """`rois`, or `boxes` and the image of each, with columns."""
    expect(not {"rois", "boxes"} <= set(found), "rois beside boxes")
    expect(not {"score", "scores"} <= set(found), "scores twice")
    images = [name for name in ("image_ids", "image_id", "image_index") if name in found]
    if "rois" in found:
        expect(not images, "images of rois in two places")
        keys, numbers = [_whole(value) for value in found["rois"][:, 0]], found["rois"][:, 1:]
    else:
        numbers = found["boxes"]
        keys = _keys(found, images, len(numbers))
    columns = []
    for name in ("score", "category_id"):
        column = found.get(name)
        expect(column is None or len(column) == len(numbers), "one value a box")
        columns.append([None] * len(numbers) if column is None else column.tolist())
    rows = zip(keys, numbers, *columns, strict=True)
    return BoxesRead([RowRead(key, four.tolist(), *values) for key, four, *values in rows])


def _keys(found: dict[str, np.ndarray], images: list[str], count: int) -> list[int | str]:
    """The images of boxes that stand beside them."""
    texts = {name: [k.decode() if isinstance(k, bytes) else k for k in found[name].tolist()] for name in images}
    if images == ["image_ids", "image_index"] and len(texts["image_ids"]) != count:
        return [texts["image_ids"][index] for index in texts["image_index"]]
    if len(images) == 2 and len(texts["image_ids"]) == count:
        ids = texts["image_ids"]
        agree = all(0 <= index < count and ids[index] == ids[row] for row, index in enumerate(texts[images[1]]))
        expect(images[1] == "image_index" and agree, "images of boxes in two places")
    expect(len(images) >= 1 and len(texts[images[0]]) == count, "one image a box")
    return [key if images[0] == "image_index" else str(key) for key in texts[images[0]]]


def _hdf5(path: Path) -> BoxesRead:
    with h5py.File(path) as file:
        groups = [name for name, item in file.items() if isinstance(item, h5py.Group)]
        expect(not groups, "groups of images beside boxes of all")
        return _arrays({name: item[()] for name, item in file.items()})


def _hdf5_groups(path: Path) -> BoxesRead:
    rows = []
    with h5py.File(path) as file:
        expect(not {"rois", "boxes"} & set(file), "boxes of all beside groups of images")
        columns = {frozenset(group) for group in file.values()}
        expect(len(columns) == 1, "columns of some groups")
        for key, group in file.items():
            keys = {"image_ids": np.array([key] * len(group["boxes"]), "S")}
            rows += _arrays({**{name: item[()] for name, item in group.items()}, **keys}).rows
    return BoxesRead(rows)


def _npz(path: Path) -> BoxesRead:
    with np.load(path) as archive:
        return _arrays(dict(archive))


def _parquet(path: Path) -> BoxesRead:
    from pyarrow import parquet

    table = parquet.read_table(path)
    return _table({name: table[name].to_pylist() for name in table.column_names})


def _yolo(path: Path) -> BoxesRead:
    rows, lengths = [], set()
    for file in sorted(path.glob("*.txt"), key=lambda file: natural(file.stem)):
        for line in file.read_text().splitlines():
            label, *numbers = line.split()
            values = [float(number) for number in numbers]
            lengths.add(len(values))
            rows.append(RowRead(file.stem, values[:4], values[4] if len(values) > 4 else None, int(label)))
    expect(len(lengths) == 1, "confidences of some boxes")
    return BoxesRead(rows, "cxcywh", normalized=True)


TEXTS: dict[str, Callable[[str], BoxesRead]] = {
    "rows": lambda text: _rows(_parse(text)),
    "lines": lambda text: _rows(_lines(text)),
    "id map": lambda text: _id_map(_parse(text)),
    "COCO": lambda text: _coco(_parse(text)),
    "COCO results": lambda text: _results(_parse(text)),
    "COCO result lines": lambda text: _results(_lines(text)),
    "COCO results and images": lambda text: _results(_parse(text)),
    "detections": lambda text: _detections(_parse(text)),
    "detection lines": lambda text: _detections(_lines(text)),
    "detections by position": lambda text: _detections(_parse(text)),
    "CSV": _csv(","),
    "TSV": _csv("\t"),
}
FILES: dict[str, Callable[[Path], BoxesRead]] = {
    "NPY": lambda path: _rows(np.load(path).tolist()),
    "NPZ rois": _npz,
    "NPZ boxes": _npz,
    "HDF5 rois": _hdf5,
    "HDF5 boxes": _hdf5,
    "HDF5 boxes, both": _hdf5,
    "HDF5 groups": _hdf5_groups,
    "YOLO": _yolo,
    "Parquet": _parquet,
}


def read_boxes(job: Job, folder: Path) -> BoxesRead:
    """The boxes of a job, in the order of the file."""
    path, known = folder / boxes_name(job.boxes), job.boxes.format
    if known in FILES:
        return FILES[known](path)
    content = path.read_bytes()
    found = TEXTS[known]((gzip.decompress(content) if job.boxes.gzipped else content).decode())
    if known == "COCO results and images":
        found = _of_images(found, _parse((folder / "images.json").read_text()))
    return found
