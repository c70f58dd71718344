"""Text in pictures, of any script that a font is at hand for; characters of others are escaped."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from PIL import ImageDraw, ImageFont, features

from msroi_cli.preview.drawing.colours import INK, Colour

# The packages of the extra `fonts`: for scripts that Pillow's own font lacks.
FONT_PACKAGES = ("manimgx_fonts", "noto_cjk_sans_otc")
FONT_SUFFIXES = (".ttf", ".otf", ".ttc")

# No font has a glyph for this code point, so that it looks as all that a font lacks.
_LACKING = "\U0010fffe"
_TESTED_SIZE = 16
LONGEST = 400


@dataclass(frozen=True, slots=True)
class Run:
    """Neighboring characters of one font. file: the font's, None for Pillow's own."""

    text: str
    file: Path | None


@lru_cache(maxsize=256)
def font(size: int, file: Path | None = None) -> ImageFont.FreeTypeFont:
    """A font; without a file Pillow's own, which is there wherever Pillow is."""
    return (
        cast(ImageFont.FreeTypeFont, ImageFont.load_default(size))
        if file is None
        else ImageFont.truetype(str(file), size)
    )


@lru_cache(maxsize=1)
def font_files() -> tuple[Path, ...]:
    """The fonts of the packages that are installed, those of many scripts first."""
    found = []
    for package in FONT_PACKAGES:
        spec = find_spec(package)
        folders = [] if spec is None else [Path(folder) for folder in spec.submodule_search_locations or ()]
        files = [file for folder in folders for file in folder.iterdir() if file.suffix.lower() in FONT_SUFFIXES]
        found += sorted((file for file in files if "Italic" not in file.name), key=lambda file: file.stem.split("[")[0])
    return tuple(found)


@lru_cache(maxsize=1 << 14)
def has_glyph(file: Path | None, character: str) -> bool:
    """Whether a font can show a character, in its place where a script needs that."""
    if not character.isprintable() or (_needs_layout(character) and not features.check("raqm")):
        return False
    looks = font(_TESTED_SIZE, file).getmask(character)
    lacking = font(_TESTED_SIZE, file).getmask(_LACKING)
    if not looks.size[0] * looks.size[1]:
        return unicodedata.category(character) == "Zs"
    return bool(looks.size != lacking.size or bytes(looks) != bytes(lacking))


def _needs_layout(character: str) -> bool:
    """Whether a character is written from right to left, or joined with others."""
    return unicodedata.bidirectional(character) in ("R", "AL") or unicodedata.category(character).startswith("M")


@lru_cache(maxsize=4096)
def runs_of(text: str) -> tuple[Run, ...]:
    """A line of text as runs: in one font if one has all of it, else each character in the first font that has it."""
    fonts = (None, *font_files())
    for file in fonts:
        if all(has_glyph(file, character) for character in text):
            return (Run(text, file),)
    return tuple(run for run in _joined(text, fonts) if run.text)


def _joined(text: str, fonts: tuple[Path | None, ...]) -> Iterator[Run]:
    """Runs of characters; what is no letter belongs to a run only between letters of it, as it has no direction."""
    current, words, between = fonts[0], "", ""
    for character in text:
        first = next((file for file in fonts if has_glyph(file, character)), None)
        shown = character if has_glyph(first, character) else character.encode("unicode_escape").decode()
        if first is None and current is not None and has_glyph(current, character) and not character.isalpha():
            between += character
        elif first == current:
            words, between = words + between + shown, ""
        else:
            yield Run(words, current)
            if between:
                yield Run(between, None)
            current, words, between = first, shown, ""
    yield Run(words, current)
    if between:
        yield Run(between, None)


def text_width(text: str, size: int) -> int:
    """How wide a line is, in pixels."""
    return sum(_length(run, size) for run in runs_of(text))


def _length(run: Run, size: int) -> int:
    drawn = font(size, run.file)
    left, _, right, _ = drawn.getbbox(run.text) if run.text else (0, 0, 0, 0)
    return round(max(right - min(left, 0), drawn.getlength(run.text)))


def line_height(size: int) -> int:
    """The height of a line, in pixels, with the room that letters below the line need."""
    return round(size * 1.3)


def draw_text(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int, colour: Colour = INK) -> None:
    """Draws a line of text to the right of `at`, the top left corner of its room of `line_height`."""
    x, y = at
    for run in runs_of(text):
        draw.text((x, y + size), run.text, colour, font(size, run.file), anchor="ls")
        x += _length(run, size)


def shortened(text: str, size: int, width: int) -> str:
    """The text, or as much of its beginning as is no wider than `width` pixels, with dots."""
    if len(text) <= LONGEST and text_width(text, size) <= width:
        return text
    fits = bisect_left(
        range(1, min(len(text), LONGEST) + 1), True, key=lambda end: text_width(text[:end] + "...", size) > width
    )
    return text[:fits] + "..."


def shortened_inside(text: str, size: int, width: int) -> str:
    """The text, or a third of what fits from its beginning and the rest from its end: ids differ there."""
    if len(text) <= LONGEST and text_width(text, size) <= width:
        return text

    def cut(kept: int) -> str:
        head = kept // 3
        return f"{text[:head]}...{text[len(text) - kept + head :]}"

    fits = bisect_left(range(1, min(len(text), LONGEST)), True, key=lambda kept: text_width(cut(kept), size) > width)
    return cut(fits)
