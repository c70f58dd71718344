"""Maps stored in chunks, with or without filters: read and decoded on any thread.

HDF5 only provides where each chunk lies: its filter mask, fill values for a chunk that was never written, and whole
chunks at the edges are handled here. A chunk that may be unfiltered at an edge is read with h5py, which knows.
Source: HDF5 File Format Specification, version 3.0, section III.F.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.features.contiguous import RawFile
from msroi_cli.io.features.filters import Content, UndecodableError, decoded, elements_into, is_shuffled
from msroi_cli.io.features.source import MapSource, ReadRequest
from msroi_cli.io.hdf5.chunk_index import ChunkIndex, ChunkLocation


@dataclass(slots=True, eq=False)
class ChunkStorage:
    """The chunks of a dataset (C, H, W) or (N, C, H, W), whose filters are all decodable.

    fill: the value where a chunk was never written. find: gives the location of the chunk that begins at some
    coordinates, checked. read_block: reads a block, a slice an axis, with h5py; raises
    InputError about `where`.
    """

    file: RawFile
    index: ChunkIndex
    dtype: np.dtype[Any]
    fill: Any
    find: Callable[[tuple[int, ...]], ChunkLocation]
    read_block: Callable[[tuple[slice, ...], str], NDArray[Any]]

    @property
    def chunks(self) -> tuple[int, ...]:
        """The shape of a chunk."""
        return self.index.shape

    @property
    def images(self) -> int:
        """How many images a chunk holds."""
        return 1 if len(self.chunks) == 3 else self.chunks[0]

    def read(self, origins: Iterable[tuple[int, ...]], where: str) -> Iterator[tuple[tuple[int, ...], Chunk]]:
        """The chunks that begin at `origins`, each valid until the next one is read; `where` names them in messages.

        Raises InputError, or RunError if reading fails.
        """
        found = [(origin, self.find(origin)) for origin in origins]
        memory = np.empty(max((location.size for _, location in found), default=0), np.uint8)
        for origin, location in found:
            if location.offset is None:
                yield origin, Chunk(self, None, False)
                continue
            stored = memory[: location.size]
            self.file.read_into([stored], location.offset, where)
            yield origin, self._decoded(stored, origin, location, where)

    def may_be_unfiltered(self, origin: tuple[int, ...], location: ChunkLocation) -> bool:
        """Whether a chunk at the edge was perhaps left unfiltered, which only HDF5 can tell (H5Pset_chunk_opts)."""
        whole = location.size == self.index.whole and bool(self.index.applied(location.filter_mask))
        return whole and self.index.is_partial(origin)

    def _decoded(self, stored: Content, origin: tuple[int, ...], location: ChunkLocation, where: str) -> Chunk:
        applied = self.index.applied(location.filter_mask)
        if self.may_be_unfiltered(origin, location):
            return self._with_h5py(origin, where)
        try:
            return Chunk(self, decoded(stored, applied, self.index.whole), is_shuffled(applied))
        except UndecodableError:
            expected = f"{self.index.whole} bytes behind its filters"
            raise InputError(f"{where}: cannot be read: chunk at {origin}: expected {expected}, got others") from None

    def _with_h5py(self, origin: tuple[int, ...], where: str) -> Chunk:
        values = self.read_block(
            tuple(slice(at, at + side) for at, side in zip(origin, self.chunks, strict=True)), where
        )
        whole: NDArray[Any] = np.zeros(self.chunks, self.dtype)
        whole[tuple(map(slice, values.shape))] = values
        return Chunk(self, whole.reshape(-1).view(np.uint8), False)


class Chunk(NamedTuple):
    """A decoded chunk: bytes as `elements_into` takes them, or None for fill values."""

    storage: ChunkStorage
    content: Content | None
    shuffled: bool

    def copy_into(self, out: NDArray[Any], image: int, channel: int) -> None:
        """Fills `out` (c, h, w) with the values of the chunk's image number `image`, from its `channel` on."""
        deep, high, wide = self.storage.chunks[-3:]
        if self.content is None:
            out[:] = self.storage.fill
        else:
            start = (image * deep + channel) * high * wide
            elements_into(out, self.content, self.shuffled, start, (high, wide))


@dataclass(slots=True, eq=False)
class ChunkedMap(MapSource):
    """A map (C, H, W), or entry `image` of (N, C, H, W), in chunks."""

    storage: ChunkStorage
    image: int

    @property
    def channels_at_once(self) -> int:
        """How many channels a chunk holds."""
        return self.storage.chunks[-3]

    @property
    def images_at_once(self) -> int:
        """How many images a chunk holds."""
        return self.storage.images

    @property
    def batch_key(self) -> Hashable:
        """Equal for maps whose values lie in the same chunks."""
        return self.storage, self.image // self.storage.images


def read_chunked(requests: Sequence[ReadRequest[ChunkedMap]], channel: int) -> None:
    """Reads maps of one batch key, the channels from `channel` on: decodes each chunk that holds one of the rows once.

    Raises InputError, or RunError if a read fails.
    """
    first = requests[0].source
    for origin, chunk in first.storage.read(_origins(requests, channel), first.where):
        for request in requests:
            _copy(chunk, origin, request, channel)


def _origins(requests: Sequence[ReadRequest[ChunkedMap]], channel: int) -> Iterator[tuple[int, ...]]:
    """The coordinates at which the chunks begin that hold a row of one of the requests."""
    source = requests[0].source
    *head, deep, high, wide = source.storage.chunks
    channels = range(channel // deep * deep, channel + len(requests[0].out), deep)
    lines = {row // high for request in requests for start, stop in request.rows for row in range(start, stop)}
    first = [source.image // images * images for images in head]
    for rest in product(channels, sorted(line * high for line in lines), range(0, source.shape[2], wide)):
        yield (*first, *rest)


def _copy(chunk: Chunk, origin: tuple[int, ...], request: ReadRequest[ChunkedMap], channel: int) -> None:
    """Copies what a chunk holds of the map's channels from `channel` on."""
    storage, out = request.source.storage, request.out
    begin, top, left = origin[-3:]
    deep, high, wide = storage.chunks[-3:]
    first, last = max(begin, channel), min(begin + deep, channel + len(out))
    window = out[first - channel : last - channel, top : top + high, left : left + wide]
    chunk.copy_into(window, request.source.image % storage.images, first - begin)
