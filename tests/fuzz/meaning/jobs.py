"""Random valid jobs: any layout, box format and options, of which every statement is true and has one reading."""

from __future__ import annotations

import random

import numpy as np

from tests.fuzz.meaning.job import BESIDE, LAYOUTS, Boxes, Image, Job, Pair, Pyramid, Row
from tests.fuzz.meaning.write.boxes import FORMATS
from tests.fuzz.meaning.write.pyramids import GROUP

STORAGES = ({}, {}, {"compression": "gzip"}, {"chunks": True, "shuffle": True}, {"compression": "lzf"})
WITHOUT_COLUMNS = ("rows", "lines", "id map", "NPY")
FACTORS = ((1.25, 1.25), (0.8, 0.8), (2.0, 1.5), (0.5, 0.625))
IDS = {
    "texts": lambda n: f"img_{n * 3 + 2}",
    "large numbers": lambda n: str(100 + (n * 7) % 11),
    "positions": str,
    "numbers": lambda n: str(((n * 5) % 7) + 1),
    "both": lambda n: ("a10", "b", "a9", "7c", "c_1", "d")[n],
}
# Boxes named by numbers are read in one way only where no id is also the number of another image.
APART = ("texts", "large numbers", "positions", "both")
STATED = {
    "grouped": ("stride", "scale", "group", "file", "option"),
    "nested": ("stride", "scale", "group", "file", "option"),
    "batched": ("stride", "scale", "file", "option"),
    "one": ("stride", "scale", "file", "option"),
    "safetensors": ("stride", "scale", "option"),
    "npz": ("stride", "scale", "option"),
    "npy": ("stride", "scale", "option"),
    "json": ("stride", "scale", "option"),
    "files": ("stride", "scale", "file", "option"),
    "grouped files": ("stride", "scale", "group", "option"),
    "batched files": ("stride", "scale", "file", "option"),
}


def random_job(rng: random.Random) -> Job:
    """A job of a few small images and boxes."""
    pyramid = _pyramid(rng)
    boxes = Boxes(rng.choice(list(FORMATS)), [], "")
    job = Job(pyramid, boxes)
    _choose_keys(job, rng)
    _choose_space(job, rng)
    _add_rows(job, rng)
    _describe_images(job, rng)
    _choose_pooling(job, rng)
    _choose_rows(job, rng)
    _state_levels(job, rng)
    _choose_way(job, rng)
    pyramid.last = rng.choice(("", "", "some", "all"))
    return job


def _pyramid(rng: random.Random) -> Pyramid:
    layout = rng.choice(LAYOUTS)
    count = 1 if layout == "one" else rng.choice((2, 3, 4, 6))
    strides = _strides(rng)
    dtype = rng.choice(("float32", "float32", "float32", "float16", "float64")) if layout != "json" else "float32"
    channels, values = rng.choice((1, 2, 3)), np.random.default_rng(rng.randrange(1 << 30))
    geometry = _geometry(rng) if rng.random() < 0.5 else (None, None, False)
    alike = layout in (*BESIDE, "batched files")
    sizes = [_size(rng, strides)] * count if alike else [_size(rng, strides) for _ in range(count)]
    images = []
    for number, (width, height) in enumerate(sizes):
        maps = {
            name: values.standard_normal((channels, *_cells(width, height, y, x))).astype(dtype)
            for name, (y, x) in strides.items()
        }
        images.append(Image(str(number), maps, dict(strides), *_stated_geometry(geometry, (width, height))))
    hdf5 = layout in ("grouped", "nested", "batched", "one") or layout.endswith("files")
    return Pyramid(
        layout,
        images,
        rng.choice(STATED[layout]),
        storage=dict(rng.choice(STORAGES)) if hdf5 else {},
        lead=layout in ("grouped", "nested", "one", "files", "grouped files") and rng.random() < 0.3,
        outer=layout == "nested" and rng.random() < 0.5,
    )


def _strides(rng: random.Random) -> dict[str, Pair]:
    names = rng.choice((("p2", "p3", "p4"), ("p3", "p4"), ("p2", "p3"), ("p3",)))
    wide = rng.choice((1, 1, 1, 1, 2))
    return {name: (2.0 ** int(name[1:]), 2.0 ** int(name[1:]) * wide) for name in names}


def _cells(width: int, height: int, y: float, x: float) -> tuple[int, int]:
    """The size (H, W) of a level, rounded up."""
    return -int(-height // y), -int(-width // x)


def _size(rng: random.Random, strides: dict[str, Pair]) -> tuple[int, int]:
    """(width, height) of an input, in which a box may lie twice beside itself."""
    coarsest = max(max(stride) for stride in strides.values())
    least = max(60, int(2 * coarsest))
    return rng.randrange(least, least + 70), rng.randrange(least, least + 70)


def _geometry(rng: random.Random) -> tuple[Pair | None, Pair | None, bool]:
    """A scale factor, an offset, and whether sizes are stated."""
    offset = (float(rng.randrange(1, 9)), float(rng.randrange(0, 5))) if rng.random() < 0.3 else None
    return rng.choice(FACTORS), offset, rng.random() < 0.7


def _stated_geometry(geometry: tuple, size: tuple[int, int]) -> tuple[Pair | None, Pair | None, Pair | None]:
    """Factor, offset and size of an image whose input is `size`."""
    factor, offset, sized = geometry
    if factor is None or not sized:
        return factor, offset, None
    left = np.subtract(size, offset or (0, 0)) / factor
    return factor, offset, (float(int(left[0])), float(int(left[1])))


def _choose_keys(job: Job, rng: random.Random) -> None:
    """Gives the images their ids, and the boxes what they name images by."""
    pyramid, boxes = job.pyramid, job.boxes
    boxes.key = rng.choice(FORMATS[boxes.format].keys)
    boxes.box_format = rng.choice(FORMATS[boxes.format].numbers)
    settled = rng.random() < 0.3
    styles = list(IDS) if settled or boxes.key != "index" else list(APART)
    pyramid.ids = pyramid.layout not in BESIDE or rng.random() < 0.7
    style = rng.choice(styles) if pyramid.ids else "positions"
    for number, image in enumerate(pyramid.images):
        image.id = IDS[style](number)
    if pyramid.layout not in (*BESIDE, "batched files", "one"):
        rng.shuffle(pyramid.images)
    if settled or (boxes.key == "file_name"):
        job.options["--image-key"] = boxes.key


def _choose_space(job: Job, rng: random.Random) -> None:
    image, boxes = job.pyramid.images[0], job.boxes
    original = image.factor is not None and rng.random() < 0.6
    if image.factor is not None:
        job.options["--box-space"] = "original" if original else "input"
    if boxes.format == "YOLO":
        if original and image.size is None:
            job.options["--box-space"] = "input"
    elif rng.random() < 0.15 and not (original and image.size is None):
        job.options["--normalized"] = ""
    if boxes.format != "YOLO" and len(FORMATS[boxes.format].numbers) == 1 and rng.random() < 0.2:
        boxes.box_format = rng.choice(("xyxy", "xywh", "cxcywh"))
        job.options["--box-format"] = boxes.box_format


def in_file(box: np.ndarray, image: Image, job: Job) -> list[float]:
    """What a file states for a box (x1, y1, x2, y2) of input pixels."""
    original = job.options.get("--box-space") == "original"
    sides = np.array(image.input_size() * 2)
    if original:
        box = (box - (image.offset or (0, 0)) * 2) / (image.factor * 2)
        sides = np.array(image.size * 2) if image.size else sides
    if job.boxes.format == "YOLO" or "--normalized" in job.options:
        box = box / sides
    x1, y1, x2, y2 = box.tolist()
    if job.boxes.box_format == "xywh":
        return [x1, y1, x2 - x1, y2 - y1]
    if job.boxes.box_format == "cxcywh":
        return [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]
    return [x1, y1, x2, y2]


def random_box(image: Image, rng: random.Random) -> np.ndarray:
    """A box inside what the image covers of its input."""
    left = image.offset or (0.0, 0.0)
    right = image.input_size()
    if image.size is not None:
        right = tuple(np.multiply(image.size, image.factor) + left)
    found = []
    for low, high in zip(left, right, strict=True):
        side = min(float(np.exp(rng.uniform(np.log(6), np.log(high - low)))), high - low)
        start = rng.uniform(low, high - side)
        found.append((start, start + side))
    return np.array([found[0][0], found[1][0], found[0][1], found[1][1]])


def in_order(pyramid: Pyramid) -> list[int]:
    """The places in the document of the images by their numbers in msroi."""
    places = list(range(len(pyramid.images)))
    if pyramid.layout in (*BESIDE, "batched files"):
        return places
    from tests.fuzz.meaning.join.pyramids import natural

    return sorted(places, key=lambda place: natural(pyramid.images[place].id))


def key_of(job: Job, place: int) -> int | str:
    """How the boxes name the image at a place of the document."""
    image = job.pyramid.images[place]
    if job.boxes.key == "index":
        return in_order(job.pyramid).index(place)
    if job.boxes.key == "file_name":
        return f"pictures/{image.id}.jpg"
    return image.id


def _add_rows(job: Job, rng: random.Random) -> None:
    places = list(range(len(job.pyramid.images)))
    chosen = [rng.choice(places) for _ in range(rng.randrange(2, 9))]
    # Most jobs have boxes of every image.
    if rng.random() < 0.7:
        chosen += places
    rng.shuffle(chosen)
    scores = rng.sample(range(1, 1000), len(chosen))
    for place, score in zip(chosen, scores, strict=True):
        box = random_box(job.pyramid.images[place], rng)
        numbers, side = in_file(box, job.pyramid.images[place], job), float(np.sqrt(np.prod(box[2:] - box[:2])))
        job.boxes.rows.append(Row(key_of(job, place), numbers, score / 1000, rng.randrange(4), place, side))
    job.boxes.columns = job.boxes.format not in WITHOUT_COLUMNS and rng.random() < 0.7


def _describe_images(job: Job, rng: random.Random) -> None:
    """What a COCO data set states of its images."""
    boxes = job.boxes
    if boxes.format not in ("COCO", "COCO results and images"):
        return
    images = [job.pyramid.images[place] for place in in_order(job.pyramid)]
    boxes.listed = [image.id for image in images]
    if job.pyramid.ids and rng.random() < 0.5:
        rng.shuffle(boxes.listed)
    named, sized = rng.random() < 0.6, rng.random() < 0.6
    for image in images:
        if named:
            boxes.names[image.id] = f"{image.id}.jpg"
        if sized:
            boxes.sizes[image.id] = image.size or image.input_size()
            if image.size is None and image.factor is not None:
                boxes.sizes.pop(image.id)
    if named and rng.random() < 0.4 and "--image-key" not in job.options:
        job.options["--image-key"] = "file_name"


def _choose_pooling(job: Job, rng: random.Random) -> None:
    options = job.options
    options["--output-size"] = rng.choice(("1", "2", "2", "3x2"))
    options["--compat"] = rng.choice(("lucid", "torchvision", "detectron2", "mmdet"))
    strides = job.pyramid.images[0].strides
    if any(y != x for y, x in strides.values()) and options["--compat"] in ("torchvision", "detectron2"):
        options["--compat"] = "lucid"
    level = {"lucid": 1, "mmdet": 0}.get(options["--compat"], 3)
    options["--canonical-level"], options["--canonical-scale"] = str(level), rng.choice(("16", "24", "40"))
    if rng.random() < 0.3:
        options["--sampling-ratio"] = rng.choice(("0", "1", "2", "3"))
    if rng.random() < 0.2:
        options[rng.choice(("--aligned", "--no-aligned"))] = ""
    if rng.random() < 0.2:
        options["--assign"] = rng.choice(("all", *job.pyramid.levels))
    if rng.random() < 0.15:
        options["--reduce"] = rng.choice(("mean", "max"))
    if rng.random() < 0.2:
        options["--order"] = "image"
    if rng.random() < 0.15:
        options["--strict"] = ""
    if rng.random() < 0.1:
        options["--compression"] = rng.choice(("gzip", "lzf"))
    if rng.random() < 0.2:
        options["--dtype"] = rng.choice(("float32", "float64"))


def _choose_way(job: Job, rng: random.Random) -> None:
    is_text = FORMATS[job.boxes.format].text is not None
    job.boxes.gzipped = is_text and rng.random() < 0.2
    job.way = rng.choice(("file", "file", "parts", "stdin" if is_text and not job.boxes.gzipped else "file"))


def _choose_rows(job: Job, rng: random.Random) -> None:
    """At most one filter, which leaves boxes."""
    rows = job.boxes.rows
    one, kind = rng.choice(rows), rng.choice(("score", "category", "top", "images", "size", *[""] * 12))
    if kind == "images":
        job.options["--images"] = job.pyramid.images[one.image].id
    if kind == "size":
        job.options["--min-size"] = f"{one.side - 0.01:.3f}"
    if not job.boxes.columns:
        return
    if kind == "score":
        job.options["--min-score"] = repr(one.score)
    if kind == "category":
        job.options["--categories"] = str(one.category)
    if kind == "top":
        job.options["--top"] = rng.choice(("1", "2"))


def _state_levels(job: Job, rng: random.Random) -> None:
    """Options about levels: their names, or strides that the file does not state."""
    pyramid = job.pyramid
    if pyramid.layout == "nested":
        job.options["--group"] = GROUP
    strides = list(pyramid.images[0].strides.values())
    if pyramid.stated == "option":
        texts = [f"{y:g}" if y == x else f"{y:g}x{x:g}" for y, x in strides]
        scales = [f"1/{y:g}" if y == x else f"1/{y:g}x1/{x:g}" for y, x in strides]
        option, words = rng.choice((("--strides", texts), ("--scales", scales)))
        job.options[option] = ",".join(words)
    if rng.random() < 0.15:
        job.options["--levels"] = ",".join(pyramid.levels)
