"""The colours of all pictures."""

from __future__ import annotations

Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
INK: Colour = (34, 34, 34)
GREY: Colour = (120, 120, 120)
PALE: Colour = (226, 226, 226)
MISSING: Colour = (200, 60, 60)

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


def ink_on(ground: Colour) -> Colour:
    """White or dark, whichever is read better on `ground`; source: relative luminance, ITU-R BT.709."""
    red, green, blue = ground
    return INK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 140 else WHITE
