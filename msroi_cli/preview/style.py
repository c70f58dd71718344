"""What all pictures share: colours, fonts, and text that is where it should be."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
INK: Colour = (34, 34, 34)
GREY: Colour = (120, 120, 120)
PALE: Colour = (226, 226, 226)

# Colours that people with any colour vision tell apart: Okabe and Ito, "Color Universal Design" (2008).
LEVEL_COLOURS: tuple[Colour, ...] = (
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (213, 94, 0),
    (86, 180, 233),
    (240, 228, 66),
)


def level_colour(level: int) -> Colour:
    """The colour of a level; grey where there is none."""
    return LEVEL_COLOURS[level % len(LEVEL_COLOURS)] if level >= 0 else GREY


@lru_cache(maxsize=16)
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, which is there wherever Pillow is."""
    return ImageFont.load_default(size)


def text_size(text: str, size: int) -> tuple[int, int]:
    """The (width, height) that a line takes, in pixels."""
    left, top, right, bottom = font(size).getbbox(text, anchor="la") if text else (0, 0, 0, 0)
    return round(right - min(left, 0)), round(bottom - min(top, 0))


def shortened(text: str, size: int, width: int) -> str:
    """The text, or as much of its beginning as is no wider than `width` pixels, with dots."""
    if text_size(text, size)[0] <= width:
        return text
    while text and text_size(text + "...", size)[0] > width:
        text = text[:-1]
    return text + "..."


def new_picture(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A white picture, and what draws on it."""
    picture = Image.new("RGB", (width, height), WHITE)
    return picture, ImageDraw.Draw(picture)


def legend(draw: ImageDraw.ImageDraw, at: tuple[int, int], entries: Sequence[tuple[Colour, str]], size: int) -> None:
    """Draws coloured squares with what they mean, one after the other to the right of `at`, the top left corner."""
    x, y = at
    side = round(size * 0.8)
    for colour, text in entries:
        draw.rectangle((x, y + (size - side) // 2 + 2, x + side, y + (size + side) // 2 + 2), fill=colour)
        draw.text((x + side + size // 3, y), text, INK, font(size))
        x += legend_width([(colour, text)], size)


def legend_width(entries: Sequence[tuple[Colour, str]], size: int) -> int:
    """How wide `legend` is, in pixels, the gap behind it included."""
    return sum(round(size * 0.8) + size // 3 + text_size(text, size)[0] + size for _, text in entries)
