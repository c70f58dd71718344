"""Maps stored in chunks, plain or through filters: fetched and decoded on any thread.

HDF5 is asked only where a chunk lies. What it says of a chunk is honoured: its filter mask, fill values where a chunk
was never written, whole chunks at the edges. A chunk that does not decode is left to h5py, whose verdict counts.
Source: HDF5 File Format Specification, version 3.0, section III.F.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from msroi_cli.io.features.contiguous import RawFile
from msroi_cli.io.features.filters import Content, UndecodableError, decoded, elements_into, is_shuffled
from msroi_cli.io.features.source import FetchedMap, MapSource, Runs, Wanted


class Place(NamedTuple):
    """Where a chunk lies: its byte offset, None if it was never written; its size; which filters were left out."""

    offset: int | None
    size: int
    mask: int


@dataclass(frozen=True, slots=True, eq=False)
class ChunkStorage:
    """How a dataset (C, H, W) or (N, C, H, W) is chunked.

    chunks: the shape of a chunk. filters: filter codes in the order in which they were applied, all decodable.
    find: where the chunk lies that begins at some coordinates.
    """

    file: RawFile
    chunks: tuple[int, ...]
    filters: tuple[int, ...]
    dtype: np.dtype[Any]
    fill: Any
    find: Callable[[tuple[int, ...]], Place]

    @property
    def images(self) -> int:
        """How many images a chunk is of."""
        return 1 if len(self.chunks) == 3 else self.chunks[0]

    def read(self, origins: Iterable[tuple[int, ...]], where: str) -> Iterator[tuple[tuple[int, ...], Chunk]]:
        """The chunks that begin at `origins`, each good until the next is asked for; `where` names them in messages.

        Raises UndecodableError, and InputError or RunError if reading fails.
        """
        found = [(origin, self.find(origin)) for origin in origins]
        memory = np.empty(max((place.size for _, place in found), default=0), np.uint8)
        whole = math.prod(self.chunks) * self.dtype.itemsize
        for origin, place in found:
            if place.offset is None:
                yield origin, Chunk(self, None, False)
                continue
            stored = memory[: place.size]
            self.file.read_into([stored], place.offset, where)
            applied = tuple(code for index, code in enumerate(self.filters) if not place.mask >> index & 1)
            yield origin, Chunk(self, decoded(stored, applied, whole), is_shuffled(applied))


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a chunk holds: bytes as `elements_into` takes them, or None for fill values."""

    storage: ChunkStorage
    content: Content | None
    shuffled: bool

    def copy_into(self, out: NDArray[Any], image: int, channel: int) -> None:
        """Fills `out` (c, h, w) with what the chunk has of its image number `image`, from its `channel` on."""
        deep, high, wide = self.storage.chunks[-3:]
        if self.content is None:
            out[:] = self.storage.fill
        else:
            start = (image * deep + channel) * high * wide
            elements_into(out, self.content, self.shuffled, start, (high, wide))


class ChunkedMap(MapSource):
    """A map (C, H, W), or entry `image` of (N, C, H, W), in chunks. `whole` reads the same by way of h5py."""

    def __init__(self, storage: ChunkStorage, image: int, whole: FetchedMap) -> None:
        self._storage = storage
        self._image = image
        self._whole = whole
        self.shape = whole.shape
        self.dtype = whole.dtype
        self.where = whole.where
        self.channels_at_once = storage.chunks[-3]
        self.images_at_once = storage.images
        self.together = (storage, image // storage.images)

    def read_into(self, out: NDArray[Any], channel: int, runs: Runs) -> None:
        """Decodes every chunk that holds one of the rows."""
        self.read_together([Wanted(self, out, runs)], channel)

    @staticmethod
    def read_together(wanted: Sequence[Wanted[ChunkedMap]], channel: int) -> None:
        """Decodes every chunk that holds one of the rows once, for all maps."""
        try:
            first = wanted[0].source
            for origin, chunk in first._storage.read(first._origins(channel, wanted), first.where):
                for one in wanted:
                    one.source._take(chunk, origin, one.out, channel)
        except UndecodableError:
            for one in wanted:
                one.source._whole.read_into(one.out, channel, one.runs)

    def _origins(self, channel: int, wanted: Sequence[Wanted[ChunkedMap]]) -> Iterator[tuple[int, ...]]:
        """Where the chunks begin that hold a row that is wanted of this map or of one together with it."""
        *head, deep, high, wide = self._storage.chunks
        channels = range(channel // deep * deep, channel + len(wanted[0].out), deep)
        lines = {row // high for one in wanted for start, stop in one.runs for row in range(start, stop)}
        first = [self._image // images * images for images in head]
        for rest in product(channels, sorted(line * high for line in lines), range(0, self.shape[2], wide)):
            yield (*first, *rest)

    def _take(self, chunk: Chunk, origin: tuple[int, ...], out: NDArray[Any], channel: int) -> None:
        """Copies what a chunk has of this map's channels from `channel` on."""
        begin, top, left = origin[-3:]
        deep, high, wide = self._storage.chunks[-3:]
        first, last = max(begin, channel), min(begin + deep, channel + len(out))
        window = out[first - channel : last - channel, top : top + high, left : left + wide]
        chunk.copy_into(window, self._image % self._storage.images, first - begin)
