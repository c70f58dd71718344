"""Preprocessing: from an RGB picture to a network's input, and what that does to the coordinates of boxes.

In this order, each only if it is asked for: resize, letterbox, channel order, rescale, subtract the mean, divide by the
standard deviation, pad on the right and at the bottom with zeros.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from msroi_cli.errors import ArgumentError
from msroi_cli.io.pyramid.geometry import Geometry
from msroi_cli.model.resize import Exact, Letterbox, Resize, Size, Unchanged, resize_text

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
COLORS = {"rgb": (0, 1, 2), "bgr": (2, 1, 0)}

Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What is done to a picture; by default nothing: RGB, 0 to 255.

    interpolation: one of INTERPOLATIONS, as Pillow does it (antialiased). color: the order of the network's channels.
    rescale: factor of all values. mean, std: one number a channel, after `rescale`, in the network's order of channels.
    pad_to: sides are padded to multiples of this. pad_size: or to this (width, height).
    Raises ArgumentError that names the field.
    """

    resize: Resize = field(default_factory=Unchanged)
    interpolation: str = "bilinear"
    color: str = "rgb"
    rescale: float = 1.0
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)
    pad_to: int = 1
    pad_size: Size | None = None

    def __post_init__(self) -> None:
        for name, known in (("interpolation", INTERPOLATIONS), ("color", COLORS)):
            if getattr(self, name) not in known:
                raise ArgumentError(f"{name}: expected one of {', '.join(known)}, got {getattr(self, name)!r}")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if len(values) != 3 or not all(math.isfinite(value) for value in values):
                raise ArgumentError(f"{name}: expected 3 numbers, all finite, got {values!r}")
        for name, values in (("std", self.std), ("rescale", (self.rescale,)), ("pad_to", (self.pad_to,))):
            if not all(0 < value < math.inf for value in values):
                raise ArgumentError(f"{name}: expected numbers above 0, got {', '.join(f'{one:g}' for one in values)}")

    def constant_size(self) -> Size | None:
        """The (width, height) of the network's input if it is one for all pictures."""
        if self.pad_size is not None:
            return self._padded(self.pad_size)
        return self._padded(self.resize.size) if isinstance(self.resize, (Exact, Letterbox)) else None

    def input_size(self, size: Size) -> Size:
        """The (width, height) of the network's input for a picture of `size`; raises ArgumentError if it cannot fit."""
        return self._padded(self.resize.place(size).canvas)

    def _padded(self, canvas: Size) -> Size:
        width, height = canvas
        if self.pad_size is not None:
            if width > self.pad_size[0] or height > self.pad_size[1]:
                raise ArgumentError(
                    f"expected a picture of at most {self.pad_size[0]} x {self.pad_size[1]} before padding, "
                    f"got {width} x {height}"
                )
            width, height = self.pad_size
        return -(-width // self.pad_to) * self.pad_to, -(-height // self.pad_to) * self.pad_to

    def geometry(self, size: Size) -> Geometry:
        """Where the pixels of a picture of size (width, height) are in the network's input."""
        place = self.resize.place(size)
        return Geometry(
            scale_factor=(place.size[0] / size[0], place.size[1] / size[1]),
            offset=place.corner,
            image_size=size,
            input_size=self.input_size(size),
        )

    def apply(self, picture: Image.Image) -> NDArray[Any]:
        """The network's input (1, 3, H, W), float32, or uint8 where values do not change, of an RGB picture."""
        place = self.resize.place(picture.size)
        if place.size != picture.size:
            picture = picture.resize(place.size, INTERPOLATIONS[self.interpolation])
        pixels = np.asarray(picture)
        table = self.table()
        width, height = self._padded(place.canvas)
        out: NDArray[Any] = np.zeros((1, 3, height, width), table.dtype)
        (left, top), (inner_width, inner_height) = place.corner, place.size
        for channel, source in enumerate(COLORS[self.color]):
            plane = out[0, channel]
            if place.canvas != place.size:
                plane[: place.canvas[1], : place.canvas[0]] = table[channel, getattr(self.resize, "fill", 0)]
            plane[top : top + inner_height, left : left + inner_width] = table[channel][pixels[:, :, source]]
        return out

    def table(self) -> NDArray[Any]:
        """What each value from 0 to 255 becomes in each channel, (3, 256), so that pixels need no arithmetic.

        uint8 where values do not change, else float32, infinite or NaN where it is too small for them.
        """
        values = np.arange(256, dtype=np.uint8)
        if self.rescale == 1 and self.mean == (0, 0, 0) and self.std == (1, 1, 1):
            return np.stack([values] * 3)
        with np.errstate(all="ignore"):
            scaled = values.astype(np.float32) * np.float32(self.rescale)
            return np.stack(
                [(scaled - np.float32(mean)) / np.float32(std) for mean, std in zip(self.mean, self.std, strict=True)]
            )

    def as_dict(self) -> Mapping[str, Any]:
        """What is done, as plain JSON values."""
        return {
            "resize": resize_text(self.resize),
            "rounding": getattr(self.resize, "rounding", "half up"),
            "interpolation": self.interpolation,
            "color": self.color,
            "rescale": self.rescale,
            "mean": list(self.mean),
            "std": list(self.std),
            "pad_to": self.pad_to,
            "pad_size": None if self.pad_size is None else list(self.pad_size),
        }
