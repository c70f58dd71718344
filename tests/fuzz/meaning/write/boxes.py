"""Writes boxes in any format, as their document states them."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.fuzz.meaning.job import Boxes, Job, Row

NAMES = {"xyxy": ("x1", "y1", "x2", "y2"), "xywh": ("x", "y", "w", "h"), "cxcywh": ("cx", "cy", "w", "h")}


def _json_rows(boxes: Boxes) -> str:
    return json.dumps([[row.key, *row.numbers] for row in boxes.rows])


def _json_lines(boxes: Boxes) -> str:
    return "".join(json.dumps([row.key, *row.numbers]) + "\n" for row in boxes.rows)


def by_key(boxes: Boxes) -> dict[int | str, list[Row]]:
    """The rows by image, as formats have them that list images."""
    found: dict[int | str, list[Row]] = {}
    for row in boxes.rows:
        found.setdefault(row.key, []).append(row)
    return found


def _id_map(boxes: Boxes) -> str:
    return json.dumps({key: [row.numbers for row in rows] for key, rows in by_key(boxes).items()})


def json_id(key: int | str) -> int | str:
    """An id as COCO has it: a number where it is one."""
    return int(key) if isinstance(key, str) and key.isdecimal() and str(int(key)) == key else key


def records(boxes: Boxes) -> list[dict[str, Any]]:
    """The boxes as COCO results."""
    found = []
    for row in boxes.rows:
        record = {"image_id": json_id(row.key), "bbox": row.numbers}
        if boxes.columns:
            record |= {"score": row.score, "category_id": row.category}
        found.append(record)
    return found


def coco_images(boxes: Boxes) -> list[dict[str, Any]]:
    """The images of a COCO data set, in the order that the document lists."""
    images = []
    for key in boxes.listed:
        image: dict[str, Any] = {"id": json_id(key)}
        if key in boxes.names:
            image["file_name"] = boxes.names[key]
        if key in boxes.sizes:
            image["width"], image["height"] = boxes.sizes[key]
        images.append(image)
    return images


def _coco(boxes: Boxes) -> str:
    annotations = [{"id": number + 1, **record} for number, record in enumerate(records(boxes))]
    return json.dumps({"images": coco_images(boxes), "annotations": annotations})


def _results(boxes: Boxes) -> str:
    return json.dumps(records(boxes))


def _result_lines(boxes: Boxes) -> str:
    return "".join(json.dumps(record) + "\n" for record in records(boxes))


def entries(boxes: Boxes, named: bool) -> list[dict[str, Any]]:
    """The boxes as torchvision's detectors give them; those without ids by position."""
    grouped = by_key(boxes)
    keys = list(grouped) if named else list(range(max(int(key) for key in grouped) + 1))
    found = []
    for key in keys:
        rows = grouped.get(key, [])
        entry: dict[str, Any] = {"image_id": json_id(key)} if named else {}
        entry["boxes"] = [row.numbers for row in rows]
        if boxes.columns:
            entry |= {"scores": [row.score for row in rows], "labels": [row.category for row in rows]}
        found.append(entry)
    return found


def _detections(named: bool) -> Callable[[Boxes], str]:
    return lambda boxes: json.dumps(entries(boxes, named))


def _detection_lines(boxes: Boxes) -> str:
    return "".join(json.dumps(entry) + "\n" for entry in entries(boxes, True))


def table(boxes: Boxes) -> dict[str, list[Any]]:
    """The boxes as columns by name."""
    key = {"id": "image_id", "index": "image_index", "file_name": "file_name"}[boxes.key]
    columns: dict[str, list[Any]] = {key: [row.key for row in boxes.rows]}
    for place, name in enumerate(NAMES[boxes.box_format]):
        columns[name] = [row.numbers[place] for row in boxes.rows]
    if boxes.columns:
        columns |= {"score": [row.score for row in boxes.rows], "category_id": [row.category for row in boxes.rows]}
    return columns


def csv_text(columns: dict[str, list[Any]], delimiter: str) -> str:
    """Columns as CSV or TSV."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()


def arrays(boxes: Boxes) -> dict[str, np.ndarray]:
    """The boxes as arrays: numbers (K, 4) and the columns."""
    found = {"boxes": np.array([row.numbers for row in boxes.rows], np.float64).reshape(-1, 4)}
    if boxes.columns:
        found["score"] = np.array([row.score for row in boxes.rows])
        found["category_id"] = np.array([row.category for row in boxes.rows], np.int64)
    return found


def rois(boxes: Boxes) -> dict[str, np.ndarray]:
    """The same with the numbers behind the index of the image, (K, 5)."""
    found = arrays(boxes)
    index = np.array([row.key for row in boxes.rows], np.float64)
    return {"rois": np.column_stack([index, found.pop("boxes")]), **found}


def with_images(boxes: Boxes) -> dict[str, np.ndarray]:
    """The same with the image of each box beside them."""
    name = {"id": "image_ids", "index": "image_index"}[boxes.key]
    return {**arrays(boxes), name: np.array([row.key for row in boxes.rows])}


def with_both(boxes: Boxes) -> dict[str, np.ndarray]:
    """The same with `image_index` into the different `image_ids`."""
    ids = [*dict.fromkeys(row.key for row in boxes.rows), "unused"]
    # As many ids as boxes might be those of the boxes.
    ids += ["also unused"] * (len(ids) == len(boxes.rows))
    index = np.array([ids.index(row.key) for row in boxes.rows])
    return {**arrays(boxes), "image_index": index, "image_ids": np.array(ids)}


def _to_hdf5(make: Callable[[Boxes], dict[str, np.ndarray]]) -> Callable[[Boxes, Path], None]:
    def write(boxes: Boxes, path: Path) -> None:
        with h5py.File(path, "w") as file:
            for name, values in make(boxes).items():
                file[name] = [str(key) for key in values] if values.dtype.kind == "U" else values

    return write


def _to_npz(make: Callable[[Boxes], dict[str, np.ndarray]]) -> Callable[[Boxes, Path], None]:
    return lambda boxes, path: np.savez(path, **make(boxes))


def _npy(boxes: Boxes, path: Path) -> None:
    np.save(path, rois(boxes)["rois"])


def _hdf5_groups(boxes: Boxes, path: Path) -> None:
    with h5py.File(path, "w") as file:
        for key, rows in by_key(boxes).items():
            part = Boxes(boxes.format, rows, boxes.key, columns=boxes.columns)
            for name, values in arrays(part).items():
                file[f"{key}/{name}"] = values


def _parquet(boxes: Boxes, path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table(table(boxes)), path)


def _yolo(boxes: Boxes, path: Path) -> None:
    path.mkdir()
    for key, rows in by_key(boxes).items():
        lines = []
        for row in rows:
            words = [row.category, *row.numbers, *([row.score] if boxes.columns else [])]
            lines.append(" ".join(map(repr, words)) + "\n")
        (path / f"{key}.txt").write_text("".join(lines))


@dataclass(frozen=True)
class Format:
    """key: what boxes name their images by, several where a format allows it. numbers: their box formats.

    text: gives the content of a text file; write: writes any other. grouped: boxes lie image after image.
    """

    suffix: str
    keys: tuple[str, ...]
    numbers: tuple[str, ...] = ("xyxy",)
    text: Callable[[Boxes], str] | None = None
    write: Callable[[Boxes, Path], None] | None = None
    grouped: bool = False


TABLE = {"keys": ("id", "index", "file_name"), "numbers": ("xyxy", "xywh", "cxcywh")}
FORMATS = {
    "rows": Format(".json", ("index",), text=_json_rows),
    "lines": Format(".jsonl", ("index",), text=_json_lines),
    "id map": Format(".json", ("id",), text=_id_map, grouped=True),
    "COCO": Format(".json", ("id",), ("xywh",), text=_coco),
    "COCO results": Format(".json", ("id",), ("xywh",), text=_results),
    "COCO result lines": Format(".jsonl", ("id",), ("xywh",), text=_result_lines),
    "COCO results and images": Format(".json", ("id",), ("xywh",), text=_results),
    "detections": Format(".json", ("id",), text=_detections(True), grouped=True),
    "detection lines": Format(".jsonl", ("id",), text=_detection_lines, grouped=True),
    "detections by position": Format(".json", ("index",), text=_detections(False), grouped=True),
    "CSV": Format(".csv", text=lambda boxes: csv_text(table(boxes), ","), **TABLE),
    "TSV": Format(".tsv", text=lambda boxes: csv_text(table(boxes), "\t"), **TABLE),
    "NPY": Format(".npy", ("index",), write=_npy),
    "NPZ rois": Format(".npz", ("index",), write=_to_npz(rois)),
    "NPZ boxes": Format(".npz", ("id", "index"), write=_to_npz(with_images)),
    "HDF5 rois": Format(".h5", ("index",), write=_to_hdf5(rois)),
    "HDF5 boxes": Format(".h5", ("id", "index"), write=_to_hdf5(with_images)),
    "HDF5 boxes, both": Format(".h5", ("id",), write=_to_hdf5(with_both)),
    "HDF5 groups": Format(".h5", ("id",), write=_hdf5_groups, grouped=True),
    "YOLO": Format("", ("id",), ("cxcywh",), write=_yolo, grouped=True),
}
if importlib.util.find_spec("pyarrow"):
    FORMATS["Parquet"] = Format(".parquet", write=_parquet, **TABLE)


def boxes_name(boxes: Boxes) -> str:
    """The name of the file or folder, below that of the job."""
    return "boxes" + FORMATS[boxes.format].suffix + (".gz" if boxes.gzipped else "")


def write_boxes(job: Job, folder: Path) -> Path:
    """Writes the boxes of a job into a folder; their path."""
    path, known = folder / boxes_name(job.boxes), FORMATS[job.boxes.format]
    if known.text is not None:
        content = known.text(job.boxes).encode()
        path.write_bytes(gzip.compress(content) if job.boxes.gzipped else content)
    elif known.write is not None:
        known.write(job.boxes, path)
    if job.boxes.format == "COCO results and images":
        (folder / "images.json").write_text(json.dumps({"images": coco_images(job.boxes)}))
    return path
