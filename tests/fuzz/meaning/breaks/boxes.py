"""Breaks of a box file alone: two sets of boxes, counts that disagree, columns and keys that are there twice."""

from __future__ import annotations

import random
from typing import Any

import h5py
import numpy as np

from tests.fuzz.meaning.breaks.edits import in_box_arrays, in_box_json, in_box_table, in_box_text
from tests.fuzz.meaning.breaks.registry import breaks
from tests.fuzz.meaning.job import Job
from tests.fuzz.meaning.write.boxes import FORMATS, NAMES, boxes_name

TABLES = ("CSV", "TSV", "Parquet")
ROIS = ("HDF5 rois", "NPZ rois")
BOXES = ("HDF5 boxes", "NPZ boxes")
RECORDS = ("COCO", "COCO results", "COCO result lines", "COCO results and images")
DETECTIONS = ("detections", "detection lines")


def _turned(values: np.ndarray) -> np.ndarray:
    """The rows with the first one last."""
    return np.roll(values, -1, axis=0)


def _other_boxes(job: Job) -> Job:
    """The job with the boxes of other rows."""
    other = job.copy()
    numbers = [row.numbers for row in other.boxes.rows]
    for row, four in zip(other.boxes.rows, numbers[1:] + numbers[:1], strict=True):
        row.numbers = four
    return other


@breaks("rois beside boxes")
def rois_beside_boxes(job: Job, rng: random.Random) -> list[Job] | None:
    kind = job.boxes.format
    if kind in ROIS:

        def change(arrays: dict[str, np.ndarray]) -> None:
            arrays["boxes"] = _turned(arrays["rois"][:, 1:])
            arrays["image_index"] = arrays["rois"][:, 0].astype(int)

    elif kind in BOXES and job.boxes.key == "index":

        def change(arrays: dict[str, np.ndarray]) -> None:
            arrays["rois"] = np.column_stack([arrays["image_index"], _turned(arrays["boxes"])])

    else:
        return None
    in_box_arrays(job, change)
    return [_other_boxes(job)]


@breaks("groups of images beside boxes of all")
def groups_beside_boxes(job: Job, rng: random.Random) -> list[Job] | None:
    boxes, name = job.boxes, boxes_name(job.boxes)
    if not boxes.format.startswith("HDF5"):
        return None
    numbers = np.array([row.numbers for row in boxes.rows])

    def edit(folder):
        with h5py.File(folder / name, "r+") as file:
            if boxes.format == "HDF5 groups":
                index = np.zeros(len(numbers))
                file["rois"] = np.column_stack([index, _turned(numbers)])
            else:
                file[f"{job.pyramid.images[0].id}/boxes"] = _turned(numbers)

    job.edits.append(edit)
    return [_other_boxes(job)]


@breaks("counts of columns")
def counts(job: Job, rng: random.Random) -> list[Job] | None:
    kind = job.boxes.format
    if kind in ROIS + BOXES and job.boxes.columns:
        name = rng.choice(("score", "category_id"))
        in_box_arrays(job, lambda arrays: arrays.update({name: arrays[name][:-1]}))
    elif kind in BOXES:
        key = "image_ids" if job.boxes.key == "id" else "image_index"
        in_box_arrays(job, lambda arrays: arrays.update({key: arrays[key][:-1]}))
    elif kind in DETECTIONS and job.boxes.columns:
        name = rng.choice(("scores", "labels"))
        in_box_json(job, lambda entries: entries[-1][name].pop())
    elif kind in ("rows", "lines"):
        in_box_json(job, lambda rows: rows[-1].pop())
    elif kind == "id map":
        in_box_json(job, lambda groups: list(groups.values())[-1][-1].append(1.0))
    elif kind in ("CSV", "TSV"):
        in_box_text(job, lambda text: text.rstrip("\n").rpartition("," if kind == "CSV" else "\t")[0] + "\n")
    elif kind in RECORDS:
        in_box_json(job, lambda found: _annotations(found)[-1]["bbox"].pop())
    else:
        return None
    return []


def _annotations(document: Any) -> list[dict[str, Any]]:
    return document["annotations"] if isinstance(document, dict) else document


@breaks("a column of some boxes")
def some_have_it(job: Job, rng: random.Random) -> list[Job] | None:
    boxes, kind = job.boxes, job.boxes.format
    if kind in RECORDS and boxes.columns and len(boxes.rows) > 1:
        name = rng.choice(("score", "category_id"))
        in_box_json(job, lambda found: _annotations(found)[-1].pop(name))
    elif kind in DETECTIONS and len({row.key for row in boxes.rows}) > 1:
        name = rng.choice(("image_id", "scores", "labels")) if boxes.columns else "image_id"
        in_box_json(job, lambda entries: entries[-1].pop(name))
    elif kind == "HDF5 groups" and boxes.columns and len({row.key for row in boxes.rows}) > 1:
        key, path = boxes.rows[-1].key, boxes_name(boxes)

        def edit(folder):
            with h5py.File(folder / path, "r+") as file:
                del file[f"{key}/score"]

        job.edits.append(edit)
    elif kind == "YOLO" and boxes.columns and len(boxes.rows) > 1:
        key = boxes.rows[-1].key

        def cut(folder):
            path = folder / "boxes" / f"{key}.txt"
            path.write_text(path.read_text().rstrip().rpartition(" ")[0] + "\n")

        job.edits.append(cut)
    else:
        return None
    return []


@breaks("a column twice")
def column_twice(job: Job, rng: random.Random) -> list[Job] | None:
    boxes = job.boxes
    if boxes.format in ROIS + BOXES and boxes.columns:
        in_box_arrays(job, lambda arrays: arrays.update(scores=1 - arrays["score"]))
        return [job.copy()] if "--min-score" not in job.options and "--top" not in job.options else []
    if boxes.format in ("CSV", "TSV"):
        delimiter = "," if boxes.format == "CSV" else "\t"
        name = NAMES[boxes.box_format][0]

        def change(text: str) -> str:
            lines = text.splitlines()
            return "\n".join([f"{lines[0]}{delimiter}{name}", *(f"{line}{delimiter}5" for line in lines[1:])]) + "\n"

        in_box_text(job, change)
        return []
    return None


@breaks("columns of two box formats")
def two_box_formats(job: Job, rng: random.Random) -> list[Job] | None:
    boxes = job.boxes
    if boxes.format not in TABLES or "--box-format" in job.options:
        return None
    other = _other_boxes(job)
    names = NAMES["xywh" if boxes.box_format == "xyxy" else "xyxy"]
    if boxes.box_format == "xyxy":
        columns = [[row.numbers[0], row.numbers[1]] for row in other.boxes.rows]
        four = [[x, y, 7.0, 8.0] for x, y in columns]
    else:
        four = [[row.numbers[0], row.numbers[1], row.numbers[0] + 6, row.numbers[1] + 5] for row in other.boxes.rows]
    in_box_table(job, {name: [one[place] for one in four] for place, name in enumerate(names)})
    for row, numbers in zip(other.boxes.rows, four, strict=True):
        row.numbers = numbers
    other.boxes.box_format = "xywh" if boxes.box_format == "xyxy" else "xyxy"
    return [other]


@breaks("a key twice in a document of boxes")
def key_twice(job: Job, rng: random.Random) -> list[Job] | None:
    boxes = job.boxes
    if boxes.format == "id map":
        key, other = boxes.rows[0].key, job.copy()
        end = f', "{key}": [[1.0, 2.0, 30.0, 40.0]]}}'
        in_box_text(job, lambda text: text.rstrip()[:-1] + end)
        other.boxes.rows = [row for row in other.boxes.rows if row.key != key]
        return []
    if boxes.format in RECORDS:
        in_box_text(job, lambda text: text.replace('"bbox": ', '"bbox": [1.0, 2.0, 30.0, 40.0], "bbox": '))
    elif boxes.format in DETECTIONS:
        in_box_text(job, lambda text: text.replace('"boxes": ', '"boxes": [], "boxes": '))
    else:
        return None
    return []


@breaks("one id of two images of a data set")
def data_set_id_twice(job: Job, rng: random.Random) -> list[Job] | None:
    boxes = job.boxes
    if boxes.format not in ("COCO", "COCO results and images"):
        return None
    boxes.listed.append(rng.choice(boxes.listed))
    return []


@breaks("an image that the data set lacks")
def not_listed(job: Job, rng: random.Random) -> list[Job] | None:
    # Of a data set's own annotations that is none: their image_id names one image of the pyramid, listed or not.
    if job.boxes.format != "COCO results and images":
        return None
    job.boxes.listed.remove(str(rng.choice(job.boxes.rows).key))
    return []


@breaks("boxes that are none")
def no_boxes(job: Job, rng: random.Random) -> list[Job] | None:
    row, kind = rng.choice(job.boxes.rows), rng.choice(("nan", "inverted", "infinite", "far"))
    if FORMATS[job.boxes.format].text is not None and kind in ("nan", "infinite"):
        kind = "inverted"
    if kind == "inverted":
        a, b, c, d = row.numbers
        row.numbers = [c, d, a, b] if job.boxes.box_format == "xyxy" else [a, b, -c, d]
    else:
        row.numbers[rng.randrange(4)] = {"nan": np.nan, "infinite": np.inf, "far": 1e18}[kind]
    return []
