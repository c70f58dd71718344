"""Boxes of a file joined with a pyramid: which image each belongs to, and where it lies in input pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.arrays import slices
from msroi_cli.core.boxes import REASONS, RowsOfBoxes, invalid_box_reasons
from msroi_cli.core.levels import box_sizes
from msroi_cli.errors import InputError
from msroi_cli.io.boxes.objects import boxes_of_object
from msroi_cli.io.boxes.open import read_boxes
from msroi_cli.io.boxes.table import BoxTable
from msroi_cli.io.columns import BoxColumns
from msroi_cli.io.files.location import Source
from msroi_cli.io.numbers import Indices
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.job.join.choice import Choosing, known_images
from msroi_cli.job.join.images import UNUSABLE, advice_on_unknown, images_of, numbered_as, used_images
from msroi_cli.job.join.input_pixels import InputBoxes, box_space, to_input_pixels
from msroi_cli.job.join.sizes import other_sizes
from msroi_cli.job.request import BoxOptions

UNKNOWN_IMAGE, UNUSABLE_IMAGE = len(REASONS) + 1, len(REASONS) + 2
LISTED = 5

BAD_BOX_ADVICE = "--on-bad-box drop, zero or nan continues without them"
UNKNOWN_IMAGE_ADVICE = "--on-unknown-image skip goes on without them"


class JoinedBoxes(NamedTuple):
    """The K boxes of a file, joined with a pyramid.

    boxes: (K, 4) float32, x1 y1 x2 y2, input pixels. images: (K,), as `images_of`. invalid_reason: (K,) uint8, as
    `invalid_reasons`. columns: what travels along. box_format, normalized, image_key: how the file was read.
    source: the file. rows: (K,) int64, the rows in the file, None if they are all of its rows.
    left_out: how many others it has, by reason.
    unusable: why images that boxes use are left out, by their number. linked: the files that the file leads to.
    """

    boxes: NDArray[np.float32]
    images: Indices
    invalid_reason: NDArray[np.uint8]
    columns: BoxColumns
    box_format: str
    normalized: bool
    image_key: str
    source: Source
    rows: NDArray[np.int64] | None
    left_out: Mapping[str, int]
    unusable: Mapping[int, str]
    linked: Mapping[str, Source]


# Takes the table of the boxes, their images (K,), the boxes (K, 4) in input pixels, the reasons (K,) why they cannot be
# pooled, and how many others the options leave out, by reason.
Examine = Callable[[BoxTable, Indices, RowsOfBoxes, NDArray[np.uint8], Mapping[str, int]], None]


def joined_boxes(
    boxes_of: Any, pyramid: Pyramid, options: BoxOptions, examine: Examine = lambda *joined: None
) -> JoinedBoxes:
    """Reads the boxes of a file, or of an object as in `io.boxes.objects`, and joins them with `pyramid`.

    examine is called while the table is there.

    The file's own numbers are let go of when this returns.
    Raises InputError or UsageError, also for boxes that cannot be pooled unless the options say what to do with them.
    """
    name = boxes_of if isinstance(boxes_of, str) else "boxes"
    table, source = read_boxes(name, options.file) if boxes_of is name else boxes_of_object(boxes_of)
    table, left_out = chosen_boxes(table, pyramid, options)
    images = images_of(table, pyramid, options.image_key)
    if options.on_unknown_image == "error":
        refuse_unknown_images(name, table, images, pyramid, options.image_key)
    images, unusable = usable_images(images, pyramid)
    refuse_other_sizes(name, table, images, pyramid, options)
    table = numbered_as(table, images, len(pyramid.image_ids))
    boxes = InputBoxes(table, images, pyramid, options)
    reason = invalid_reasons(boxes, images)
    if options.on_bad_box == "error":
        refuse_bad_boxes(name, table, np.where(reason == UNKNOWN_IMAGE, 0, reason))
    reason[images == UNUSABLE] = UNUSABLE_IMAGE
    examine(table, images, boxes, reason, left_out)
    key = options.image_key or ("index" if table.image_ids is None else "id")
    box_format, normalized = options.box_format or table.box_format, options.normalized or table.normalized
    return JoinedBoxes(
        boxes.in_place(),
        images,
        reason,
        table.columns,
        box_format,
        normalized,
        key,
        source,
        table.rows,
        left_out,
        unusable,
        table.linked,
    )


def usable_images(images: Indices, pyramid: Pyramid) -> tuple[Indices, Mapping[int, str]]:
    """The images (K,) of boxes with UNUSABLE in place of those that are left out, and why these are."""
    unusable = pyramid.unusable(used_images(images, len(pyramid.image_ids)).tolist())
    return np.where(np.isin(images, list(unusable)), UNUSABLE, images) if unusable else images, unusable


def chosen_boxes(table: BoxTable, pyramid: Pyramid, options: BoxOptions) -> tuple[BoxTable, Mapping[str, int]]:
    """The boxes that the options choose, and how many are left out, by reason; raises InputError or UsageError.

    Images are those of the pyramid. Boxes that cannot be pooled have no size, and are not left out for it.
    """
    choice = options.choice
    choosing = Choosing(table, choice)
    choosing.by_file()
    if choice.images is not None:
        images = images_of(choosing.table, pyramid, options.image_key)
        all_known = options.on_unknown_image == "error"
        wanted = known_images(choice.images, pyramid.image_ids, pyramid.location, all_known=all_known)
        asked = np.array([*(name in wanted for name in pyramid.image_ids), False])
        choosing.by_image(asked[images])
    if choice.min_size is not None:
        images, _ = usable_images(images_of(choosing.table, pyramid, options.image_key), pyramid)
        boxes = to_input_pixels(choosing.table, images, pyramid, options)
        choosing.by_size(sizes_or_nan(boxes, invalid_reasons(boxes, images)))
    choosing.by_rank()
    return choosing.table, choosing.left_out


def refuse_other_sizes(name: str, table: BoxTable, images: Indices, pyramid: Pyramid, options: BoxOptions) -> None:
    """Raises InputError where the box file and the pyramid have an image in two sizes, and boxes depend on it."""
    if box_space(pyramid, options) == "original":
        found = other_sizes(table, images, pyramid)
        if found:
            raise InputError(f"{name}: {_list(found[:LISTED], len(found))} (boxes are in pixels of one of the two)")


def invalid_reasons(boxes: RowsOfBoxes, images: Indices) -> NDArray[np.uint8]:
    """Why each box cannot be pooled: 0, or 1 + its index in the reasons of the core, or UNKNOWN_IMAGE."""
    reasons = invalid_box_reasons(boxes)
    reasons[images < 0] = UNKNOWN_IMAGE
    return reasons


def sizes_or_nan(boxes: NDArray[np.float32], reasons: NDArray[np.uint8]) -> NDArray[np.float32]:
    """sqrt(w * h) of boxes (K, 4), (K,) float32; NaN of those that `reasons` (K,) say are invalid."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(reasons == 0, box_sizes(boxes), np.float32(np.nan))


def reason_counts(reasons: NDArray[np.uint8]) -> dict[str, int]:
    """How many boxes are invalid for each of `reasons` (K,) that occurs."""
    counts = np.zeros(UNUSABLE_IMAGE + 1, np.int64)
    for rows in slices(len(reasons)):
        if reasons[rows].any():
            counts += np.bincount(reasons[rows], minlength=UNUSABLE_IMAGE + 1)
    return {_reason(code): int(counts[code]) for code in range(1, UNUSABLE_IMAGE + 1) if counts[code]}


def _reason(code: int) -> str:
    return {UNKNOWN_IMAGE: "image unknown", UNUSABLE_IMAGE: "picture broken"}.get(code) or REASONS[code - 1]


def refuse_unknown_images(name: str, table: BoxTable, images: Indices, pyramid: Pyramid, image_key: str | None) -> None:
    """Raises InputError if a box is of no image of the pyramid: the first few, and what would find their images."""
    bad = np.flatnonzero(images < 0)
    if bad.size:
        listed = [
            f"row {table.row(row)}: image {table.image_name(row)!r} is not in the pyramid"
            for row in bad[:LISTED].tolist()
        ]
        advice = f"{advice_on_unknown(table, pyramid, images, image_key)}; {UNKNOWN_IMAGE_ADVICE}"
        raise InputError(
            f"{name}: expected boxes of images in {pyramid.location}, got {bad.size} of {len(images)} of others: "
            f"{_list(listed, int(bad.size))} ({advice})"
        )


def refuse_bad_boxes(name: str, table: BoxTable, reasons: NDArray[np.uint8]) -> None:
    """Raises InputError if any box is invalid: the first few with their rows, and how many more there are."""
    bad = np.flatnonzero(reasons)
    if bad.size:
        listed = [f"row {table.row(row)}: {_described(table, row, int(reasons[row]))}" for row in bad[:LISTED].tolist()]
        raise InputError(
            f"{name}: expected boxes that can be pooled, got {bad.size} of {len(reasons)} that cannot: "
            f"{_list(listed, int(bad.size))} ({BAD_BOX_ADVICE})"
        )


def _list(listed: list[str], count: int) -> str:
    return "; ".join(listed) + (f"; and {count - len(listed)} more" if count > len(listed) else "")


def _described(table: BoxTable, row: int, code: int) -> str:
    return f"{_reason(code)} ({', '.join(f'{value:g}' for value in table.boxes[row])})"
