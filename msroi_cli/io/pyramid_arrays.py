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

from msroi_cli.errors import InputError, MsroiError
from msroi_cli.io.location import Location, parse_json
from msroi_cli.io.maps import ArrayMap, FetchedMap, MapSource
from msroi_cli.io.pyramid import (
    FLOATS,
    BatchedPyramid,
    LevelChoice,
    check_map,
    different_ids,
    finest_first,
    level_scales,
    pairs_beside,
    scale_of,
)

SIDE_ARRAYS = ("strides", "spatial_scales", "image_ids", "scale_factors", "image_sizes")


class _BatchedArrays(BatchedPyramid):
    """Levels (N, C, H, W) with optional ids, scale factors and image sizes, whatever holds them."""

    def _describe(self, shapes: list[tuple[int, ...]], dtypes: list[np.dtype[Any]], side: dict[str, Any]) -> None:
        """Checks the levels against each other and takes over the side arrays."""
        first = shapes[0]
        self.channels, self.dtype = (first[1] if len(first) == 4 else 0), dtypes[0]
        for level, shape, dtype in zip(self.levels, shapes, dtypes, strict=True):
            where = self.location.at(level.name)
            check_map(where, shape, dtype, (self.channels, self.dtype))
            if len(shape) != 4 or shape[0] != first[0]:
                raise InputError(f"{where}: expected ({first[0]}, C, H, W) like {self.levels[0].name}, got {shape}")
        ids = side.get("image_ids", list(range(first[0])))
        self.image_ids = different_ids(f"{self.location}: image_ids", ids, first[0])
        self.factors, self.sizes = (
            None if side.get(name) is None else pairs_beside(f"{self.location}: {name}", side[name], first[0])
            for name in ("scale_factors", "image_sizes")
        )


class JsonPyramid(_BatchedArrays):
    """`{"levels": [{"name", "stride" or "spatial_scale", "data"}, ...], "image_ids": [...]}`; data becomes float32."""

    def __init__(self, location: Location, choice: LevelChoice) -> None:
        self.location = location
        content = parse_json(location.path, location.content())
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
            numbers = np.array(entry["data"], dtype=np.float64)
            with np.errstate(over="ignore"):
                data = numbers.astype(np.float32)
        except KeyError:
            raise InputError(f"{where}: expected data, got only {', '.join(entry) or 'nothing'}") from None
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(
                f"{where}: data: expected numbers in nested lists of even lengths, got: {error}"
            ) from error
        if (np.isinf(data) & np.isfinite(numbers)).any():
            raise InputError(f"{where}: data: expected numbers that fit in float32, got larger ones")
        return data[None] if data.ndim == 3 else data

    def source(self, image: int, level: int) -> MapSource:
        """One entry of an array."""
        return ArrayMap(self._maps[level][image], self.location.at(self.levels[level].name))

    def stored(self, level: int) -> tuple[tuple[int, ...], np.dtype[Any], int, list[str]]:
        """The shape and dtype of a level, its bytes in memory, and no filters."""
        return self._maps[level].shape, self._maps[level].dtype, self._maps[level].nbytes, []

    def close(self) -> None:
        """Nothing to close: the file was read whole."""


class NpzPyramid(_BatchedArrays):
    """Arrays (N, C, H, W) such as `p2`, `p3`, with `strides` or `spatial_scales` (L,), finest first.

    An entry is read from the archive when it is wanted; a level is never in memory as a whole.
    """

    def __init__(self, location: Location, choice: LevelChoice) -> None:
        self.location = location
        try:
            self._archive = zipfile.ZipFile(location.path)
        except (OSError, zipfile.BadZipFile) as error:
            raise InputError(f"{location}: expected an NPZ archive of arrays, got: {error}") from error
        try:
            self._open(choice)
        except MsroiError:
            self._archive.close()
            raise
        except (OSError, zipfile.BadZipFile, ValueError, EOFError) as error:
            self._archive.close()
            raise InputError(f"{location}: expected an NPZ archive of arrays, got: {error}") from error

    def _open(self, choice: LevelChoice) -> None:
        members = [name[:-4] for name in self._archive.namelist() if name.endswith(".npy")]
        arrays = {name: _Member(self._archive, name, self.location) for name in members if name not in SIDE_ARRAYS}
        side = {name: self._whole(name) for name in SIDE_ARRAYS if name in members}
        maps = {n: m.shape for n, m in arrays.items() if len(m.shape) in (3, 4) and m.dtype.name in FLOATS}
        names = _chosen({n: m.shape for n, m in arrays.items()} if choice.names else maps, choice, self.location)
        for name in names:
            check_map(self.location.at(name), arrays[name].shape, arrays[name].dtype)
        given = choice.strides or choice.scales
        # Strides stand beside the maps in the order of all maps, whichever of them are chosen.
        own = {} if given else self._own_scales(finest_first(maps), side)
        self.levels = level_scales(names, [own.get(name) for name in names], choice, self.location)
        self._levels = [arrays[name] for name in names]
        self._describe([m.shape for m in self._levels], [m.dtype for m in self._levels], side)

    def _whole(self, name: str) -> NDArray[Any]:
        with self._archive.open(f"{name}.npy") as file:
            array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
        return array

    def _own_scales(self, names: list[str], side: dict[str, NDArray[Any]]) -> dict[str, tuple[float, float] | None]:
        """The scales of the maps `names`, as the archive has them."""
        columns: list[list[Any]] = []
        for key in ("strides", "spatial_scales"):
            values = side.get(key)
            if values is not None and (values.ndim not in (1, 2) or len(values) != len(names)):
                raise InputError(
                    f"{self.location}: {key}: expected one value a level, {len(names)}, got {values.shape}"
                )
            columns.append([None] * len(names) if values is None else list(values))
        return {
            name: scale_of(self.location.at(name), stride, scale)
            for name, stride, scale in zip(names, *columns, strict=True)
        }

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
