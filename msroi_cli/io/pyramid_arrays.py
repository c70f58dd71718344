"""Pyramids in JSON, for small things made by hand, and in NPZ; both batched."""

from __future__ import annotations

import zipfile
import zlib
from functools import partial
from threading import local
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.location import Location
from msroi_cli.io.maps import ArrayMap, FetchedMap, MapSource
from msroi_cli.io.pyramid import (
    FLOATS,
    LevelChoice,
    Pyramid,
    check_map,
    finest_first,
    level_scales,
    read_json,
    scale_of,
)

SIDE_ARRAYS = ("strides", "spatial_scales", "image_ids", "scale_factors", "image_sizes")


class _BatchedPyramid(Pyramid):
    """Levels (N, C, H, W) with optional ids, scale factors and image sizes, whatever holds them."""

    layout = "batched"

    def _describe(self, shapes: list[tuple[int, ...]], dtypes: list[np.dtype[Any]], side: dict[str, Any]) -> None:
        """Checks the levels against each other and takes over the side arrays."""
        first = shapes[0]
        self.channels, self.dtype = (first[1] if len(first) == 4 else 0), dtypes[0]
        for level, shape, dtype in zip(self.levels, shapes, dtypes, strict=True):
            where = self.location.at(level.name)
            check_map(where, shape, dtype, (self.channels, self.dtype))
            if len(shape) != 4 or shape[0] != first[0]:
                raise InputError(f"{where}: expected ({first[0]}, C, H, W) like {self.levels[0].name}, got {shape}")
        ids = side.get("image_ids")
        self.image_ids = [str(i) for i in (range(first[0]) if ids is None else _listed(ids, self.location))]
        if len(self.image_ids) != first[0]:
            raise InputError(f"{self.location}: image_ids: expected {first[0]} ids, got {len(self.image_ids)}")
        self._factors = self._pairs("scale_factors", side)
        self._sizes = self._pairs("image_sizes", side)

    def _pairs(self, name: str, side: dict[str, Any]) -> NDArray[np.float64] | None:
        if side.get(name) is None:
            return None
        count = len(self.image_ids)
        try:
            pairs = np.asarray(side[name], dtype=np.float64)
        except (TypeError, ValueError):
            pairs = np.empty(0)
        if pairs.shape != (count, 2) or not (np.isfinite(pairs).all() and (pairs > 0).all()):
            raise InputError(f"{self.location}: {name}: expected ({count}, 2) numbers above 0, got {pairs.shape}")
        return pairs

    def scale_factor(self, image: int) -> tuple[float, float] | None:
        """The image's row of `scale_factors`."""
        return None if self._factors is None else (self._factors[image, 0], self._factors[image, 1])

    def image_size(self, image: int) -> tuple[float, float] | None:
        """The image's row of `image_sizes`."""
        return None if self._sizes is None else (self._sizes[image, 0], self._sizes[image, 1])


class JsonPyramid(_BatchedPyramid):
    """`{"levels": [{"name", "stride" or "spatial_scale", "data"}, ...], "image_ids": [...]}`; data becomes float32."""

    def __init__(self, location: Location, choice: LevelChoice) -> None:
        self.location = location
        try:
            content = read_json(location.path, location.path.read_bytes())
        except OSError as error:
            raise InputError(f"{location}: cannot be read: {error.strerror}") from error
        entries = content.get("levels") if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise InputError(f'{location}: expected a pyramid: {{"levels": [{{"name", "stride", "data"}}, ...]}}')
        maps = {str(entry.get("name", f"level{i}")): self._map(i, entry) for i, entry in enumerate(entries)}
        if len(maps) < len(entries):
            raise InputError(f"{location}: levels: expected different names, got {', '.join(maps)} more than once")
        by_name = dict(zip(maps, entries, strict=True))
        names = _chosen(maps, choice, location)
        own = [
            scale_of(location.at(name), by_name[name].get("stride"), by_name[name].get("spatial_scale"))
            for name in names
        ]
        self.levels = level_scales(names, own, choice, location)
        self._maps = [maps[name] for name in names]
        self._describe([m.shape for m in self._maps], [m.dtype for m in self._maps], content)

    def _map(self, index: int, entry: dict[str, Any]) -> NDArray[np.float32]:
        where = f"{self.location}: levels[{index}]"
        try:
            data = np.array(entry["data"], dtype=np.float32)
        except KeyError:
            raise InputError(f"{where}: expected data, got only {', '.join(entry) or 'nothing'}") from None
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{where}: data: expected numbers in nested lists of even lengths, got: {error}"
            ) from error
        return data[None] if data.ndim == 3 else data

    def source(self, image: int, level: int) -> MapSource:
        """One entry of an array."""
        return ArrayMap(self._maps[level][image], self.location.at(self.levels[level].name))

    def stored(self, level: int) -> tuple[tuple[int, ...], np.dtype[Any], int, list[str]]:
        """The shape and dtype of a level, its bytes in memory, and no filters."""
        return self._maps[level].shape, self._maps[level].dtype, self._maps[level].nbytes, []

    def close(self) -> None:
        """Nothing to close: the file was read whole."""


class NpzPyramid(_BatchedPyramid):
    """Arrays (N, C, H, W) such as `p2`, `p3`, with `strides` or `spatial_scales` (L,), finest first.

    An entry is read from the archive when it is wanted; a level is never in memory as a whole.
    """

    def __init__(self, location: Location, choice: LevelChoice) -> None:
        self.location = location
        try:
            self._archive = zipfile.ZipFile(location.path)
            members = [name[:-4] for name in self._archive.namelist() if name.endswith(".npy")]
            self._open = {name: _Member(self._archive, name, location) for name in members if name not in SIDE_ARRAYS}
            side = {name: self._whole(name) for name in SIDE_ARRAYS if name in members}
        except (OSError, zipfile.BadZipFile, ValueError) as error:
            raise InputError(f"{location}: expected an NPZ archive of arrays, got: {error}") from error
        shapes = {
            name: m.shape
            for name, m in self._open.items()
            if choice.names is not None or (len(m.shape) in (3, 4) and m.dtype.name in FLOATS)
        }
        names = _chosen(shapes, choice, location)
        self.levels = level_scales(names, self._own_scales(len(names), side), choice, location)
        self._levels = [self._open[name] for name in names]
        self._describe([m.shape for m in self._levels], [m.dtype for m in self._levels], side)

    def _whole(self, name: str) -> NDArray[Any]:
        with self._archive.open(f"{name}.npy") as file:
            array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
        return array

    def _own_scales(self, count: int, side: dict[str, NDArray[Any]]) -> list[tuple[float, float] | None]:
        strides, scales = side.get("strides"), side.get("spatial_scales")
        for name, values in (("strides", strides), ("spatial_scales", scales)):
            if values is not None and (values.ndim not in (1, 2) or len(values) != count):
                raise InputError(f"{self.location}: {name}: expected one value a level, {count}, got {values.shape}")
        return [
            scale_of(
                f"{self.location}: level {i}",
                None if strides is None else strides[i],
                None if scales is None else scales[i],
            )
            for i in range(count)
        ]

    def source(self, image: int, level: int) -> MapSource:
        """One entry of a member of the archive."""
        member = self._levels[level]
        _, channels, height, width = member.shape
        return FetchedMap(partial(member.channels, image), (channels, height, width), member.dtype, member.where)

    def stored(self, level: int) -> tuple[tuple[int, ...], np.dtype[Any], int, list[str]]:
        """The shape and dtype of a level, its bytes in the archive, and how they are compressed."""
        entry = self._archive.getinfo(f"{self.levels[level].name}.npy")
        filters = ["deflate"] if entry.compress_type == zipfile.ZIP_DEFLATED else []
        return self._levels[level].shape, self._levels[level].dtype, entry.compress_size, filters

    def close(self) -> None:
        """Closes the archive."""
        self._archive.close()


class _Member:
    """One array of an NPZ archive, read some channels at a time; every thread moves through it on its own."""

    def __init__(self, archive: zipfile.ZipFile, name: str, location: Location) -> None:
        self._archive = archive
        self._name = f"{name}.npy"
        self._opened = local()
        self.where = location.at(name)
        with archive.open(self._name) as file:
            version = npy.read_magic(file)
            header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran, self.dtype = header(file)
            self._start = file.tell()
        self.shape: tuple[int, ...] = (1, *shape) if len(shape) == 3 else shape
        if fortran and len(self.shape) == 4:
            raise InputError(f"{self.where}: expected an array in C order, got Fortran order")

    def _file(self) -> IO[bytes]:
        if not hasattr(self._opened, "file"):
            self._opened.file = self._archive.open(self._name)
        file: IO[bytes] = self._opened.file
        return file

    def channels(self, image: int, start: int, stop: int) -> NDArray[Any]:
        """The channels from `start` to `stop` of entry `image`, (c, H, W); raises InputError."""
        plane = int(np.prod(self.shape[2:])) * self.dtype.itemsize
        size = (stop - start) * plane
        try:
            file = self._file()
            file.seek(self._start + (image * self.shape[1] + start) * plane)
            content = file.read(size)
        except (OSError, zipfile.BadZipFile, EOFError, zlib.error) as error:
            raise InputError(f"{self.where}: cannot be read: {error}") from error
        if len(content) != size:
            raise InputError(f"{self.where}: expected {size} bytes for entry {image}, got {len(content)}")
        return np.frombuffer(content, self.dtype).reshape(stop - start, *self.shape[2:])


def _chosen(arrays: dict[str, Any], choice: LevelChoice, location: Location) -> list[str]:
    """The names of the levels, finest first; raises InputError if there are none."""
    if choice.names is not None:
        for name in choice.names:
            if name not in arrays:
                raise InputError(f"{location}: expected an array {name}, got {', '.join(arrays) or 'none'}")
        return list(choice.names)
    shapes = {name: getattr(array, "shape", array) for name, array in arrays.items()}
    if not shapes:
        raise InputError(f"{location}: expected float arrays (N, C, H, W), one a level, got none")
    flat = next((name for name, shape in shapes.items() if len(shape) != 4), None)
    if flat is not None:
        raise InputError(f"{location.at(flat)}: expected (N, C, H, W), got {shapes[flat]}")
    return finest_first(shapes)


def _listed(ids: Any, location: Location) -> list[Any]:
    values = ids.tolist() if isinstance(ids, np.ndarray) else ids
    if not isinstance(values, list):
        raise InputError(f"{location}: image_ids: expected a list, got {type(ids).__name__}")
    return values
