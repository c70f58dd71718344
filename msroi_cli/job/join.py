"""Boxes of a file joined with a pyramid: which image each belongs to, and where it lies in input pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.boxes import BOX_FORMATS, REASONS, invalid_box_reasons
from msroi_cli.errors import InputError, UsageError
from msroi_cli.io.boxes.open import read_boxes
from msroi_cli.io.boxes.table import BoxTable
from msroi_cli.io.columns import BoxColumns
from msroi_cli.io.files.location import Source
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.job.request import BoxOptions

UNKNOWN_IMAGE = len(REASONS) + 1
LISTED = 5


@dataclass(frozen=True, slots=True)
class JoinedBoxes:
    """The K boxes of a file, joined with a pyramid.

    boxes: (K, 4) float32, x1 y1 x2 y2, input pixels. images: (K,) int64, as `images_of`. invalid_reason: (K,) uint8, as
    `invalid_reasons`. columns: what travels along. box_format and normalized: how the file's numbers were read.
    source: the file.
    """

    boxes: NDArray[np.float32]
    images: NDArray[np.int64]
    invalid_reason: NDArray[np.uint8]
    columns: BoxColumns
    box_format: str
    normalized: bool
    source: Source


def joined_boxes(name: str, pyramid: Pyramid, options: BoxOptions) -> JoinedBoxes:
    """Reads the box file `name` and joins it with `pyramid`.

    Of ten million boxes the file's own numbers take 400 MB; they are let go of when this returns.
    Raises InputError or UsageError, also for boxes that cannot be pooled unless the options say what to do with them.
    """
    table, source = read_boxes(name, options.file)
    images = images_of(table, pyramid, options)
    boxes = to_input_pixels(table, images, pyramid, options)
    reason = invalid_reasons(boxes, images)
    if options.on_bad_box == "error":
        refuse_bad_boxes(name, table, reason)
    box_format, normalized = options.box_format or table.box_format, options.normalized or table.normalized
    return JoinedBoxes(boxes, images, reason, table.columns, box_format, normalized, source)


def images_of(table: BoxTable, pyramid: Pyramid, options: BoxOptions) -> NDArray[np.int64]:
    """The image of each box, (K,) int64 indices into the pyramid's images, -1 where it has none such."""
    count = len(pyramid.image_ids)
    if table.image_ids is None:
        if options.image_key != "id":
            raise UsageError(f"--image-key {options.image_key}: expected boxes with image ids, got indices of images")
        return np.where((table.image >= 0) & (table.image < count), table.image, -1)
    known = {image: index for index, image in enumerate(pyramid.image_ids)}
    if len(known) < count:
        raise InputError(f"{pyramid.location}: expected image ids that differ, got {count - len(known)} repeated")
    by_id = [
        next((known[key] for key in _keys(image, table, options) if key in known), -1) for image in table.image_ids
    ]
    _check_one_name(table, by_id, pyramid, options)
    return np.array([*by_id, -1], dtype=np.int64)[table.image]


def _check_one_name(table: BoxTable, by_id: list[int], pyramid: Pyramid, options: BoxOptions) -> None:
    """Raises InputError where two images of the box file would be one of the pyramid's."""
    first: dict[int, str] = {}
    for image, index in zip(table.image_ids or (), by_id, strict=True):
        if index >= 0 and first.setdefault(index, image) != image:
            names = " and ".join(repr(table.file_names.get(key, key)) for key in (first[index], image))
            raise InputError(
                f"--image-key {options.image_key}: expected one image for {pyramid.image_ids[index]!r} of "
                f"{pyramid.location}, got {names}"
            )


def _keys(image: str, table: BoxTable, options: BoxOptions) -> tuple[str, ...]:
    """The names under which the pyramid may know an image."""
    if options.image_key == "id":
        return (image,)
    name = table.file_names.get(image, image)
    path = PurePosixPath(name.replace("\\", "/"))
    return (name, path.name, path.stem)


def to_input_pixels(
    table: BoxTable, images: NDArray[np.int64], pyramid: Pyramid, options: BoxOptions
) -> NDArray[np.float32]:
    """The boxes (K, 4) as x1 y1 x2 y2 in input pixels: reckoned in float64 and rounded once to float32."""
    boxes = BOX_FORMATS[options.box_format or table.box_format](table.boxes)
    space = _box_space(pyramid, options)
    if space == "original" or options.normalized or table.normalized:
        known = images >= 0
        used, first, position = np.unique(images[known], return_index=True, return_inverse=True)
        own = table.image[known][first]
        factors = [
            _factor(pyramid, table, image, name, space, options)
            for image, name in zip(used.tolist(), own.tolist(), strict=True)
        ]
        boxes = boxes.copy()
        boxes[known] *= np.tile(np.array(factors).reshape(-1, 2), 2)[position]
    with np.errstate(over="ignore"):
        return boxes.astype(np.float32)


def _box_space(pyramid: Pyramid, options: BoxOptions) -> str:
    """ "original" or "input": as the user says, and without a word only where there is nothing to choose."""
    if options.box_space is None and pyramid.has_scale_factors:
        raise UsageError(
            f"{pyramid.location}: the pyramid has scale factors: expected --box-space original (boxes in pixels of the "
            "original images) or --box-space input (pixels of the network's input)"
        )
    if options.box_space == "original" and not pyramid.has_scale_factors:
        raise UsageError(f"--box-space original: expected scale factors in {pyramid.location}, got none")
    return options.box_space or "input"


def _factor(
    pyramid: Pyramid, table: BoxTable, image: int, table_image: int, space: str, options: BoxOptions
) -> tuple[float, float]:
    """What x and y of an image's boxes are multiplied by."""
    if space == "input":
        return pyramid.input_size(image)
    factor = pyramid.scale_factor(image)
    name = pyramid.image_ids[image]
    if factor is None:
        raise InputError(f"{pyramid.location.at(name)}: expected a scale_factor as on other images, got none")
    if not (options.normalized or table.normalized):
        return factor
    key = table.image_ids[table_image] if table.image_ids is not None else name
    size = pyramid.image_size(image) or table.image_sizes.get(key)
    if size is None:
        raise InputError(
            f"{pyramid.location.at(name)}: --normalized --box-space original: expected the size of the original image "
            "(image_size, or width and height in a COCO data set), got none"
        )
    return size[0] * factor[0], size[1] * factor[1]


def invalid_reasons(boxes: NDArray[np.float32], images: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Why each box cannot be pooled: 0, or 1 + its index in the reasons of the core, or UNKNOWN_IMAGE."""
    reasons = invalid_box_reasons(boxes)
    reasons[images < 0] = UNKNOWN_IMAGE
    return reasons


def reason_counts(reasons: NDArray[np.uint8]) -> dict[str, int]:
    """How many boxes are invalid for each of `reasons` (K,) that occurs."""
    counts = np.bincount(reasons, minlength=UNKNOWN_IMAGE + 1)
    return {_reason(code): int(counts[code]) for code in range(1, UNKNOWN_IMAGE + 1) if counts[code]}


def _reason(code: int) -> str:
    return "image unknown" if code == UNKNOWN_IMAGE else REASONS[code - 1]


def refuse_bad_boxes(name: str, table: BoxTable, reasons: NDArray[np.uint8]) -> None:
    """Raises InputError if any box is invalid: the first few with their rows, and how many more there are."""
    bad = np.flatnonzero(reasons)
    if not bad.size:
        return
    listed = [f"row {row}: {_described(table, int(row), int(reasons[row]))}" for row in bad[:LISTED]]
    more = f"; and {bad.size - LISTED} more" if bad.size > LISTED else ""
    raise InputError(
        f"{name}: expected boxes that can be pooled, got {bad.size} of {len(reasons)} that cannot: "
        f"{'; '.join(listed)}{more} (--on-bad-box drop, zero or nan goes on without them)"
    )


def _described(table: BoxTable, row: int, code: int) -> str:
    if code == UNKNOWN_IMAGE:
        image: Any = table.image[row] if table.image_ids is None else table.image_ids[table.image[row]]
        return f"image {str(image)!r} is not in the pyramid"
    return f"{_reason(code)} ({', '.join(f'{value:g}' for value in table.boxes[row])})"
