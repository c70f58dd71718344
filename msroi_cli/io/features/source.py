"""What is known of one level of one image before its values are read: plain data, one class for each kind of storage.

`reading.read_maps` reads any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from msroi_cli.io.features.layouts import CHANNELS_FIRST

RowRanges = Sequence[tuple[int, int]]
"""Rows of a map: ascending, disjoint (start, stop) pairs."""


@dataclass(slots=True, eq=False)
class MapSource:
    """One level of one image: its `shape` (C, H, W) and `dtype`. `where` names it in messages."""

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    where: str

    @property
    def layout(self) -> str:
        """How the map lies in the file, one of MAP_LAYOUTS."""
        return CHANNELS_FIRST

    @property
    def stored(self) -> MapSource:
        """What lies in the file: of maps with their channels last another one, of others the map itself."""
        return self

    def from_stored(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of (1, C, H, W) as they lie in the file as the map has them, a view."""
        return values

    @property
    def channel_bytes(self) -> int:
        """The bytes of a channel."""
        return self.shape[1] * self.shape[2] * self.dtype.itemsize

    @property
    def channels_at_once(self) -> int:
        """Channels are read without waste in multiples of this many."""
        return 1

    @property
    def images_at_once(self) -> int:
        """Images of the level are read without waste in multiples of this many."""
        return 1

    @property
    def batch_key(self) -> Hashable:
        """Equal for maps that are read without waste in one call; None for a map on its own."""
        return None

    def block(self, memory: NDArray[Any], count: int) -> NDArray[Any]:
        """`memory` (count * H * W,) as (count, H, W), so that as many channels are read in place."""
        return memory.reshape(count, *self.shape[1:])


@dataclass(slots=True, eq=False)
class ArrayMap(MapSource):
    """A map in memory: `array` (C, H, W)."""

    array: NDArray[Any]


@dataclass(slots=True, eq=False)
class LibraryMap(MapSource):
    """A map that another library reads: `read_channels(start, stop)` gives these channels, (c, H, W)."""

    read_channels: Callable[[int, int], NDArray[Any]]


Source = TypeVar("Source", bound=MapSource, covariant=True)


@dataclass(slots=True, eq=False)
class ReadRequest(Generic[Source]):
    """The rows `rows` of a map, to be read into those of `out` (c, H, W); other rows of `out` are left undefined."""

    source: Source
    out: NDArray[Any]
    rows: RowRanges


def read_arrays(requests: Sequence[ReadRequest[ArrayMap]], channel: int) -> None:
    """Copies the channels from `channel` on."""
    for request in requests:
        for start, stop in request.rows:
            request.out[:, start:stop] = request.source.array[channel : channel + len(request.out), start:stop]


def read_with_library(requests: Sequence[ReadRequest[LibraryMap]], channel: int) -> None:
    """Reads whole channels, from `channel` on; raises what the library's function raises."""
    for request in requests:
        request.out[:] = request.source.read_channels(channel, channel + len(request.out))
