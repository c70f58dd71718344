"""Reads maps of any kind: one reader for each class of source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError, RunError
from msroi_cli.io.features.channels_last import ChannelsLastMap, empty_rows, in_place, requests_of_rows
from msroi_cli.io.features.chunks import ChunkedMap, read_chunked
from msroi_cli.io.features.contiguous import ContiguousMap, read_contiguous, read_small
from msroi_cli.io.features.source import ArrayMap, LibraryMap, MapSource, ReadRequest, read_arrays, read_with_library


def _read_channels_last(requests: Sequence[ReadRequest[ChannelsLastMap]], channel: int) -> None:
    """Reads rows with all their channels; from where `out` lies otherwise, those from `channel` on are copied to it."""
    places = [in_place(request) for request in requests]
    pairs = zip(requests, places, strict=True)
    arrays = [empty_rows(request.source) if place is None else place for request, place in pairs]
    for some, first in requests_of_rows(requests, arrays):
        read_maps(some, first)
    for request, place, array in zip(requests, places, arrays, strict=True):
        for start, stop in request.rows if place is None else ():
            values = array[start:stop, :, channel : channel + len(request.out)]
            request.out[:, start:stop] = values.transpose(2, 0, 1)


# A reader gets requests of its class with one batch key, and the first channel to read.
READERS: dict[type[MapSource], Callable[[Sequence[ReadRequest[Any]], int], None]] = {
    ArrayMap: read_arrays,
    LibraryMap: read_with_library,
    ContiguousMap: read_contiguous,
    ChunkedMap: read_chunked,
    ChannelsLastMap: _read_channels_last,
}


def read_maps(requests: Sequence[ReadRequest[MapSource]], channel: int) -> None:
    """Fills every request's `out` with its map's channels from `channel` on; neighbors with one batch key in one call.

    Raises InputError, or RunError if a read fails.
    """
    for (kind, _), group in groupby(requests, lambda request: (type(request.source), request.source.batch_key)):
        READERS[kind](list(group), channel)


def small_maps(sources: Sequence[MapSource], limit: int) -> list[NDArray[Any]]:
    """Whole maps, (1, C, H, W) each, if all are small, at most `limit` bytes together, and in one file as in memory.

    None of them otherwise, or where one cannot be read: `read_maps` says what is wrong.
    """
    stored_maps = (source.stored for source in sources)
    maps = [one for one in stored_maps if isinstance(one, ContiguousMap) and one.is_small]
    if len(maps) < len(sources) or any(one.file is not maps[0].file for one in maps):
        return []
    if sum(one.size for one in maps) > limit:
        return []
    with suppress(InputError, RunError):
        return [source.from_stored(values) for source, values in zip(sources, read_small(maps), strict=True)]
    return []


def read_map(source: MapSource) -> NDArray[Any]:
    """The whole map, (C, H, W); raises as `read_maps` does."""
    out: NDArray[Any] = np.empty(source.shape, source.dtype)
    read_maps([ReadRequest(source, out, [(0, source.shape[1])])], 0)
    return out
