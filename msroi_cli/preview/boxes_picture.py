"""Boxes over their picture, coloured by level, with a legend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from msroi_cli.preview.heat import coloured, mean_of, range_of
from msroi_cli.preview.style import (
    GREY,
    INK,
    WHITE,
    Colour,
    font,
    legend,
    legend_width,
    level_colour,
    new_picture,
    shortened,
)

LARGEST = 4096
# The least size of the longer side: many boxes need room.
MANY, SMALLEST, SMALLEST_OF_MANY = 100, 480, 1200


def heat_picture(features: NDArray[Any]) -> Image.Image:
    """The mean of the channels of a map (C, H, W) as a picture, one pixel a cell."""
    values = mean_of(features, 0)
    return Image.fromarray(coloured(values, *range_of(values)))


def boxes_picture(
    picture: Image.Image, boxes: NDArray[np.float64], level: NDArray[np.int64], names: Sequence[str], title: str
) -> Image.Image:
    """Draws boxes (K, 4), in fractions of the picture's sides, over a picture.

    level: (K,), the colour of each, -1 grey. names: of the levels. The picture is made larger or smaller so that its
    longer side is between SMALLEST and LARGEST pixels. Large boxes are drawn first, so that small ones are seen; a few
    have a pale rim.
    """
    many = len(boxes) > MANY
    picture = fitted(picture, SMALLEST_OF_MANY if many else SMALLEST)
    width, height = picture.size
    size = min(max(13, round(max(width, height) / 60)), 44)
    entries = _entries(level, names)
    rows = _legend_rows(entries, size, width - size)
    canvas, draw = new_picture(width, height + round(size * 1.7) * (len(rows) + 1))
    canvas.paste(picture, (0, 0))
    scaled = boxes * np.array([width, height] * 2)
    line = max(1, round(max(width, height) / 1000)) if many else max(2, round(max(width, height) / 400))
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for row in np.argsort(-areas, kind="stable").tolist():
        _draw_box(draw, scaled[row].tolist(), level_colour(int(level[row])), line, not many)
    draw.rectangle((0, height, width, canvas.height), fill=WHITE)
    draw.text((size // 2, height + size // 2), shortened(title, size, width - size), INK, font(size))
    for index, some in enumerate(rows, start=1):
        legend(draw, (size // 2, height + size // 2 + round(size * 1.6) * index), some, size)
    return canvas


def fitted(picture: Image.Image, smallest: int) -> Image.Image:
    """The picture in a size that can be looked at: smaller, or larger by a whole number, so that cells stay square."""
    longest = max(picture.size)
    if longest < smallest:
        factor = math.ceil(smallest / longest)
        return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    if longest > LARGEST:
        share = LARGEST / longest
        size = max(1, round(picture.width * share)), max(1, round(picture.height * share))
        return picture.resize(size, Image.Resampling.LANCZOS)
    return picture


def _entries(level: NDArray[np.int64], names: Sequence[str]) -> list[tuple[Colour, str]]:
    entries = [(level_colour(index), f"{name}: {int((level == index).sum()):,}") for index, name in enumerate(names)]
    bad = int((level < 0).sum())
    return [*entries, (GREY, f"not pooled: {bad:,}")] if bad else entries


def _legend_rows(entries: list[tuple[Colour, str]], size: int, width: int) -> list[list[tuple[Colour, str]]]:
    """The entries in rows that are no wider than `width`, one entry at least in each."""
    rows: list[list[tuple[Colour, str]]] = []
    for colour, text in entries:
        if rows and legend_width([*rows[-1], (colour, text)], size) <= width:
            rows[-1].append((colour, text))
        else:
            rows.append([(colour, shortened(text, size, width - 2 * size))])
    return rows


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
