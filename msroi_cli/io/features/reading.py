"""Reads maps of any kind: one reader for each class of source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.io.features.chunks import ChunkedMap, read_chunked
from msroi_cli.io.features.contiguous import ContiguousMap, read_contiguous
from msroi_cli.io.features.source import ArrayMap, LibraryMap, MapSource, ReadRequest, read_arrays, read_with_library

# A reader gets requests of its class with one batch key, and the first channel to read.
READERS: dict[type[MapSource], Callable[[Sequence[ReadRequest[Any]], int], None]] = {
    ArrayMap: read_arrays,
    LibraryMap: read_with_library,
    ContiguousMap: read_contiguous,
    ChunkedMap: read_chunked,
}


def read_maps(requests: Sequence[ReadRequest[MapSource]], channel: int) -> None:
    """Fills every request's `out` with its map's channels from `channel` on; neighbors with one batch key in one call.

    Raises InputError, or RunError if a read fails.
    """
    for (kind, _), group in groupby(requests, lambda request: (type(request.source), request.source.batch_key)):
        READERS[kind](list(group), channel)


def read_map(source: MapSource) -> NDArray[Any]:
    """The whole map, (C, H, W); raises as `read_maps` does."""
    out: NDArray[Any] = np.empty(source.shape, source.dtype)
    read_maps([ReadRequest(source, out, [(0, source.shape[1])])], 0)
    return out
