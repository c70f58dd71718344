"""Pyramids in NPZ: arrays (N, C, H, W), read from the archive some channels at a time."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections import Counter
from functools import partial
from threading import local
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from msroi_cli.errors import InputError, MsroiError
from msroi_cli.io.features.source import LibraryMap, MapSource
from msroi_cli.io.files.location import Location
from msroi_cli.io.npy import npy_header
from msroi_cli.io.pyramid.arrays.batched import (
    LONGEST_TEXT,
    SCALES,
    SIDE_ARRAYS,
    BatchedArrays,
    array_storage,
    chosen_levels,
    refuse_channels_last,
    says_layout,
)
from msroi_cli.io.pyramid.checks import FLOATS, check_map
from msroi_cli.io.pyramid.levels import LevelChoice, finest_first, level_scales, refuse_other_levels, scales_in_order


class NpzPyramid(BatchedArrays):
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
        members = self._names()
        arrays = {name: _Member(self._archive, name, self.location) for name in members if name not in SIDE_ARRAYS}
        texts = [name for name, member in arrays.items() if says_layout(name) and member.is_short_text]
        refuse_channels_last(self.location, {name: self._whole(name) for name in texts})
        maps = {n: m.shape for n, m in arrays.items() if len(m.shape) in (3, 4) and m.dtype.name in FLOATS}
        refuse_other_levels(self.location, maps, choice)
        names = chosen_levels({n: m.shape for n, m in arrays.items()} if choice.names else maps, choice, self.location)
        for name in names:
            check_map(self.location.at(name), arrays[name].shape, arrays[name].dtype)
        images = arrays[names[0]].shape[0]
        side = {name: self._side(name, images, len(maps)) for name in SIDE_ARRAYS if name in members}
        given = choice.strides or choice.scales
        # Strides stand beside the maps in the order of all maps, whichever of them are chosen.
        stated = {key: side.get(key) for key in SCALES}
        own = {} if given else scales_in_order(str(self.location), stated, finest_first(maps))
        self.levels = level_scales(names, [own.get(name) for name in names], choice, self.location)
        self._levels = [arrays[name] for name in names]
        self._describe([m.shape for m in self._levels], [m.dtype for m in self._levels], side, choice.mixed)

    def _names(self) -> list[str]:
        """The names of the arrays; raises InputError for one that is there twice or is another in its own header."""
        infos = self._archive.infolist()
        names = [info.filename for info in infos]
        if len(set(names)) < len(names):
            twice = next(name for name, count in Counter(names).items() if count > 1)
            raise InputError(f"{self.location}: expected each array once, got {twice[:60]} twice")
        for info in infos:
            if not info.filename.endswith(".npy"):
                self._archive.open(info).close()
        return [name[:-4] for name in names if name.endswith(".npy")]

    def _side(self, name: str, images: int, levels: int) -> NDArray[Any]:
        """An array beside the levels, one row an image or a level, as its header has it; raises InputError."""
        member = _Member(self._archive, name, self.location)
        rows = levels if name in SCALES else images
        shape = member.stored_shape
        if shape[:1] != (rows,) or len(shape) > 2 or shape[1:] > (2,) or member.dtype.itemsize > LONGEST_TEXT:
            raise InputError(f"{member.where}: expected {rows} rows of one or two values, got {shape} {member.dtype}")
        return self._whole(name)

    def _whole(self, name: str) -> NDArray[Any]:
        with self._archive.open(f"{name}.npy") as file:
            array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
        return array

    def source(self, image: int, level: int) -> MapSource:
        """One entry of a member of the archive."""
        member = self._levels[level]
        _, channels, height, width = member.shape
        return LibraryMap((channels, height, width), member.dtype, member.where, partial(member.channels, image))

    def storage(self, image: int, level: int) -> dict[str, Any]:
        """The level's member of the archive."""
        entry = self._archive.getinfo(f"{self.levels[level].name}.npy")
        filters = ["deflate"] if entry.compress_type == zipfile.ZIP_DEFLATED else []
        return array_storage(self._levels[level].shape, self._levels[level].dtype, entry.compress_size, filters)

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
            shape, fortran, self.dtype = npy_header(file, archive.getinfo(self._name).file_size, self.where)
            self._start = file.tell()
        self.stored_shape: tuple[int, ...] = shape
        self.shape: tuple[int, ...] = (1, *shape) if len(shape) == 3 else shape
        if fortran and len(self.shape) == 4:
            raise InputError(f"{self.where}: expected an array in C order, got Fortran order")

    @property
    def is_short_text(self) -> bool:
        """Whether it is text, and little of it."""
        return self.dtype.kind in "SU" and math.prod(self.stored_shape) * self.dtype.itemsize <= LONGEST_TEXT

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
