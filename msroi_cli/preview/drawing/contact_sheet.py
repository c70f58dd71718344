"""A contact sheet of crops: each as a heat map, beside its box's cut of the picture, with what explains it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from msroi_cli.preview.drawing.colours import GREY, INK, PALE, WHITE, level_colour
from msroi_cli.preview.drawing.heat import Pixels
from msroi_cli.preview.drawing.legend import (
    ColourRange,
    Entry,
    colour_bar_height,
    draw_colour_bar,
    draw_legend,
    legend_rows,
)
from msroi_cli.preview.drawing.text import draw_text, line_height, shortened, shortened_inside

TILE, GAP, MARGIN = 112, 14, 16
CAPTION_SIZE, TITLE_SIZE, LEGEND_SIZE = 12, 17, 13
BAR, LEAST_WIDTH = 220, 400
LARGEST_SIDE = 4096


@dataclass(frozen=True, slots=True)
class Tile:
    """One crop: its heat map (H, W, 3), the cut of the picture or None, its level and the two lines below."""

    heat: Pixels
    cut: Image.Image | None
    level: int
    lines: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What stands around the tiles: a title, words on the colours and their range if they have one, the levels."""

    title: str
    words: str
    range: ColourRange | None
    levels: Sequence[Entry]


def columns_of(count: int, width: int, height: int) -> int:
    """How many tiles, of width x height pixels, go into a row so that the sheet is about 4:3."""
    return max(1, min(count, round(math.sqrt(count * 4 / 3 * height / width)), (LARGEST_SIDE - 2 * MARGIN) // width))


def contact_sheet(tiles: Sequence[Tile], explanation: Explanation) -> Image.Image:
    """Draws the tiles row after row, in their order; a bar in the colour of its level is above each."""
    pair = any(tile.cut is not None for tile in tiles)
    width = TILE * (2 if pair else 1) + (4 if pair else 0) + GAP
    height = 6 + TILE + 2 * line_height(CAPTION_SIZE) + GAP
    columns = columns_of(max(1, len(tiles)), width, height)
    rows = math.ceil(len(tiles) / columns)
    wide = max(2 * MARGIN + columns * width - GAP, LEAST_WIDTH)
    head = _head(explanation, wide)
    sheet = Image.new("RGB", (wide, head.height + rows * height + MARGIN - GAP), WHITE)
    sheet.paste(head, (0, 0))
    draw = ImageDraw.Draw(sheet)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        _draw_tile(sheet, draw, tile, (MARGIN + column * width, head.height + row * height), width - GAP)
    return sheet


def _head(explanation: Explanation, width: int) -> Image.Image:
    """The title, the words on the colours, the bar of colours and the levels."""
    inner = width - 2 * MARGIN
    entries = legend_rows(explanation.levels, LEGEND_SIZE, inner)
    line = line_height(LEGEND_SIZE) + 2
    bar = colour_bar_height(LEGEND_SIZE) + 4 if explanation.range else 0
    below = MARGIN + line_height(TITLE_SIZE) + line
    head = Image.new("RGB", (width, below + bar + line * len(entries) + 8), WHITE)
    draw = ImageDraw.Draw(head)
    draw_text(draw, (MARGIN, MARGIN - 4), shortened(explanation.title, TITLE_SIZE, inner), TITLE_SIZE)
    draw_text(draw, (MARGIN, below - line), shortened(explanation.words, LEGEND_SIZE, inner), LEGEND_SIZE)
    if explanation.range:
        draw_colour_bar(head, (MARGIN, below + 4), BAR, explanation.range, LEGEND_SIZE)
    for index, some in enumerate(entries):
        draw_legend(draw, (MARGIN, below + bar + line * index), some, LEGEND_SIZE)
    return head


def _draw_tile(sheet: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, at: tuple[int, int], width: int) -> None:
    left, top = at
    draw.rectangle((left, top, left + width - 1, top + 3), fill=level_colour(tile.level))
    _paste(sheet, draw, Image.fromarray(tile.heat), (left, top + 6), Image.Resampling.NEAREST)
    if tile.cut is not None:
        _paste(sheet, draw, tile.cut, (left + TILE + 4, top + 6), Image.Resampling.LANCZOS)
    below = top + 6 + TILE
    ways = ((INK, shortened_inside), (GREY, shortened))
    for index, (text, (colour, shorten)) in enumerate(zip(tile.lines, ways, strict=True)):
        place = (left, below + index * line_height(CAPTION_SIZE))
        draw_text(draw, place, shorten(text, CAPTION_SIZE, width), CAPTION_SIZE, colour)


def _paste(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, picture: Image.Image, at: tuple[int, int], how: Image.Resampling
) -> None:
    """Puts a picture in the middle of the square at `at`, as large as it fits."""
    left, top = at
    draw.rectangle((left, top, left + TILE - 1, top + TILE - 1), fill=PALE)
    share = TILE / max(picture.size)
    size = max(1, round(picture.width * share)), max(1, round(picture.height * share))
    sheet.paste(picture.resize(size, how), (left + (TILE - size[0]) // 2, top + (TILE - size[1]) // 2))


def cut_of(picture: Image.Image, box: Sequence[float]) -> Image.Image | None:
    """The part of a picture that a box (x1, y1, x2, y2), in fractions of its sides, has; None where it has none.

    Very large cuts are sampled and not copied whole.
    """
    if not np.isfinite(box).all():
        return None
    width, height = picture.size
    left, right = (min(max(side * width, 0.0), width) for side in (box[0], box[2]))
    top, bottom = (min(max(side * height, 0.0), height) for side in (box[1], box[3]))
    left, top, right, bottom = math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)
    if right <= left or bottom <= top:
        return None
    cut = picture.crop((left, top, right, bottom))
    cut.thumbnail((4 * TILE, 4 * TILE))
    return cut
