"""Statements of a job's files that contradict each other, or are hardly true, even where they leave one reading."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.fuzz.meaning.job import Job
from tests.fuzz.meaning.join.boxes import BoxesRead, read_boxes
from tests.fuzz.meaning.join.crops import Found, box_of, chosen, corners, input_size
from tests.fuzz.meaning.join.pyramids import ContradictionError, ImageRead, read_pyramid

# Boxes may reach beyond the input by as much, and pictures may be padded up to twice their size.
BEYOND, BEYOND_PIXELS, PADDING = 0.02, 8, 2


def contradiction(job: Job, folder: Path) -> str:
    """The first contradiction among statements, in words; empty if there is none."""
    try:
        images, boxes = read_pyramid(job, folder), read_boxes(job, folder)
        found = chosen(job, images, boxes)
        for image in [image for image in images if any(image is one[2] for one in found)]:
            wrong = _of_levels(image) or _of_sizes(job, image, boxes)
            if wrong:
                return f"{image.id}: {wrong}"
        return _of_boxes(job, found, boxes)
    except (ContradictionError, ValueError, KeyError, IndexError, TypeError) as error:
        return str(error)


def _of_levels(image: ImageRead) -> str:
    """Sizes and strides of levels that no input has: n cells of stride s span between (n - 1) s and (n + 1) s."""
    names = list(image.maps)
    if len({image.scales[name] for name in names}) < len(names):
        return "two levels of one stride"
    for side in (0, 1):
        strides = [1 / image.scales[name][side] for name in names]
        if strides != sorted(strides):
            return "levels that are not finest first"
        cells = [image.maps[name].shape[1 + side] for name in names]
        low = max((count - 1) * stride for count, stride in zip(cells, strides, strict=True))
        high = min((count + 1) * stride for count, stride in zip(cells, strides, strict=True))
        if low >= high:
            return "sizes of levels that do not follow their strides"
    return ""


def _of_sizes(job: Job, image: ImageRead, boxes: BoxesRead) -> str:
    """Sizes of an image that contradict each other or the input that its levels span."""
    stated = boxes.sizes.get(image.id)
    if stated and image.size and max(abs(np.subtract(stated, image.size))) >= 1:
        return "two sizes of one image"
    if image.offset is not None and image.factor is None:
        return "an offset without a scale factor"
    size = image.size or stated
    if size is None or (image.factor is None and "--box-space" in job.options):
        return ""
    scaled = np.multiply(size, image.factor or (1, 1)) + (image.offset or (0, 0))
    span = np.array(input_size(image))
    stride = span / (image.maps[next(iter(image.maps))].shape[:0:-1])
    if image.factor is None and (boxes.normalized or "--normalized" in job.options):
        # Fractions are of the input, to which a picture of any size may have been resized, and padded.
        fitted = scaled * min(span / scaled)
        return "an image of another shape than its levels" if (fitted * PADDING + stride < span).any() else ""
    if (scaled >= span + stride).any():
        return "an image that is larger than its levels"
    return "an image that is far smaller than its levels" if (scaled * PADDING + stride < span).all() else ""


def _of_boxes(job: Job, found: list[Found], boxes: BoxesRead) -> str:
    """Boxes of which a tenth or more are beyond the input, or inverted, or all are within one pixel."""
    beyond, within = 0, True
    for _, row, image in found:
        box, span = box_of(row, image, boxes, job.options), np.array(input_size(image))
        slack = np.maximum(BEYOND_PIXELS, BEYOND * span)
        beyond += bool((box[:2] < -slack).any() or (box[2:] > span + slack).any() or (box[2:] < box[:2]).any())
        numbers = corners(row.numbers, job.options.get("--box-format", boxes.box_format))
        within &= bool((numbers >= 0).all() and (numbers <= 1).all())
    if within and found and not boxes.normalized and "--normalized" not in job.options:
        return "boxes within one pixel"
    return "boxes beyond the input" if beyond and beyond * 10 >= len(found) else ""
