"""One panel of a chart: scales, ticks, and the marks that charts need."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import ImageDraw

from msroi_cli.preview.style import GREY, INK, PALE, WHITE, Colour, font, text_size

TITLE_SIZE, LABEL_SIZE, TICK_SIZE = 17, 14, 13
TEXT_ROWS = 8


@dataclass(frozen=True, slots=True)
class Scale:
    """What an axis shows: from `low` to `high`, evenly or by factors, with a tick and its text at some values."""

    low: float
    high: float
    ticks: Sequence[float]
    texts: Sequence[str]
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Where a value is between the ends, 0 to 1."""
        way: Callable[[float], float] = math.log if self.logarithmic else float
        low, high = way(self.low), way(self.high)
        return (way(value) - low) / (high - low)


def even_scale(low: float, high: float, most: int = 6) -> Scale:
    """A scale with at most about `most` ticks at round numbers; `high` is moved up to one if `low` is 0."""
    step = _round_step((high - low) / max(1, most - 1))
    if low == 0:
        high = max(high, step * math.ceil(high / step - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    ticks = [number * step for number in range(first, last + 1)]
    return Scale(low, high, ticks, [plain(tick) for tick in ticks])


def doubling_scale(low: float, high: float) -> Scale:
    """A scale by factors, with ticks at powers of two, all of them or every other."""
    first, last = math.floor(math.log2(low)), math.ceil(math.log2(high))
    last = max(last, first + 1)
    step = max(1, math.ceil((last - first) / 12))
    ticks = [2.0**power for power in range(first, last + 1, step)]
    return Scale(2.0**first, 2.0**last, ticks, [plain(tick) for tick in ticks], logarithmic=True)


def tenfold_scale(low: float, high: float) -> Scale:
    """A scale by factors, with ticks at powers of ten."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)
    ticks = [10.0**power for power in range(first, last + 1)]
    return Scale(10.0**first, 10.0**last, ticks, [plain(tick) for tick in ticks], logarithmic=True)


def _round_step(step: float) -> float:
    """The smallest 1, 2 or 5 times a power of ten that is no smaller."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


def plain(value: float) -> str:
    """A number as people write it: 0.25, 1,500, 2.5M."""
    for factor, unit in ((1e9, "G"), (1e6, "M")):
        if factor <= abs(value) < 1e12:
            return f"{value / factor:.3g}{unit}"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.4g}"


class Axes:
    """A panel in the rectangle (left, top, right, bottom), in pixels, which the marks fill; ticks stand outside."""

    def __init__(self, draw: ImageDraw.ImageDraw, area: tuple[int, int, int, int], x: Scale, y: Scale) -> None:
        self._draw = draw
        self.left, self.top, self.right, self.bottom = area
        self._x, self._y = x, y

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a point is, in pixels; clipped to the panel."""
        across, up = (min(max(share, 0.0), 1.0) for share in (self._x.share(x), self._y.share(y)))
        return self.left + across * (self.right - self.left), self.bottom - up * (self.bottom - self.top)

    def frame(self, title: str, x_label: str, y_label: str) -> None:
        """Draws the title, the grid, the ticks and what the axes mean."""
        draw = self._draw
        draw.text((self.left, self.top - 14), title, INK, font(TITLE_SIZE), anchor="ls")
        for value, text in zip(self._y.ticks, self._y.texts, strict=True):
            _, y = self.place(self._x.low, value)
            draw.line((self.left, y, self.right, y), PALE)
            draw.text((self.left - 8, y), text, GREY, font(TICK_SIZE), anchor="rm")
        for value, text in zip(self._x.ticks, self._x.texts, strict=True):
            x, _ = self.place(value, self._y.low)
            draw.line((x, self.bottom, x, self.bottom + 5), GREY)
            draw.text((x, self.bottom + 8), text, GREY, font(TICK_SIZE), anchor="ma")
        draw.line((self.left, self.bottom, self.right, self.bottom), GREY)
        draw.text((self.right, self.bottom + 28), x_label, INK, font(LABEL_SIZE), anchor="ra")
        draw.text((self.right, self.top - 14), y_label, INK, font(LABEL_SIZE), anchor="rs")

    def bar(self, x0: float, x1: float, y0: float, y1: float, colour: Colour) -> None:
        """Fills the part of the panel between two values of each axis."""
        left, bottom = self.place(x0, y0)
        right, top = self.place(x1, y1)
        if y1 > y0:
            self._draw.rectangle((left + 1, min(top, bottom - 1), max(right - 1, left + 1), bottom - 1), fill=colour)

    def steps(self, edges: Sequence[float], heights: Sequence[float], colour: Colour) -> None:
        """Draws the outline of a histogram, with gaps where the height is 0."""
        points: list[tuple[float, float]] = []
        for low, high, height in [*zip(edges, edges[1:], heights, strict=False), (edges[-1], edges[-1], 0.0)]:
            if height:
                points += [self.place(low, height), self.place(high, height)]
            elif points:
                self._draw.line(points, colour, 2)
                points = []

    def uprights(self, marks: Sequence[tuple[float, str]]) -> None:
        """Draws dashed lines at some values, with their texts beside them, each in a row of its own."""
        for x, _ in marks:
            at, _ = self.place(x, self._y.low)
            for y in range(self.top, self.bottom, 8):
                self._draw.line((at, y, at, min(y + 4, self.bottom)), INK)
        for row, (x, text) in enumerate(marks):
            at, _ = self.place(x, self._y.low)
            width, height = text_size(text, TICK_SIZE)
            left = at + 5 if at + 8 + width <= self.right else at - 5 - width
            top = self.top + 2 + row % TEXT_ROWS * (TICK_SIZE + 7)
            self._draw.rectangle((left - 3, top - 2, left + width + 3, top + height + 3), WHITE, PALE)
            self._draw.text((left, top), text, INK, font(TICK_SIZE))

    def note(self, text: str) -> None:
        """Writes in the middle of the panel."""
        middle = (self.left + self.right) / 2, (self.top + self.bottom) / 2
        self._draw.text(middle, text, GREY, font(LABEL_SIZE), anchor="mm")
