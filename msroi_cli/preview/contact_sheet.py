"""A contact sheet of crops: each as a heat map, beside its box's cut of the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from msroi_cli.preview.heat import Pixels
from msroi_cli.preview.style import INK, PALE, font, level_colour, new_picture, shortened

TILE, GAP, CAPTION, MARGIN = 112, 14, 20, 16
LARGEST_SIDE = 4096


@dataclass(frozen=True, slots=True)
class Tile:
    """One crop: its heat map (H, W, 3), the cut of the picture or None, its level and what is written below."""

    heat: Pixels
    cut: Image.Image | None
    level: int
    caption: str


def columns_of(count: int, width: int, height: int) -> int:
    """How many tiles, of width x height pixels, go into a row so that the sheet is about 4:3."""
    return max(1, min(count, round(math.sqrt(count * 4 / 3 * height / width)), (LARGEST_SIDE - 2 * MARGIN) // width))


def contact_sheet(tiles: Sequence[Tile], title: str) -> Image.Image:
    """Draws the tiles row after row, in their order; a bar in the colour of its level is above each."""
    pair = any(tile.cut is not None for tile in tiles)
    width = TILE * (2 if pair else 1) + (4 if pair else 0) + GAP
    height = TILE + CAPTION + GAP + 6
    columns = columns_of(max(1, len(tiles)), width, height)
    rows = math.ceil(len(tiles) / columns)
    sheet, draw = new_picture(max(2 * MARGIN + columns * width, 400), 2 * MARGIN + 34 + rows * height)
    draw.text((MARGIN, MARGIN), shortened(title, 17, sheet.width - 2 * MARGIN), INK, font(17))
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        _draw_tile(sheet, draw, tile, (MARGIN + column * width, MARGIN + 34 + row * height), width - GAP)
    return sheet


def _draw_tile(sheet: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, at: tuple[int, int], width: int) -> None:
    left, top = at
    draw.rectangle((left, top, left + width - 1, top + 3), fill=level_colour(tile.level))
    _paste(sheet, draw, Image.fromarray(tile.heat), (left, top + 6), Image.Resampling.NEAREST)
    if tile.cut is not None:
        _paste(sheet, draw, tile.cut, (left + TILE + 4, top + 6), Image.Resampling.LANCZOS)
    draw.text((left, top + 6 + TILE + 3), shortened(tile.caption, 12, width), INK, font(12))


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
