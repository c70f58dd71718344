"""Resize rules: from the size of a picture to the size it is resized to, and where it lies in the network's input."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from msroi_cli.errors import ArgumentError

Size = tuple[int, int]
"""(width, height) in pixels."""

EXPECTED = "shortest=800,longest=1333 or WxH or letterbox=640"
LARGEST_SIDE = 1 << 16
GREY = 114


@dataclass(frozen=True, slots=True)
class Placement:
    """A picture is resized to `size` and put at `corner` (left, top) of a canvas of size `canvas`."""

    size: Size
    canvas: Size
    corner: Size = (0, 0)


@dataclass(frozen=True, slots=True)
class Sides:
    """The aspect is kept: the shorter side becomes `shortest`, or less where the longer would exceed `longest`.

    Either may be None. rounding: of the other side, one of ROUNDINGS.
    """

    shortest: int | None
    longest: int | None = None
    rounding: str = "half up"

    def place(self, size: Size) -> Placement:
        """The placement of a picture of size (width, height)."""
        sides = ROUNDINGS[self.rounding](size, self.shortest, self.longest)
        return Placement(sides, sides)


def _half_up(size: Size, shortest: int | None, longest: int | None) -> Size:
    """As detectron2's ResizeShortestEdge and, with `longest` alone, SAM's ResizeLongestSide."""
    targets = ((shortest, min(size)), (longest, max(size)))
    target, fixed = min(((new, old) for new, old in targets if new is not None), key=lambda pair: pair[0] / pair[1])
    scale = target / fixed
    width, height = (target if side == fixed else max(1, math.floor(side * scale + 0.5)) for side in size)
    return width, height


def _cut(size: Size, shortest: int | None, longest: int | None) -> Size:
    """As Hugging Face's get_resize_output_image_size and, with both sides, DETR's get_size_with_aspect_ratio."""
    if shortest is None:
        raise ArgumentError("shortest: expected a number of pixels with this rounding, got none")
    short, long = min(size), max(size)
    target, exact = shortest, float(shortest)
    if longest is not None and long / short * shortest > longest:
        exact = longest * short / long
        target = round(exact)
    if short == target:
        return size
    target, other = max(1, target), max(1, int(exact * long / short))
    return (target, other) if size[0] < size[1] else (other, target)


ROUNDINGS: Mapping[str, Callable[[Size, int | None, int | None], Size]] = {"half up": _half_up, "cut": _cut}


@dataclass(frozen=True, slots=True)
class Exact:
    """Every picture becomes `size` (width, height), whatever its aspect."""

    size: Size

    def place(self, size: Size) -> Placement:
        """The placement of any picture."""
        return Placement(self.size, self.size)


@dataclass(frozen=True, slots=True)
class Letterbox:
    """The aspect is kept and the picture fits in `size`, centred; the rest is `fill` (0 to 255), as YOLO has it."""

    size: Size
    fill: int = GREY

    def place(self, size: Size) -> Placement:
        """The placement of a picture of size (width, height)."""
        scale = min(self.size[0] / size[0], self.size[1] / size[1])
        width, height = (
            min(most, max(1, math.floor(side * scale + 0.5))) for side, most in zip(size, self.size, strict=True)
        )
        return Placement((width, height), self.size, ((self.size[0] - width) // 2, (self.size[1] - height) // 2))


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Pictures keep their size."""

    def place(self, size: Size) -> Placement:
        """The placement of a picture of size (width, height)."""
        return Placement(size, size)


Resize = Sides | Exact | Letterbox | Unchanged


def parse_resize(text: str) -> Resize:
    """`shortest=800,longest=1333`, `longest=1024`, `640x480`, `letterbox=640`, `letterbox=640x384,fill=0`.

    Raises ArgumentError that says what was expected.
    """
    if re.fullmatch(r"\d+x\d+", text):
        return Exact(_size(text, text))
    values = dict(re.findall(r"(shortest|longest|letterbox|fill)=(\d+(?:x\d+)?)(?:,|$)", text))
    if ",".join(f"{key}={value}" for key, value in values.items()) != text:
        raise ArgumentError(f"expected {EXPECTED}, got {text[:60]!r}")
    if set(values) <= {"shortest", "longest"} and values:
        short, long = (_side(values[key], text) if key in values else None for key in ("shortest", "longest"))
        return Sides(short, long)
    if "letterbox" in values and set(values) <= {"letterbox", "fill"}:
        fill = values.get("fill", str(GREY))
        if "x" in fill or int(fill[:4]) > 255:
            raise ArgumentError(f"expected fill from 0 to 255, got {text[:60]!r}")
        return Letterbox(_size(values["letterbox"], text), int(fill))
    raise ArgumentError(f"expected {EXPECTED}, got {text[:60]!r}")


def resize_text(resize: Resize) -> str | None:
    """A rule as `parse_resize` reads it; None for Unchanged. The rounding of `Sides` is not part of it."""
    if isinstance(resize, Sides):
        sides = (("shortest", resize.shortest), ("longest", resize.longest))
        return ",".join(f"{name}={side}" for name, side in sides if side is not None)
    if isinstance(resize, Letterbox):
        return f"letterbox={resize.size[0]}x{resize.size[1]},fill={resize.fill}"
    return f"{resize.size[0]}x{resize.size[1]}" if isinstance(resize, Exact) else None


def _size(value: str, text: str) -> Size:
    width, _, height = value.partition("x")
    return _side(width, text), _side(height or width, text)


def _side(value: str, text: str) -> int:
    if "x" in value or not 0 < int(value[:8]) <= LARGEST_SIDE:
        raise ArgumentError(f"expected sides of 1 to {LARGEST_SIDE} pixels, got {text[:60]!r}")
    return int(value)
