"""Boxes over their picture, coloured by level, with labels and a legend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance

from msroi_cli.preview.drawing.colours import WHITE, Colour, ink_on, level_colour
from msroi_cli.preview.drawing.labels import TRIED, placed
from msroi_cli.preview.drawing.legend import draw_legend, legend_rows, level_entries
from msroi_cli.preview.drawing.text import draw_text, line_height, shortened, text_width

LARGEST = 4096
# The least size of the longer side: many boxes and labels need room.
MANY, SMALLEST, SMALLEST_OF_MANY = 100, 480, 1200
# From this many boxes on the picture is paler, so that lines are told from it.
SOME = 20
PALENESS, PALENESS_OF_MANY = 0.45, 0.6
LABEL_SIZE, LONGEST_LABEL = 13, 240


@dataclass(frozen=True, slots=True)
class DrawnBoxes:
    """K boxes of a picture.

    boxes: (K, 4), x1 y1 x2 y2, fractions of the picture's sides. level: (K,), -1 of those that are not pooled.
    names: of the levels. labels: of each box; None: none has one. order: (K,), the most important labels first.
    title: what stands below the picture.
    """

    boxes: NDArray[np.float64]
    level: NDArray[np.int64]
    names: Sequence[str]
    title: str
    labels: Sequence[str] | None = None
    order: NDArray[np.int64] | None = None


def boxes_picture(picture: Image.Image, drawn: DrawnBoxes, resample: Image.Resampling) -> Image.Image:
    """Draws boxes over a picture, whose longer side is made to be between SMALLEST and LARGEST pixels.

    Large boxes are drawn first, so that small ones are seen. Up to MANY have a pale rim. Labels for which there is no
    room are left out, and the title says how many are there.
    """
    count = len(drawn.boxes)
    many = count > MANY
    picture = fitted(picture, SMALLEST_OF_MANY if many or drawn.labels is not None else SMALLEST, resample)
    width, height = picture.size
    ground = _paler(picture, PALENESS_OF_MANY if many else PALENESS) if count >= SOME else picture
    scaled = drawn.boxes * np.array([width, height] * 2)
    _draw_boxes(ground, scaled, drawn.level, line_width(picture.size, count), not many)
    title = drawn.title
    if drawn.labels is not None:
        shown = _draw_labels(ground, scaled, drawn)
        title += "" if shown == count else f", {shown:,} of them labelled"
    return _with_legend(ground, drawn, title)


def _with_legend(picture: Image.Image, drawn: DrawnBoxes, title: str) -> Image.Image:
    width, height = picture.size
    size = min(max(13, round(max(width, height) / 60)), 44)
    counts = [int((drawn.level == index).sum()) for index in range(len(drawn.names))]
    entries = level_entries(counts, drawn.names, int((drawn.level < 0).sum()))
    rows = legend_rows(entries, size, width - size)
    line = line_height(size) + size // 3
    canvas = Image.new("RGB", (width, height + line * (len(rows) + 1) + size // 2), WHITE)
    canvas.paste(picture, (0, 0))
    draw = ImageDraw.Draw(canvas)
    draw_text(draw, (size // 2, height + size // 3), shortened(title, size, width - size), size)
    for index, some in enumerate(rows, start=1):
        draw_legend(draw, (size // 2, height + size // 3 + line * index), some, size)
    return canvas


def _paler(picture: Image.Image, share: float) -> Image.Image:
    """The picture with less colour and contrast."""
    grey = ImageEnhance.Color(picture).enhance(0.5)
    return Image.blend(grey, Image.new("RGB", grey.size, WHITE), share)


def fitted(picture: Image.Image, smallest: int, resample: Image.Resampling) -> Image.Image:
    """The picture in a size that can be looked at: smaller, or larger by a whole number, so that cells stay square."""
    longest = max(picture.size)
    if longest < smallest:
        factor = math.ceil(smallest / longest)
        return picture.resize((picture.width * factor, picture.height * factor), resample)
    if longest > LARGEST:
        share = LARGEST / longest
        size = max(1, round(picture.width * share)), max(1, round(picture.height * share))
        return picture.resize(size, Image.Resampling.LANCZOS)
    return picture.copy()


def _draw_boxes(
    canvas: Image.Image, boxes: NDArray[np.float64], level: NDArray[np.int64], line: int, rim: bool
) -> None:
    draw = ImageDraw.Draw(canvas)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for row in np.argsort(-areas, kind="stable").tolist():
        _draw_box(draw, boxes[row].tolist(), level_colour(int(level[row])), line, rim)


def line_width(size: tuple[int, int], count: int) -> int:
    """The width of the lines of `count` boxes, pixels: the more there are the thinner."""
    share = 400 if count < SOME else 600 if count <= MANY else 1200
    return max(1 if count > MANY else 2, round(max(size) / share))


def _draw_box(draw: ImageDraw.ImageDraw, box: list[float], colour: Colour, line: int, rim: bool) -> None:
    """The outline of a box; with a pale rim, it is seen on any ground."""
    if not all(math.isfinite(side) for side in box):
        return
    # Beyond the picture nothing is seen, and Pillow wants numbers of sane size.
    left, top, right, bottom = (round(min(max(side, -99.0), 2.0 * LARGEST)) for side in box)
    right, bottom = max(left, right), max(top, bottom)
    if rim:
        draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=WHITE, width=line + 2)
    draw.rectangle((left, top, right, bottom), outline=colour, width=line)


def _draw_labels(canvas: Image.Image, boxes: NDArray[np.float64], drawn: DrawnBoxes) -> int:
    """Writes the labels for which there is room; returns how many. Of many boxes those with a label stand out."""
    size = max(LABEL_SIZE, round(max(canvas.size) / 120))
    labels = drawn.labels or ()
    order = (np.arange(len(labels)) if drawn.order is None else drawn.order)[:TRIED]
    texts = {row: shortened(labels[row], size, LONGEST_LABEL) for row in order.tolist()}
    pad = max(2, size // 5)
    sizes = np.zeros((len(labels), 2))
    for row, text in texts.items():
        sizes[row] = text_width(text, size) + 2 * pad, line_height(size)
    corners = placed(boxes, sizes, canvas.size, order)
    shown = np.flatnonzero(np.isfinite(corners[:, 0]))
    if len(boxes) > MANY:
        _draw_boxes(canvas, boxes[shown], drawn.level[shown], line_width(canvas.size, MANY), rim=True)
    draw = ImageDraw.Draw(canvas)
    for row in shown.tolist():
        colour = level_colour(int(drawn.level[row]))
        left, top = corners[row].tolist()
        width, height = sizes[row].tolist()
        draw.rectangle((left, top, left + width - 1, top + height - 1), fill=colour)
        draw_text(draw, (left + pad, top), texts[row], size, ink_on(colour))
    return len(shown)
