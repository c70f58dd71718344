"""Sources of maps that outlive the pyramid that gave them: their file is opened by name when they are read."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import replace
from itertools import product
from typing import Any

from numpy.typing import NDArray

from msroi_cli.io.features.channels_last import ChannelsLastMap
from msroi_cli.io.features.chunks import ChunkedMap, ChunkStorage
from msroi_cli.io.features.contiguous import ContiguousMap, RawFile
from msroi_cli.io.features.source import ArrayMap, LibraryMap, MapSource

MOST_CHUNKS = 1 << 14
"""Maps in more chunks than this are read with their library."""

ReadAgain = Callable[[int, int], NDArray[Any]]
"""Opens the file once more and reads what is stored of a map, from one number of its first axis to another."""


class LastingSources:
    """Makes sources last. Images that lie in the same chunks keep one storage, so that chunks are decoded once."""

    def __init__(self, remembered: int = 256) -> None:
        self._storages: dict[Hashable, ChunkStorage | None] = {}
        self._remembered = remembered

    def lasting(self, source: MapSource, file: RawFile, read_again: ReadAgain) -> MapSource:
        """The same map; `file`: the map's file, opened by name. Maps of one dataset have one name `where`."""
        if isinstance(source, ArrayMap):
            return source
        if isinstance(source, ChannelsLastMap):
            return replace(source, stored=self.lasting(source.stored, file, read_again))
        if isinstance(source, ContiguousMap):
            return replace(source, file=file)
        by_library = LibraryMap(source.shape, source.dtype, source.where, read_again)
        if not isinstance(source, ChunkedMap):
            return by_library
        key = (source.where, source.image // source.images_at_once)
        if key not in self._storages:
            while len(self._storages) >= self._remembered:
                self._storages.pop(next(iter(self._storages)), None)
            self._storages[key] = _with_locations(source, file)
        storage = self._storages.get(key)
        return by_library if storage is None else replace(source, storage=storage)


def _with_locations(source: ChunkedMap, file: RawFile) -> ChunkStorage | None:
    """The chunks of a map with their locations looked up; None where they are too many, or some need HDF5."""
    storage = source.storage
    sides = [range(0, side, step) for side, step in zip(source.shape, storage.chunks[-3:], strict=True)]
    if math.prod(map(len, sides)) > MOST_CHUNKS:
        return None
    head = () if len(storage.chunks) == 3 else (source.image // storage.images * storage.images,)
    locations = {(*head, *rest): storage.find((*head, *rest)) for rest in product(*sides)}
    if any(storage.may_be_unfiltered(*one) for one in locations.items()):
        return None
    return replace(storage, file=file, find=locations.__getitem__)
