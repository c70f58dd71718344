"""A pyramid that an object makes, as a job sees pyramids: images by number, each made once, in order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import ArgumentError, InputError, RunError
from msroi_cli.io.features.arrays import as_array
from msroi_cli.io.features.layouts import Tokens, check_fit, from_map, from_tokens
from msroi_cli.io.features.source import ArrayMap, MapSource
from msroi_cli.io.files.location import Location, Source
from msroi_cli.io.pyramid import base
from msroi_cli.io.pyramid.checks import MIXED_HINT, different_ids
from msroi_cli.io.pyramid.geometry import Geometry, padded_to
from msroi_cli.io.pyramid.image import check_sides
from msroi_cli.io.pyramid.levels import Level
from msroi_cli.io.stream.feed import Ahead, Feed
from msroi_cli.io.stream.protocol import Pyramid, PyramidLevel

MEMBERS = ("image_ids", "levels", "fingerprint", "maps")

# The input of which nothing else is known, for estimates.
TYPICAL_INPUT = (1344.0, 800.0)

Made = tuple[int, list[NDArray[Any]]]


class StreamedPyramid(base.Pyramid):
    """Wraps an object that has the members of `Pyramid`. Its maps are there only within `reading`.

    mixed: levels may differ in channels.
    Raises ArgumentError, a ValueError, for an object that lacks some, and for levels that cannot be pooled.
    """

    layout = "made while it is pooled"
    sequential = True

    def __init__(self, source: Pyramid, mixed: bool = False) -> None:
        missing = [name for name in MEMBERS if not hasattr(source, name)]
        if missing:
            raise ArgumentError(
                f"pyramid: expected an object with {', '.join(MEMBERS)}, got {type(source).__name__} without "
                f"{', '.join(missing)}"
            )
        self._source = source
        name = type(source).__name__
        name = str(getattr(source, "name", name))
        self.location = Location(Path(name))
        self.image_ids = different_ids(f"{name}: image_ids", list(source.image_ids), len(source.image_ids))
        self._levels = list(source.levels)
        self.levels = tuple(Level(level.name, _scale(level)) for level in self._levels)
        self.channels, self.dtype = _alike(name, self._levels, mixed)
        self.level_channels = tuple(level.channels for level in self._levels)
        self.box_space = getattr(source, "box_space", None)
        self._tokens = [
            Tokens(round(1 / level.scale[0]), told.prefix_tokens) if told.layout == "tokens" else None
            for level, told in zip(self.levels, self._levels, strict=True)
        ]
        self._items: Iterator[Made] = iter(())
        self._current: Made | None = None

    def geometry(self, image: int) -> Geometry:
        """The geometry that the object gives for an image."""
        find = getattr(self._source, "geometry", None)
        found = Geometry() if find is None else find(self.image_ids[image])
        if not isinstance(found, Geometry):
            raise ArgumentError(f"{self.location}: geometry: expected a Geometry, got {type(found).__name__}")
        return found

    @property
    def has_scale_factors(self) -> bool:
        """As the object says of all, or else of the first image."""
        stated = getattr(self._source, "has_scale_factors", None)
        return bool(self.image_ids) and (self.geometry(0).scale_factor is not None if stated is None else bool(stated))

    def scale_factor(self, image: int) -> tuple[float, float] | None:
        """As the object says."""
        return self.geometry(image).scale_factor

    def offset(self, image: int) -> tuple[float, float]:
        """As the object says."""
        return self.geometry(image).offset

    def image_size(self, image: int) -> tuple[float, float] | None:
        """As the object says."""
        return self.geometry(image).image_size

    def padded_to(self, image: int) -> tuple[int, int]:
        """As the object says of how it makes maps."""
        return padded_to(self.about())

    def input_size(self, image: int) -> tuple[float, float]:
        """As the object says; raises InputError if it does not."""
        size = self.geometry(image).input_size
        if size is None:
            raise InputError(
                f"{self.location.at(self.image_ids[image])}: expected a geometry with input_size, got none"
            )
        return size

    def stated_input_size(self, image: int) -> tuple[float, float] | None:
        """As the object says, None if it does not."""
        return self.geometry(image).input_size

    def shapes(self, image: int) -> list[tuple[int, int]]:
        """The sizes that the strides make of the image's input, or of a typical one, before the maps are made."""
        return self._cells(self.geometry(image).input_size)

    def _cells(self, size: tuple[float, float] | None) -> list[tuple[int, int]]:
        width, height = size or TYPICAL_INPUT
        return [(math.ceil(height * y), math.ceil(width * x)) for y, x in (level.scale for level in self.levels)]

    def level_bytes(self, level: int) -> int:
        """Of the first image, or of a typical one where that cannot be read."""
        if not self.image_ids:
            return 0
        try:
            size = self.geometry(0).input_size
        except InputError:
            size = None
        height, width = self._cells(size)[level]
        return self._levels[level].channels * height * width * self.dtype.itemsize

    def files(self) -> list[Path]:
        """What the object names: the maps are made."""
        return list(getattr(self._source, "files", ()))

    def fingerprint(self) -> Source:
        """The object's name and size, and the fingerprint that it states."""
        return Source(str(self.location), int(getattr(self._source, "size", 0)), str(self._source.fingerprint))

    def inputs(self, images: Sequence[int]) -> dict[str, Source]:
        """As the object says."""
        find = getattr(self._source, "inputs", None)
        return {} if find is None else dict(find([self.image_ids[image] for image in images]))

    def unusable(self, images: Sequence[int]) -> dict[int, str]:
        """As the object says."""
        return self._reasons("unusable", images)

    def broken(self, images: Sequence[int]) -> dict[int, str]:
        """As the object says."""
        return self._reasons("broken", images)

    def _reasons(self, name: str, images: Sequence[int]) -> dict[int, str]:
        """What the method `name` of the object says of some images, if it has it."""
        find = getattr(self._source, name, None)
        found = {} if find is None else find([self.image_ids[image] for image in images])
        return {image: found[self.image_ids[image]] for image in images if self.image_ids[image] in found}

    def about(self) -> dict[str, Any] | None:
        """As the object says."""
        find = getattr(self._source, "about", None)
        return None if find is None else dict(find())

    def modified(self) -> Any:
        """What the object says of the age of its inputs."""
        return getattr(self._source, "modified", None)

    def check(self, image: int) -> None:
        """Asks for the geometry: nothing else is known before the maps are made."""
        self.geometry(image)

    def source(self, image: int, level: int) -> MapSource:
        """A map of the image that is being read."""
        return self.sources([(image, level)])[0]

    def sources(self, wanted: Sequence[tuple[int, int]]) -> list[MapSource]:
        """Maps in memory of one image: the last one, or a later one in the order of `reading`."""
        return [ArrayMap(array.shape, array.dtype, where, array) for array, where in map(self._map, wanted)]

    def _map(self, wanted: tuple[int, int]) -> tuple[NDArray[Any], str]:
        image, level = wanted
        while self._current is None or self._current[0] != image:
            self._current = None
            self._current = next(self._items, None)
            if self._current is None:
                raise RunError(f"{self._where(image)}: expected images in the order of reading, got another")
        return self._current[1][level], f"{self._where(image)}/{self.levels[level].name}"

    @contextmanager
    def reading(self, images: Sequence[int], limit: int) -> Iterator[None]:
        """Has the maps of `images` made in this order, ahead of their use but within `limit` bytes."""
        calls = max(1, int(getattr(self._source, "workers", 1) or 1))
        size = getattr(self._source, "batch_size", None) or max(1, len(images))
        groups = [images[start : start + size] for start in range(0, len(images), size)]
        feed = Feed(self._made, groups, lambda made: sum(array.nbytes for array in made[1]), Ahead(calls, limit))
        self._items = iter(feed)
        try:
            yield
        finally:
            feed.close()
            self._items, self._current = iter(()), None

    def _made(self, images: Sequence[int]) -> Iterator[Made]:
        """Calls the object for some images; raises InputError for maps that are not what its levels say."""
        made = iter(self._source.maps([self.image_ids[image] for image in images]))
        for image in images:
            maps = next(made, None)
            if maps is None:
                raise InputError(f"{self._where(image)}: expected maps of {len(images)} images, got fewer")
            yield image, self._checked(image, maps)
        if next(made, None) is not None:
            raise InputError(f"{self.location}: maps: expected {len(images)} images, got more")

    def _checked(self, image: int, maps: Mapping[str, Any]) -> list[NDArray[Any]]:
        where = self._where(image)
        if not isinstance(maps, Mapping):
            raise InputError(f"{where}: expected the maps by level name, got {type(maps).__name__}")
        geometry = self.geometry(image)
        arrays = []
        for number, level in enumerate(self._levels):
            named = f"{where}/{level.name}"
            if level.name not in maps:
                raise InputError(f"{named}: expected a map, got only {', '.join(map(str, maps)) or 'none'}")
            array = self._laid_out(as_array(maps[level.name], named), number, geometry, named)
            dtype = array.dtype.newbyteorder("=").name
            if len(array) != level.channels or dtype != _dtype(level):
                raise InputError(
                    f"{named}: expected {level.channels} channels of {_dtype(level)}, got {len(array)} of {dtype}"
                )
            arrays.append(array)
        self._check_sizes(where, arrays, geometry)
        return arrays

    def _laid_out(self, array: NDArray[Any], number: int, geometry: Geometry, where: str) -> NDArray[Any]:
        """The map (C, H, W) of an array; the tokens in front are as many on all images as on the first."""
        tokens = self._tokens[number]
        if tokens is None:
            return from_map(array, self._levels[number].layout, where)
        if geometry.input_size is None:
            raise InputError(f"{where}: expected a geometry with input_size for tokens, got none")
        size = (round(geometry.input_size[0]), round(geometry.input_size[1]))
        made, self._tokens[number] = from_tokens(array, tokens, size, where)
        return made

    def _check_sizes(self, where: str, arrays: Sequence[NDArray[Any]], geometry: Geometry) -> None:
        """Raises InputError for maps that do not fit the input, or one another."""
        strides = [(1 / y, 1 / x) for y, x in (level.scale for level in self.levels)]
        if geometry.input_size is not None:
            size = (round(geometry.input_size[0]), round(geometry.input_size[1]))
            for level, array, stride in zip(self.levels, arrays, strides, strict=True):
                check_fit((array.shape[2], array.shape[1]), stride, size, f"{where}/{level.name}")
        for axis, side in enumerate(("height", "width")):
            check_sides(where, side, [array.shape[1 + axis] for array in arrays], [step[axis] for step in strides])

    def _where(self, image: int) -> str:
        return self.location.at(self.image_ids[image])

    def storage(self, image: int, level: int) -> dict[str, Any]:
        """Nothing is stored."""
        return {"shape": None, "dtype": self.dtype.name, "chunks": None, "filters": [], "bytes": 0}

    def close(self) -> None:
        """Nothing to close: the object is its owner's."""


def _scale(level: PyramidLevel) -> tuple[float, float]:
    stride = level.stride if isinstance(level.stride, tuple) else (level.stride, level.stride)
    return 1 / stride[0], 1 / stride[1]


def _dtype(level: PyramidLevel) -> str:
    return "float32" if level.dtype == "bfloat16" else level.dtype


def _alike(name: str, levels: Sequence[PyramidLevel], mixed: bool) -> tuple[int, np.dtype[Any]]:
    """Channels and dtype of the levels; raises ArgumentError unless they can be pooled together."""
    if not levels or len({level.name for level in levels}) < len(levels):
        names = ", ".join(level.name for level in levels) or "none"
        raise ArgumentError(f"{name}: levels: expected levels of different names, got {names}")
    for level in levels:
        if _dtype(level) != _dtype(levels[0]) or (level.channels != levels[0].channels and not mixed):
            raise ArgumentError(
                f"{name}: levels: expected {levels[0].channels} channels of {_dtype(levels[0])} on all, got "
                f"{level.channels} of {_dtype(level)} on {level.name}{MIXED_HINT}"
            )
    scales = [_scale(level) for level in levels]
    if any(after[axis] >= before[axis] for before, after in pairwise(scales) for axis in (0, 1)):
        raise ArgumentError(f"{name}: levels: expected rising strides, got {[level.stride for level in levels]}")
    return levels[0].channels, np.dtype(_dtype(levels[0]))
