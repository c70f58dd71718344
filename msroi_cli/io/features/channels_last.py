"""Maps that are stored channels last, (H, W, C): whatever reads the channels of other maps reads the rows of these.

All channels of a row stand together, so that rows are read whole, and in place where `out` lies as they do: the kernel
pools such a view as it is.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.io.features.contiguous import ContiguousMap
from msroi_cli.io.features.layouts import CHANNELS_LAST
from msroi_cli.io.features.source import MapSource, ReadRequest, RowRanges


@dataclass(slots=True, eq=False)
class ChannelsLastMap(MapSource):
    """A map (C, H, W) of which the file holds (H, W, C): `stored`, as a map whose channels are these rows."""

    # Without a field of its own, the property of this name would be its default.
    stored: MapSource = field()

    @property
    def layout(self) -> str:
        """Channels last."""
        return CHANNELS_LAST

    def from_stored(self, values: NDArray[Any]) -> NDArray[Any]:
        """`values` (1, H, W, C)."""
        return values.transpose(0, 3, 1, 2)

    @property
    def channels_at_once(self) -> int:
        """All of them."""
        return self.shape[0]

    @property
    def images_at_once(self) -> int:
        """As many as are stored together."""
        return self.stored.images_at_once

    @property
    def batch_key(self) -> Hashable:
        """That of what is stored."""
        return self.stored.batch_key

    def block(self, memory: NDArray[Any], count: int) -> NDArray[Any]:
        """`memory` (count * H * W,) as (count, H, W): a view of (H, W, C) if that is all channels."""
        channels, height, width = self.shape
        if count < channels:
            return memory.reshape(count, height, width)
        return memory.reshape(height, width, channels).transpose(2, 0, 1)


def as_map(stored: MapSource, layout: str) -> MapSource:
    """The map (C, H, W) whose `stored` this is, in a layout: itself, or one with its last axis first."""
    if layout != CHANNELS_LAST:
        return stored
    height, width, channels = stored.shape
    return ChannelsLastMap((channels, height, width), stored.dtype, stored.where, stored)


Stored = ReadRequest[MapSource]


def requests_of_rows(
    requests: Sequence[ReadRequest[ChannelsLastMap]], arrays: Sequence[NDArray[Any]]
) -> Iterator[tuple[list[Stored], int]]:
    """What to read of the stored maps, and from which of their channels on, so that rows get into `arrays` (H, W, C).

    The requests have one batch key.
    """
    stored = [
        ReadRequest(request.source.stored, array, request.rows) for request, array in zip(requests, arrays, strict=True)
    ]
    lines = [_in_lines(one, one.source) for one in stored if isinstance(one.source, ContiguousMap)]
    if lines:
        yield lines, 0
    others = [one for one in stored if not isinstance(one.source, ContiguousMap)]
    shared = bool(others) and others[0].source.batch_key is not None
    for group in [others] if shared else [[one] for one in others]:
        height, width, _ = group[0].source.shape
        rows = [run for one in group for run in one.rows]
        for start, stop in whole_runs(rows, group[0].source.channels_at_once, height):
            yield [ReadRequest(one.source, one.out[start:stop], [(0, width)]) for one in group], start


def _in_lines(request: Stored, source: ContiguousMap) -> Stored:
    """The same as rows of one channel, for which reads are merged, and told to the system ahead."""
    height, *line = source.shape
    shape = (1, height, math.prod(line))
    return ReadRequest(replace(source, shape=shape), request.out.reshape(shape), request.rows)


def whole_runs(rows: RowRanges, deep: int, height: int) -> list[tuple[int, int]]:
    """The runs of some rows, of several maps in any order, widened to multiples of `deep` and joined."""
    runs: list[tuple[int, int]] = []
    for start, stop in sorted(rows):
        first, last = start // deep * deep, min(-(-stop // deep) * deep, height)
        if runs and first <= runs[-1][1]:
            runs[-1] = runs[-1][0], max(last, runs[-1][1])
        else:
            runs.append((first, last))
    return runs


def in_place(request: ReadRequest[ChannelsLastMap]) -> NDArray[Any] | None:
    """The `out` of a request as (H, W, C), if it is all channels and lies like that; None otherwise."""
    lines = request.out.transpose(1, 2, 0)
    return lines if lines.flags.c_contiguous and len(request.out) == request.source.shape[0] else None


def empty_rows(source: ChannelsLastMap) -> NDArray[Any]:
    """Memory for a map as it is stored, (H, W, C)."""
    return np.empty(source.stored.shape, source.dtype)
