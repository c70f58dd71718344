"""Pyramids of which every level lies in a file as it does in memory: folders of `.npy`, safetensors."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError, unreadable
from msroi_cli.io.features.contiguous import ContiguousMap, RawFile
from msroi_cli.io.features.source import LibraryMap, MapSource
from msroi_cli.io.files.location import Location, Source
from msroi_cli.io.files.natural import natural_key
from msroi_cli.io.pyramid.arrays.batched import SCALES, BatchedArrays, array_storage, chosen_levels
from msroi_cli.io.pyramid.checks import FLOATS, check_map
from msroi_cli.io.pyramid.levels import (
    LevelChoice,
    finest_first,
    level_scales,
    one_a_level,
    refuse_other_levels,
    scale_of,
)


@dataclass(frozen=True, slots=True)
class StoredArray:
    """An array in C order that begins at `offset` of the file `path`.

    bfloat16: two bytes a value, the upper halves of float32 values, which is then the dtype.
    """

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    bfloat16: bool = False

    @property
    def item_bytes(self) -> int:
        """The bytes of a value in the file."""
        return 2 if self.bfloat16 else self.dtype.itemsize

    @property
    def bytes(self) -> int:
        """The bytes of the array in the file."""
        return math.prod(self.shape) * self.item_bytes

    def values(self) -> NDArray[Any]:
        """The whole array; raises OSError, or ValueError where the file is too short."""
        if self.bfloat16:
            raw = np.fromfile(self.path, "<u2", count=self.bytes // 2, offset=self.offset)
            return widened(raw).reshape(self.shape)
        return np.fromfile(self.path, self.dtype, self.bytes // self.item_bytes, offset=self.offset).reshape(self.shape)


def widened(raw: NDArray[np.uint16]) -> NDArray[np.float32]:
    """bfloat16 values, as little-endian 16 bits, as float32 (exact)."""
    return (raw.astype(np.uint32) << 16).view(np.float32)


class StoredArrays(BatchedArrays):
    """Levels (N, C, H, W), or (C, H, W) of one image, each read where it lies in its file.

    side: what stands beside them, by the names in SIDE_ARRAYS.
    """

    def __init__(
        self, location: Location, arrays: Mapping[str, StoredArray], side: Mapping[str, Any], choice: LevelChoice
    ) -> None:
        self.location = location
        batched = {name: _batched(array) for name, array in arrays.items()}
        maps = {name: a for name, a in batched.items() if len(a.shape) == 4 and a.dtype.name in FLOATS}
        refuse_other_levels(location, maps, choice)
        names = chosen_levels({n: a.shape for n, a in (batched if choice.names else maps).items()}, choice, location)
        for name in names:
            check_map(location.at(name), batched[name].shape, batched[name].dtype)
        given = choice.strides or choice.scales
        own = {} if given else _own_scales(location, maps, side)
        self.levels = level_scales(names, [own.get(name) for name in names], choice, location)
        self._arrays = [batched[name] for name in names]
        self._describe([a.shape for a in self._arrays], [a.dtype for a in self._arrays], dict(side), choice.mixed)
        self._files: dict[Path, RawFile] = {}
        try:
            for array in self._arrays:
                if array.path not in self._files:
                    self._files[array.path] = RawFile(os.open(array.path, os.O_RDONLY), str(array.path))
        except OSError as error:
            self.close()
            raise unreadable(error.filename, error) from error

    def source(self, image: int, level: int) -> MapSource:
        """One entry of an array."""
        array, where = self._arrays[level], self.location.at(self.levels[level].name)
        shape = (array.shape[1], array.shape[2], array.shape[3])
        offset = array.offset + image * shape[0] * shape[1] * shape[2] * array.item_bytes
        file = self._files[array.path]
        if array.bfloat16:
            return LibraryMap(shape, array.dtype, where, partial(_read_bfloat16, file, offset, shape, where))
        return ContiguousMap(shape, array.dtype, where, file, offset)

    def storage(self, image: int, level: int) -> dict[str, Any]:
        """The level's array, of all images."""
        array = self._arrays[level]
        return array_storage(array.shape, array.dtype, array.bytes, ["bfloat16"] if array.bfloat16 else [])

    def files(self) -> list[Path]:
        """The file, or the `.npy` files of the levels."""
        return sorted({array.path for array in self._arrays})

    def fingerprint(self) -> Source:
        """What stands for the content of the files."""
        if self.location.path.is_dir():
            return Source.of_files(self.location.path.name, self.files())
        return super().fingerprint()

    def close(self) -> None:
        """Closes the files."""
        for file in self._files.values():
            os.close(file.descriptor)
        self._files.clear()


def _batched(array: StoredArray) -> StoredArray:
    """The same with a first axis of 1 where it is the array of one image."""
    if len(array.shape) != 3:
        return array
    return StoredArray(array.path, array.offset, (1, *array.shape), array.dtype, array.bfloat16)


def _read_bfloat16(
    file: RawFile, offset: int, shape: tuple[int, int, int], where: str, start: int, stop: int
) -> NDArray[np.float32]:
    """The channels from `start` to `stop`, (c, H, W)."""
    plane = shape[1] * shape[2]
    raw = np.empty((stop - start, *shape[1:]), "<u2")
    file.read_into([raw], offset + start * plane * 2, where)
    return widened(raw)


def _own_scales(
    location: Location, maps: Mapping[str, StoredArray], side: Mapping[str, Any]
) -> dict[str, tuple[float, float] | None]:
    """The scales of the maps, which `strides` and `spatial_scales` give by name, or in the natural order of names."""
    columns = {key: _by_name(f"{location}: {key}", side[key], maps) for key in SCALES if side.get(key) is not None}
    empty: dict[str, Any] = {}
    strides, scales = (columns.get(key, empty) for key in SCALES)
    return {name: scale_of(location.at(name), strides.get(name), scales.get(name)) for name in maps}


def _by_name(where: str, values: Any, maps: Mapping[str, StoredArray]) -> dict[str, Any]:
    """One value a level by the level's name; raises InputError where it is not clear which is whose."""
    if isinstance(values, Mapping):
        return dict(values)
    names = sorted(maps, key=natural_key)
    rows = one_a_level(where, values, len(names))
    if finest_first({name: maps[name].shape for name in names}) != names:
        raise InputError(
            f"{where}: expected levels that become coarser in the order of their names, got {', '.join(names)}; "
            "--levels and --strides say which is which"
        )
    return dict(zip(names, rows, strict=True))
