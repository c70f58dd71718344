"""Breaks of how boxes and pyramid go together: which image a box is of, and in what its numbers are."""

from __future__ import annotations

import random

import numpy as np

from tests.fuzz.meaning.breaks.boxes import BOXES, ROIS, TABLES
from tests.fuzz.meaning.breaks.edits import in_box_arrays, in_box_json, in_box_table
from tests.fuzz.meaning.breaks.registry import FILTERS, breaks
from tests.fuzz.meaning.job import BESIDE, Job
from tests.fuzz.meaning.jobs import in_order, key_of
from tests.fuzz.meaning.join.crops import corners
from tests.fuzz.meaning.write.boxes import FORMATS

DATA_SETS = ("COCO", "COCO results and images")


def _numbered(job: Job) -> list[int]:
    """The places of the images by number."""
    return in_order(job.pyramid)


def _with_key(job: Job, key: str) -> Job:
    other = job.copy()
    other.options["--image-key"] = key
    return other


def _moved(job: Job) -> Job:
    """The job whose boxes are of the next image each."""
    other, order = job.copy(), _numbered(job)
    for row in other.boxes.rows:
        row.image = order[(order.index(row.image) + 1) % len(order)]
        row.key = key_of(other, row.image)
    return other


@breaks("ids that are also positions of other images")
def ids_are_positions(job: Job, rng: random.Random) -> list[Job] | None:
    pyramid = job.pyramid
    if job.boxes.key != "index" or "--image-key" in job.options or pyramid.layout == "one" or not pyramid.ids:
        return None
    if "--images" in job.options:
        return None
    order, count = _numbered(job), len(pyramid.images)
    for number, place in enumerate(order):
        free = pyramid.layout in (*BESIDE, "batched files")
        pyramid.images[place].id = str((number + 1) % count) if free else str(number + 1)
    return [_with_key(job, "index"), _with_key(job, "id")]


@breaks("ids of a data set of which the pyramid has none")
def ids_of_unnamed(job: Job, rng: random.Random) -> list[Job] | None:
    boxes, pyramid = job.boxes, job.pyramid
    if pyramid.ids or boxes.format not in DATA_SETS or "--image-key" in job.options or "--images" in job.options:
        return None
    last = str(len(pyramid.images) - 1)
    rows = [row for row in boxes.rows if row.key != last]
    if not rows:
        return None
    for row in rows:
        row.key = str(int(row.key) + 1)
    boxes.rows = rows
    boxes.listed = [str(number + 1) for number in range(len(pyramid.images))]
    boxes.sizes, boxes.names = {}, {}
    return [_with_key(job, "id")]


@breaks("images of boxes in two places")
def images_in_two_places(job: Job, rng: random.Random) -> list[Job] | None:
    boxes, kind, order = job.boxes, job.boxes.format, _numbered(job)
    if len(order) < 2 or "--image-key" in job.options or "--images" in job.options:
        return None
    other = _moved(job)
    ids = [job.pyramid.images[row.image].id for row in other.boxes.rows]
    index = [order.index(row.image) for row in other.boxes.rows]
    if kind in ROIS + BOXES:
        named = boxes.key == "id"
        # Only NPZ has the name image_id.
        name = "image_index" if named else rng.choice(("image_ids", "image_id") if "NPZ" in kind else ("image_ids",))
        values = np.array(index) if named else np.array(ids)
        in_box_arrays(job, lambda arrays: arrays.update({name: values}))
    elif kind in TABLES and boxes.key != "file_name":
        in_box_table(job, {"image_index": index} if boxes.key == "id" else {"image_id": ids})
    else:
        return None
    return [other]


@breaks("ids of images beside rois")
def ids_beside_rois(job: Job, rng: random.Random) -> list[Job] | None:
    """`rois` may be indices into `image_ids` that stand beside them, in another order than the pyramid's."""
    order, other = _numbered(job), job.copy()
    if job.boxes.format not in ROIS or len(order) < 2 or "--image-key" in job.options:
        return None
    if len(order) == len(job.boxes.rows):
        return None
    turned = order[1:] + order[:1]
    ids = np.array([job.pyramid.images[place].id for place in turned])
    in_box_arrays(job, lambda arrays: arrays.update(image_ids=ids))
    for row in other.boxes.rows:
        row.image = turned[int(row.key)]
        row.key = order.index(row.image)
    return [other]


@breaks("an id and a file name of two images")
def id_and_file_name(job: Job, rng: random.Random) -> list[Job] | None:
    boxes, ids = job.boxes, [image.id for image in job.pyramid.images]
    if "--image-key" in job.options or len(ids) < 2 or "--images" in job.options:
        return None
    turned = dict(zip(ids, ids[1:] + ids[:1], strict=True))
    if boxes.format in DATA_SETS:
        boxes.names = {key: f"{turned[key]}.png" for key in boxes.listed}
    elif boxes.format in TABLES and boxes.key == "id":
        in_box_table(job, {"file_name": [f"{turned[row.key]}.png" for row in boxes.rows]})
    else:
        return None
    other = _moved(job)
    for row, old in zip(other.boxes.rows, boxes.rows, strict=True):
        row.image = ids.index(turned[str(old.key)])
        row.key = turned[str(old.key)]
    return [other]


@breaks("two file names of one image")
def two_file_names(job: Job, rng: random.Random) -> list[Job] | None:
    boxes = job.boxes
    rows = [row for row in boxes.rows if [one.image for one in boxes.rows].count(row.image) > 1]
    if boxes.format not in TABLES or not rows:
        return None
    if boxes.key == "file_name":
        rows[0].key = f"other/{job.pyramid.images[rows[0].image].id}.png"
    elif boxes.key == "id":
        names = [f"{row.key}.jpg" if row is not rows[0] else "unheard.jpg" for row in boxes.rows]
        in_box_table(job, {"file_name": names})
    else:
        return None
    return []


@breaks("boxes of unknown images")
def unknown_images(job: Job, rng: random.Random) -> list[Job] | None:
    boxes, row = job.boxes, rng.choice(job.boxes.rows)
    if FORMATS[boxes.format].grouped and boxes.key == "index":
        return None
    if FILTERS & job.options.keys():
        return None
    unknown = rng.choice((len(job.pyramid.images), 99)) if boxes.key == "index" else rng.choice(("nobody", "1234"))
    row.key = unknown
    if boxes.listed:
        boxes.listed.append(str(unknown))
    return []


@breaks("half an index")
def half_an_index(job: Job, rng: random.Random) -> list[Job] | None:
    if job.boxes.key != "index" or FORMATS[job.boxes.format].grouped or job.boxes.format == "Parquet":
        return None
    rng.choice(job.boxes.rows).key += 0.5
    return []


@breaks("sizes of images that the box file and the pyramid state")
def sizes_differ(job: Job, rng: random.Random) -> list[Job] | None:
    boxes, used = job.boxes, job.used()
    if boxes.format not in DATA_SETS or job.pyramid.images[0].size is None:
        return None
    image = job.pyramid.images[rng.choice(used)]
    width, height = image.size
    boxes.sizes[image.id] = rng.choice(((height + 1, width + 2), (width * 2, height * 2), (width - 9, height)))
    return []


@breaks("sizes of a data set that the levels contradict")
def data_set_of_other_pictures(job: Job, rng: random.Random) -> list[Job] | None:
    boxes, images, times = job.boxes, job.pyramid.images, rng.choice((0.25, 2.0))
    if boxes.format not in DATA_SETS or images[0].factor is not None or images[0].size is not None:
        return None
    if "--normalized" in job.options:
        return None
    for image in images:
        boxes.sizes[image.id] = tuple(side * times for side in image.input_size())
    other = job.copy()
    for image in other.pyramid.images:
        image.factor = (1 / times, 1 / times)
    other.options["--box-space"] = "original"
    return [other]


@breaks("numbers of another box format", implausible=True)
def other_box_format(job: Job, rng: random.Random) -> list[Job] | None:
    # A box near the origin is as good in one format as in another: that alone is no contradiction.
    now = job.options.get("--box-format", job.boxes.box_format)
    other = rng.choice([name for name in ("xyxy", "xywh", "cxcywh") if name != now])
    if job.boxes.format == "YOLO":
        return None
    for row in job.boxes.rows:
        x1, y1, x2, y2 = corners(row.numbers, now).tolist()
        row.numbers = {
            "xyxy": [x1, y1, x2, y2],
            "xywh": [x1, y1, x2 - x1, y2 - y1],
            "cxcywh": [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1],
        }[other]
    return []


@breaks("boxes in another space", implausible=True)
def other_space(job: Job, rng: random.Random) -> list[Job] | None:
    # Boxes that are smaller in the other space lie inside the input in both: that alone is no contradiction.
    space = job.options.get("--box-space")
    if space is None:
        return None
    job.options["--box-space"] = "input" if space == "original" else "original"
    return []


@breaks("fractions and pixels", implausible=True)
def fractions(job: Job, rng: random.Random) -> list[Job] | None:
    if job.boxes.format == "YOLO":
        return None
    if "--normalized" in job.options:
        del job.options["--normalized"]
    else:
        job.options["--normalized"] = ""
    return []


@breaks("x and y swapped", implausible=True)
def swapped(job: Job, rng: random.Random) -> list[Job] | None:
    for row in job.boxes.rows:
        a, b, c, d = row.numbers
        row.numbers = [b, a, d, c]
    return []


@breaks("a category that is an id and a name")
def category_names(job: Job, rng: random.Random) -> list[Job] | None:
    if job.boxes.format != "COCO" or "--categories" not in job.options:
        return None
    chosen = int(job.options["--categories"])
    other, named = job.copy(), (chosen + 1) % 4
    categories = [{"id": chosen, "name": "cat"}, {"id": named, "name": str(chosen)}]
    in_box_json(job, lambda document: document.update(categories=categories))
    other.options["--categories"] = str(named)
    return [other]
