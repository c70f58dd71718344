"""What explains a picture: squares of colour with what they mean, and bars of colour with their range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from msroi_cli.preview.drawing.colours import GREY, INK, MISSING, Colour, level_colour
from msroi_cli.preview.drawing.heat import coloured
from msroi_cli.preview.drawing.text import draw_text, line_height, shortened, text_width

Entry = tuple[Colour, str]


@dataclass(frozen=True, slots=True)
class ColourRange:
    """The values of the darkest and of the lightest colour, and whether any value is not finite."""

    low: float
    high: float
    missing: bool = False


def level_entries(counts: Sequence[int], names: Sequence[str], without: int = 0) -> list[Entry]:
    """One entry a level with how many there are of it, and one for those `without` a level."""
    entries = [
        (level_colour(index), f"{name}: {count:,}")
        for index, (name, count) in enumerate(zip(names, counts, strict=True))
    ]
    return [*entries, (GREY, f"not pooled: {without:,}")] if without else entries


def legend_rows(entries: Sequence[Entry], size: int, width: int) -> list[list[Entry]]:
    """The entries in rows that are no wider than `width`, one entry at least in each."""
    rows: list[list[Entry]] = []
    for colour, text in entries:
        if rows and sum(_entry_width(one, size) for one in [*rows[-1], (colour, text)]) - size <= width:
            rows[-1].append((colour, text))
        else:
            rows.append([(colour, shortened(text, size, width - 2 * size))])
    return rows


def draw_legend(draw: ImageDraw.ImageDraw, at: tuple[int, int], entries: Sequence[Entry], size: int) -> None:
    """Draws the entries one after the other to the right of `at`, the top left corner; a line is `line_height` high."""
    x, y = at
    side = round(size * 0.8)
    for colour, text in entries:
        top = y + size - side
        draw.rectangle((x, top, x + side, top + side), fill=colour)
        draw_text(draw, (x + side + size // 3, y), text, size)
        x += _entry_width((colour, text), size)


def _entry_width(entry: Entry, size: int) -> int:
    return round(size * 0.8) + size // 3 + text_width(entry[1], size) + size


def colour_bar_height(size: int) -> int:
    """The height of a colour bar with its numbers, in pixels."""
    return round(size * 0.8) + line_height(size)


def draw_colour_bar(canvas: Image.Image, at: tuple[int, int], width: int, shown: ColourRange, size: int) -> None:
    """Draws a bar from the darkest to the lightest colour, its ends and middle in numbers below."""
    draw = ImageDraw.Draw(canvas)
    x, y = at
    thick = round(size * 0.8)
    bar = coloured(np.linspace(0, 1, width)[None], 0, 1)
    canvas.paste(Image.fromarray(bar).resize((width, thick), Image.Resampling.NEAREST), (x, y))
    middle = shown.low / 2 + shown.high / 2
    texts = [f"{value:.3g}" for value in (shown.low, middle, shown.high)]
    widths = [text_width(text, size) for text in texts]
    places = (x, x + (width - widths[1]) // 2, x + width - widths[2])
    room = sum(widths) + 2 * size <= width
    for index, (text, place) in enumerate(zip(texts, places, strict=True)):
        if room or index != 1:
            draw_text(draw, (place, y + thick), text, size, INK)
    if shown.missing:
        draw_legend(draw, (x + width + size, y), [(MISSING, "not finite")], size)
