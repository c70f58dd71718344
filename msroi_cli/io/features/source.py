"""Where the values of one level of one image lie, and how to fetch a block of its channels, from any thread."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Runs = Sequence[tuple[int, int]]
"""Rows of a map: ascending, disjoint (start, stop) pairs."""


class MapSource(ABC):
    """One level of one image, (C, H, W) of `dtype`. `where` names it in messages.

    channels_at_once, images_at_once: channels, and images of the level, are fetched without waste in multiples of this
    many. together: what is equal for maps that are fetched without waste in one go; None for a map on its own.
    """

    where: str
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    channels_at_once: int = 1
    images_at_once: int = 1
    together: Hashable = None

    @property
    def channel_bytes(self) -> int:
        """The bytes of a channel."""
        return self.shape[1] * self.shape[2] * self.dtype.itemsize

    @abstractmethod
    def read_into(self, out: NDArray[Any], channel: int, runs: Runs) -> None:
        """Fills the rows `runs` of `out` (c, H, W) with those of the channels from `channel` on.

        Other rows of `out` may be filled too or stay as they are. Raises InputError, or RunError for a failed read.
        """

    @staticmethod
    def read_together(wanted: Sequence[Wanted[Any]], channel: int) -> None:
        """Does what `read_into` does for maps of this class with one `together`."""
        for one in wanted:
            one.source.read_into(one.out, channel, one.runs)

    def read(self) -> NDArray[Any]:
        """The whole map, (C, H, W)."""
        out: NDArray[Any] = np.empty(self.shape, self.dtype)
        self.read_into(out, 0, [(0, self.shape[1])])
        return out


Source = TypeVar("Source", bound=MapSource)


@dataclass(frozen=True, slots=True)
class Wanted(Generic[Source]):
    """Rows that are wanted of a map, and where they go: as in `MapSource.read_into`."""

    source: Source
    out: NDArray[Any]
    runs: Runs


def read_maps(wanted: Sequence[Wanted[MapSource]], channel: int) -> None:
    """Fills every `out`; what is stored together, and stands side by side in `wanted`, is fetched once.

    Raises InputError, or RunError for a failed read.
    """
    for _, alike in groupby(wanted, lambda one: (type(one.source), one.source.together)):
        group = list(alike)
        group[0].source.read_together(group, channel)


class ArrayMap(MapSource):
    """A map that is in memory."""

    def __init__(self, array: NDArray[Any], where: str) -> None:
        self._array = array
        self.where = where
        self.shape = array.shape
        self.dtype = array.dtype

    def read_into(self, out: NDArray[Any], channel: int, runs: Runs) -> None:
        """Copies."""
        for start, stop in runs:
            out[:, start:stop] = self._array[channel : channel + len(out), start:stop]


class FetchedMap(MapSource):
    """A map that its library reads: `fetch` gives the channels (c, H, W) from one number to another."""

    def __init__(
        self, fetch: Callable[[int, int], NDArray[Any]], shape: tuple[int, int, int], dtype: np.dtype[Any], where: str
    ) -> None:
        self._fetch = fetch
        self.shape = shape
        self.dtype = dtype
        self.where = where

    def read_into(self, out: NDArray[Any], channel: int, runs: Runs) -> None:
        """Fetches whole channels."""
        out[:] = self._fetch(channel, channel + len(out))
