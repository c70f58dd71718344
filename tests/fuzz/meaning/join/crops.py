"""Joins boxes with images and pools them, as the definitions read: one box after another, matrices of plain NumPy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from tests import oracle
from tests.fuzz.meaning.job import Job, Pair
from tests.fuzz.meaning.join.boxes import BoxesRead, RowRead, read_boxes
from tests.fuzz.meaning.join.pyramids import ContradictionError, ImageRead, expect, read_pyramid

# Whether boxes are shifted by half a cell, and samples per bin and axis, 0 as many as a bin has cells.
PRESETS = {"lucid": (False, 0), "torchvision": (False, 2), "detectron2": (True, 0), "mmdet": (True, 0)}

FAR = 1e6  # input pixels


@dataclass
class JoinedRow:
    """row: in the box file. box: (4,) float32, x1 y1 x2 y2, input pixels. crop: (C, Ho, Wo), or (C,) reduced."""

    row: int
    image: str
    level: int
    box: np.ndarray
    crop: np.ndarray


def corners(numbers: list[float], box_format: str) -> np.ndarray:
    """x1 y1 x2 y2 of the four numbers of a box, float64."""
    expect(len(numbers) == 4, "four numbers a box")
    a, b, c, d = (math.nan if value is None else value for value in numbers)
    if box_format == "xywh":
        return np.array([a, b, a + c, b + d])
    if box_format == "cxcywh":
        return np.array([a - c / 2, b - d / 2, a + c / 2, b + d / 2])
    return np.array([a, b, c, d])


def image_of(row: RowRead, boxes: BoxesRead, images: list[ImageRead], key: str | None) -> ImageRead:
    """The image of a box; raises ContradictionError where there is none."""
    key = key or ("index" if isinstance(row.key, int) else "id")
    if key == "index":
        expect(0 <= int(row.key) < len(images), "a box of no image")
        return images[int(row.key)]
    by_id = {image.id: image for image in images}
    name = str(row.key)
    if key == "file_name":
        name = boxes.names.get(name, name)
        path = PurePosixPath(name)
        name = next((known for known in (name, path.name, path.stem) if known in by_id), name)
    expect(name in by_id, "a box of no image")
    return by_id[name]


def input_size(image: ImageRead) -> Pair:
    """(width, height) that the finest level spans, input pixels."""
    name = next(iter(image.maps))
    scale = image.scales[name]
    expect(scale is not None, "strides that are stated")
    height, width = image.maps[name].shape[1:]
    return width / scale[1], height / scale[0]


def box_of(row: RowRead, image: ImageRead, boxes: BoxesRead, options: dict[str, str]) -> np.ndarray:
    """A box in input pixels, (4,) float32."""
    box = corners(row.numbers, options.get("--box-format", boxes.box_format))
    original = options.get("--box-space") == "original"
    expect(not original or image.factor is not None, "a scale factor")
    if boxes.normalized or "--normalized" in options:
        size = image.size or boxes.sizes.get(str(row.key))
        expect(not original or size is not None, "the size of the image")
        width, height = size if original else input_size(image)
        box = box * (width, height, width, height)
    if original:
        box = box * (*image.factor, *image.factor) + (*(image.offset or (0, 0)), *(image.offset or (0, 0)))
    return box.astype(np.float32)


Found = tuple[int, RowRead, ImageRead]


def chosen(job: Job, images: list[ImageRead], boxes: BoxesRead) -> list[Found]:
    """The boxes that the options choose, each with its row and its image, in the order of the file."""
    options, rows = job.options, list(enumerate(boxes.rows))
    if "--min-score" in options:
        rows = [one for one in rows if one[1].score >= float(options["--min-score"])]
    if "--categories" in options:
        rows = [one for one in rows if one[1].category in map(int, options["--categories"].split(","))]
    key = options.get("--image-key")
    found = [(number, row, image_of(row, boxes, images, key)) for number, row in rows]
    if "--images" in options:
        found = [one for one in found if one[2].id in options["--images"].split(",")]
    if "--min-size" in options:
        found = [
            one for one in found if not _side(box_of(one[1], one[2], boxes, options)) < float(options["--min-size"])
        ]
    if "--top" in options:
        ranks: dict[str, list[int]] = {}
        for number, _, image in sorted(found, key=lambda one: -one[1].score):
            ranks.setdefault(image.id, []).append(number)
        kept = {number for some in ranks.values() for number in some[: int(options["--top"])]}
        found = [one for one in found if one[0] in kept]
    return found


def _side(box: np.ndarray) -> float:
    """sqrt(w * h) of a box; NaN of one that is inverted."""
    return math.nan if _is_inverted(box) else math.sqrt(float(np.prod(box[2:] - box[:2])))


def _is_inverted(box: np.ndarray) -> bool:
    return bool((box[2:] < box[:2]).any())


def axis(low: float, high: float, scale: float, size: int, pooling: tuple[int, int, bool]) -> np.ndarray:
    """The weights (bins, size) of the cells of one axis in each bin; pooling: bins, sampling ratio, aligned."""
    bins, ratio, aligned = pooling
    weights = np.zeros((bins, size))
    for row, positions in zip(weights, oracle.samples(low, high, scale, bins, ratio, aligned), strict=True):
        for at in oracle.on_map(positions, size):
            first, second, share = oracle.neighbours(at, size)
            row[first] += 1 - share
            row[second] += share
        row /= max(len(positions), 1)
    return weights


def output_size(options: dict[str, str]) -> tuple[int, int]:
    """(Ho, Wo) of `--output-size`."""
    sides = options.get("--output-size", "7").split("x")
    return int(sides[0]), int(sides[-1])


def crop_of(box: np.ndarray, values: np.ndarray, scale: Pair, options: dict[str, str]) -> np.ndarray:
    """The crop (C, Ho, Wo), float64, of a box out of a map (C, H, W)."""
    aligned, ratio = PRESETS[options.get("--compat", "lucid")]
    ratio = int(options.get("--sampling-ratio", ratio))
    aligned = "--aligned" in options or (aligned and "--no-aligned" not in options)
    height, width = output_size(options)
    rows = axis(box[1], box[3], scale[0], values.shape[1], (height, ratio, aligned))
    columns = axis(box[0], box[2], scale[1], values.shape[2], (width, ratio, aligned))
    return np.einsum("ph,chw,qw->cpq", rows, values.astype(np.float64), columns)


def pooled(box: np.ndarray, image: ImageRead, options: dict[str, str]) -> tuple[int, np.ndarray]:
    """The level of a box and its crop."""
    names = list(image.maps)
    expect(None not in image.scales.values(), "strides that are stated")
    rule = {"l0": "--canonical-level", "s0": "--canonical-scale"}
    canonical = {key: float(options[name]) for key, name in rule.items() if name in options}
    strides = [1 / image.scales[name][0] for name in names]
    level = oracle.level(box, strides, options.get("--compat", "lucid"), **canonical)
    assign = options.get("--assign", "canonical")
    if assign not in ("canonical", "all"):
        expect(assign in names, "the level that --assign names")
        level = names.index(assign)
    used = names if assign == "all" else [names[level]]
    parts = [crop_of(box, image.maps[name], image.scales[name], options) for name in used]
    crop = np.concatenate(parts)
    if "--reduce" in options:
        crop = crop.mean(axis=(1, 2)) if options["--reduce"] == "mean" else crop.max(axis=(1, 2))
    return level, crop


def check_alike(images: list[ImageRead], options: dict[str, str]) -> None:
    """Raises ContradictionError where images that must be alike are not, or levels are not finest first."""
    mixed = options.get("--assign", "canonical") != "canonical"
    if not images:
        return
    first = images[0]
    original = options.get("--box-space") == "original"
    for image in images:
        expect(image.maps.keys() == first.maps.keys(), f"{image.id}: other levels")
        for name, values in image.maps.items():
            like = first.maps[name if mixed else next(iter(first.maps))]
            expect((len(values), values.dtype) == (len(like), like.dtype), f"{image.id}: other channels or dtype")
            same = image.scales[name] is None or bool(np.allclose(image.scales[name], first.scales[name]))
            expect(same, f"{image.id}: another stride of {name}")
    stated = {image.factor is not None for image in images}
    expect("--box-space" in options or stated == {False}, "boxes in one of two spaces")
    expect(not original or stated == {True}, "scale factors of some images")


def joined(job: Job, folder: Path) -> list[JoinedRow]:
    """What the crops of a job are, row by row; raises ContradictionError where its files do not say."""
    try:
        images, boxes = read_pyramid(job, folder), read_boxes(job, folder)
        found = chosen(job, images, boxes)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ContradictionError(f"cannot be read: {error}") from error
    check_alike([image for image in images if any(image is one[2] for one in found)], job.options)
    rows = [(number, row, image, box_of(row, image, boxes, job.options)) for number, row, image in found]
    policy = job.options.get("--on-bad-box", "error")
    for _, _, _, box in rows:
        expect(bool((np.abs(box) < FAR).all()), "boxes that are finite and near")
        expect(policy != "error" or not _is_inverted(box), "boxes that are not inverted")
    if policy == "drop":
        rows = [one for one in rows if not _is_inverted(one[3])]
    if job.options.get("--order") == "image":
        rows.sort(key=lambda one: [image.id for image in images].index(one[2].id))
    return [JoinedRow(number, image.id, *_level_and_crop(box, image, job)) for number, _, image, box in rows]


def _level_and_crop(box: np.ndarray, image: ImageRead, job: Job) -> tuple[int, np.ndarray, np.ndarray]:
    if _is_inverted(box):
        _, crop = pooled(np.zeros(4, np.float32), image, job.options)
        return -1, box, np.full_like(crop, {"zero": 0, "nan": np.nan}[job.options["--on-bad-box"]])
    level, crop = pooled(box, image, job.options)
    return level, box, crop


def differ(one: list[JoinedRow], other: list[JoinedRow]) -> str:
    """Where two joins differ, in words; empty if they do not."""
    if len(one) != len(other):
        return f"{len(one)} and {len(other)} rows"
    for first, second in zip(one, other, strict=True):
        if (first.row, first.image, first.level) != (second.row, second.image, second.level):
            return f"row {first.row}: {first.image} {first.level} and {second.row}: {second.image} {second.level}"
        if not np.allclose(first.box, second.box, rtol=1e-5, atol=1e-4):
            return f"row {first.row}: box {first.box} and {second.box}"
        if first.crop.shape != second.crop.shape or not np.allclose(first.crop, second.crop, atol=1e-4, equal_nan=True):
            return f"row {first.row}: other crops"
    return ""
