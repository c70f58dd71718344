"""One image as a writer of pyramids takes it: its maps checked against those of the others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import ArgumentError, InputError
from msroi_cli.io.features.arrays import as_array
from msroi_cli.io.features.layouts import LAYOUTS, Tokens, from_map, from_tokens
from msroi_cli.io.pyramid.checks import FLOATS, different_ids
from msroi_cli.io.pyramid.geometry import Geometry, Pair
from msroi_cli.io.pyramid.levels import pair_of

Shape = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class ImageMaps:
    """What a file says of an image besides the values of its maps: id, geometry, and the shape of each level."""

    id: str
    geometry: Geometry
    shapes: Sequence[Shape]
    names: Sequence[str]
    dtype: str

    def attributes(self) -> Mapping[str, Pair]:
        """The attributes of the image's group."""
        values = {"scale_factor": self.geometry.scale_factor, "image_size": self.geometry.image_size}
        if self.geometry.offset != (0.0, 0.0):
            values["offset"] = self.geometry.offset
        return {name: value for name, value in values.items() if value is not None}

    def as_record(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "id": self.id,
            "attributes": {name: list(pair) for name, pair in self.attributes().items()},
            "shapes": [list(shape) for shape in self.shapes],
            "names": list(self.names),
            "dtype": self.dtype,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any], common: LevelSet) -> ImageMaps:
        """The image of a record; `common` takes names, channels and dtype from the first one."""
        pairs = {name: tuple(pair) for name, pair in record["attributes"].items()}
        image = cls(
            record["id"],
            Geometry(pairs.get("scale_factor"), pairs.get("offset", (0.0, 0.0)), pairs.get("image_size")),
            [tuple(shape) for shape in record["shapes"]],
            record["names"],
            record["dtype"],
        )
        common.take_over(image)
        return image


@dataclass(slots=True)
class LevelSet:
    """What all images of a file have in common; names, channels, dtype, has_scale and tokens follow from the first one.

    strides: (y, x) pairs. wanted: the dtype that was asked for. arrangement: of the arrays that are given.
    """

    strides: Sequence[Pair]
    wanted: str | None
    arrangement: str
    names: list[str] = field(default_factory=list)
    channels: list[int] = field(default_factory=list)
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float32))
    has_scale: bool = False
    tokens: Tokens | None = None

    @classmethod
    def of(cls, strides: Sequence[Any], dtype: str | None, arrangement: str) -> LevelSet:
        """Checks what a writer is asked for; raises ArgumentError."""
        if arrangement == "tokens" and getattr(strides, "__len__", int)() != 1:
            raise ArgumentError(f"strides: expected one, the patch, for tokens, got {strides!r}")
        if isinstance(strides, (str, Mapping)) or not hasattr(strides, "__len__") or not len(strides):
            raise ArgumentError(f"strides: expected one number or (y, x) pair a level, got {strides!r}")
        if dtype is not None and (not isinstance(dtype, str) or dtype not in FLOATS):
            raise ArgumentError(f"dtype: expected one of {', '.join(FLOATS)}, got {dtype!r}")
        if arrangement not in LAYOUTS:
            raise ArgumentError(f"layout: expected one of {', '.join(LAYOUTS)}, got {arrangement!r}")
        try:
            pairs = [pair_of(f"strides[{index}]", stride) for index, stride in enumerate(strides)]
        except InputError as error:
            raise ArgumentError(str(error)) from None
        if any(after[axis] <= before[axis] for before, after in pairwise(pairs) for axis in (0, 1)):
            raise ArgumentError(f"strides: expected rising numbers, the finest level first, got {list(strides)}")
        return cls(pairs, dtype, arrangement)

    def stride(self, name: str) -> Pair:
        """The (y, x) stride of a level."""
        return self.strides[self.names.index(name)]

    def take_over(self, image: ImageMaps) -> None:
        """Takes what the first image has in common with all others."""
        if not self.names:
            self.names, self.channels = list(image.names), [shape[0] for shape in image.shapes]
            self.dtype, self.has_scale = np.dtype(image.dtype), image.geometry.scale_factor is not None

    def image(
        self, where: str, image_id: str, levels: Mapping[str, Any] | Sequence[Any], geometry: Geometry
    ) -> tuple[ImageMaps, list[NDArray[Any]]]:
        """An image and its maps (C, H, W), C-contiguous, of the file's dtype; raises InputError."""
        _check_id(where, image_id)
        names = self._names(where, levels)
        values = [levels[name] for name in names] if isinstance(levels, Mapping) else list(levels)
        arrays = [
            self._map(f"{where}/{name}", value, stride, geometry)
            for name, value, stride in zip(names, values, self.strides, strict=True)
        ]
        dtype = self.wanted or arrays[0].dtype.newbyteorder("=").name
        image = ImageMaps(image_id, geometry, [array.shape for array in arrays], names, dtype)
        self._check(where, image, [array.dtype for array in arrays])
        self.take_over(image)
        return image, [np.ascontiguousarray(array, self.dtype) for array in arrays]

    def _names(self, where: str, levels: Mapping[str, Any] | Sequence[Any]) -> list[str]:
        if not isinstance(levels, Mapping):
            if len(levels) != len(self.strides):
                raise InputError(f"{where}: expected {len(self.strides)} levels like the strides, got {len(levels)}")
            return self.names or [_name(stride, index) for index, stride in enumerate(self.strides)]
        names = [str(name) for name in (self.names or levels)]
        if set(names) != set(map(str, levels)) or len(levels) != len(self.strides):
            wanted = ", ".join(self.names) if self.names else f"{len(self.strides)} levels like the strides"
            raise InputError(f"{where}: expected {wanted}, got {', '.join(map(str, levels)) or 'none'}")
        bad = next((name for name in names if not name or "/" in name or "\0" in name or name in (".", "..")), None)
        if bad is not None:
            raise InputError(f"{where}: expected level names that HDF5 can hold, got {bad!r}")
        return names

    def _map(self, where: str, value: Any, stride: Pair, geometry: Geometry) -> NDArray[Any]:
        array = as_array(value, where)
        if self.arrangement != "tokens":
            return from_map(array, self.arrangement, where)
        if geometry.input_size is None or stride[0] != stride[1] or stride[0] % 1:
            raise InputError(f"{where}: expected input_size, and a whole stride, to lay tokens out, got {geometry}")
        width, height = geometry.input_size
        tokens = self.tokens or Tokens(int(stride[0]))
        made, self.tokens = from_tokens(array, tokens, (round(width), round(height)), where)
        return made

    def _check(self, where: str, image: ImageMaps, dtypes: Sequence[np.dtype[Any]]) -> None:
        """Raises InputError where an image does not fit the others, or its levels do not fit each other."""
        channels = [shape[0] for shape in image.shapes]
        if self.names and channels != self.channels:
            raise InputError(f"{where}: expected {self.channels} channels as on other images, got {channels}")
        if self.wanted is None and {dtype.newbyteorder("=").name for dtype in dtypes} != {
            self.dtype.name if self.names else image.dtype
        }:
            wanted = self.dtype.name if self.names else image.dtype
            raise InputError(f"{where}: expected {wanted} on all levels and images, got {', '.join(map(str, dtypes))}")
        if self.names and (image.geometry.scale_factor is not None) != self.has_scale:
            wanted = "a scale_factor" if self.has_scale else "no scale_factor"
            raise InputError(f"{where}: expected {wanted} as on other images, got {image.geometry.scale_factor}")
        for axis, side in enumerate(("height", "width")):
            check_sides(where, side, [shape[1 + axis] for shape in image.shapes], [step[axis] for step in self.strides])
            _check_content(where, axis, image, self.strides[0][axis])


def check_sides(where: str, side: str, cells: Sequence[int], strides: Sequence[float]) -> None:
    """Raises InputError where no input of one size gives levels of these cells a side, however sides are rounded."""
    low = max((count - 1) * stride for count, stride in zip(cells, strides, strict=True))
    high = min((count + 1) * stride for count, stride in zip(cells, strides, strict=True))
    if low >= high:
        raise InputError(
            f"{where}: expected levels whose {side} falls as their strides rise, "
            f"{', '.join(f'{stride:g}' for stride in strides)}, got {', '.join(map(str, cells))} cells"
        )


def _check_content(where: str, axis: int, image: ImageMaps, stride: float) -> None:
    """Raises InputError where a picture of that size and scale factor is larger than its finest map."""
    geometry = image.geometry
    if geometry.scale_factor is None or geometry.image_size is None:
        return
    along = 1 - axis
    end = geometry.image_size[along] * geometry.scale_factor[along] + geometry.offset[along]
    span = (image.shapes[0][1 + axis] + 1) * stride
    if end > span:
        raise InputError(
            f"{where}: expected image_size * scale_factor + offset within the {span - stride:g} input pixels of the "
            f"finest map, got {end:g} in {'xy'[along]}"
        )


def _check_id(where: str, image_id: Any) -> None:
    """Raises InputError for an id that HDF5 cannot hold as the name of a group."""
    text = different_ids(where, [image_id], 1)[0]
    if not isinstance(image_id, str) or not text or "/" in text or text in (".", ".."):
        raise InputError(f"{where}: expected an id that is a text without /, got {image_id!r}")


def _name(stride: Pair, index: int) -> str:
    """p2 for stride 4, p3 for 8, ...; else by number."""
    power = math.log2(stride[0])
    return f"p{int(power)}" if power.is_integer() and stride[0] == stride[1] else f"level{index}"
