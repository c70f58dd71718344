"""The levels of an image side by side, each as large as the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from msroi_cli.preview.drawing.colours import GREY, PALE, WHITE
from msroi_cli.preview.drawing.legend import ColourRange, colour_bar_height, draw_colour_bar
from msroi_cli.preview.drawing.text import draw_text, line_height, shortened

GAP, MARGIN, SIZE, TITLE_SIZE = 16, 16, 14, 18
LONGEST_SIDE = 400
WIDEST = 2600
LEAST_WIDTH = 160


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture that spans (left, top, right, bottom), fractions of the panel, with two lines and a range below."""

    picture: Image.Image
    span: tuple[float, float, float, float]
    resample: Image.Resampling
    lines: tuple[str, str]
    range: ColourRange | None = None


def panels_picture(panels: Sequence[Panel], size: tuple[float, float], title: str) -> Image.Image:
    """Draws the panels from left to right, many in several rows; size: what a panel shows, (width, height)."""
    share = LONGEST_SIDE / max(size)
    inner = max(1, round(size[0] * share)), max(1, round(size[1] * share))
    width = max(inner[0], LEAST_WIDTH) + GAP
    bar = colour_bar_height(SIZE) + 4 if any(panel.range for panel in panels) else 0
    height = inner[1] + 4 + 2 * line_height(SIZE) + bar + GAP
    columns = min(len(panels), max(1, WIDEST // width))
    # Rows of about the same length.
    columns = math.ceil(len(panels) / math.ceil(len(panels) / columns))
    head = MARGIN + line_height(TITLE_SIZE) + 8
    rows = math.ceil(len(panels) / columns)
    sheet = Image.new("RGB", (2 * MARGIN + columns * width - GAP, head + rows * height + MARGIN - GAP), WHITE)
    draw = ImageDraw.Draw(sheet)
    draw_text(draw, (MARGIN, MARGIN - 4), shortened(title, TITLE_SIZE, sheet.width - 2 * MARGIN), TITLE_SIZE)
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        _draw_panel(sheet, panel, (MARGIN + column * width, head + row * height), inner, width - GAP)
    return sheet


def _draw_panel(sheet: Image.Image, panel: Panel, at: tuple[int, int], inner: tuple[int, int], width: int) -> None:
    left, top = at
    frame = Image.new("RGB", inner, PALE)
    x1, y1, x2, y2 = (
        round(min(max(side, -1.0), 3.0) * extent) for side, extent in zip(panel.span, inner * 2, strict=True)
    )
    frame.paste(panel.picture.resize((max(1, x2 - x1), max(1, y2 - y1)), panel.resample), (x1, y1))
    sheet.paste(frame, at)
    draw = ImageDraw.Draw(sheet)
    below = top + inner[1] + 4
    draw_text(draw, (left, below), shortened(panel.lines[0], SIZE, width), SIZE)
    draw_text(draw, (left, below + line_height(SIZE)), shortened(panel.lines[1], SIZE, width), SIZE, GREY)
    if panel.range:
        draw_colour_bar(sheet, (left, below + 2 * line_height(SIZE) + 2), min(width, 220), panel.range, SIZE - 2)
