"""How an image became the network's input: what takes boxes from original to input pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msroi_cli.errors import ArgumentError

Pair = tuple[float, float]

# Scale factors and sizes beyond this are mistakes.
LARGEST = 1e6


@dataclass(frozen=True, slots=True)
class Geometry:
    """x_input = x_original * scale_factor[0] + offset[0], and y alike; None is "not known".

    scale_factor: (sx, sy), input pixels per original pixel. offset: (ox, oy), input pixels, of pictures that are padded
    on the left or at the top. image_size: (width, height), original pixels. input_size: (width, height), input pixels.
    Raises ArgumentError, a ValueError, for numbers that are no sizes, and for an offset without a scale factor.
    """

    scale_factor: Pair | None = None
    offset: Pair = (0.0, 0.0)
    image_size: Pair | None = None
    input_size: Pair | None = None

    def __post_init__(self) -> None:
        for name in ("scale_factor", "image_size", "input_size"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _pair(name, value, positive=True))
        object.__setattr__(self, "offset", _pair("offset", self.offset, positive=False))
        if self.offset != (0.0, 0.0) and self.scale_factor is None:
            raise ArgumentError(f"offset: expected a scale_factor with it, got {self.offset} alone")


def padded_to(about: Any) -> tuple[int, int]:
    """(x, y): what the sides of all inputs are multiples of, as the record of how they were made says; else 1.

    about: the record, which a file may have in any form.
    """
    done = about.get("preprocessing") if isinstance(about, Mapping) else None
    if not isinstance(done, Mapping):
        return 1, 1
    size = done.get("pad_size")
    sides = size if isinstance(size, list) and len(size) == 2 else (1, 1)
    multiple, width, height = (_side_or_1(value) for value in (done.get("pad_to"), *sides))
    return -(-width // multiple) * multiple, -(-height // multiple) * multiple


def _side_or_1(value: object) -> int:
    return value if type(value) is int and 1 <= value <= LARGEST else 1


def _pair(name: str, value: object, positive: bool) -> Pair:
    """Two finite numbers, both above 0 if `positive`."""
    try:
        first, second = (float(number) for number in value)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise ArgumentError(f"{name}: expected two numbers, (x, y), got {value!r}") from None
    for number in (first, second):
        if not math.isfinite(number) or abs(number) > LARGEST or (positive and number < 1 / LARGEST):
            wanted = "numbers above 0" if positive else "finite numbers"
            raise ArgumentError(f"{name}: expected two {wanted} of a plausible size, got {(first, second)}")
    return first, second
