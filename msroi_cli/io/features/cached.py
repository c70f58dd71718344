"""Maps whose values stand in a file as they are in memory, seen where the page cache holds them: nothing is copied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from msroi_cli.extension import NATIVE, native
from msroi_cli.io.features.contiguous import ContiguousMap
from msroi_cli.io.features.layouts import CHANNELS_FIRST
from msroi_cli.io.features.source import MapSource


def cached_maps(sources: Sequence[MapSource], channel: int, count: int) -> list[NDArray[Any]] | None:
    """The channels from `channel` on of each map, (1, c, H, W), that may only be read.

    None where the page cache does not hold them all, so that they must be fetched. `lost_pages` tells afterwards if
    what was read there was the file's.
    """
    stored_maps = (source.stored for source in sources)
    plain = [one for one in stored_maps if isinstance(one, ContiguousMap) and one.is_aligned]
    if not NATIVE or len(plain) < len(sources):
        return None
    maps: list[NDArray[Any]] = []
    for source, stored in zip(sources, plain, strict=True):
        first, much = (channel, count) if source.layout == CHANNELS_FIRST else (0, stored.shape[0])
        content = native.cached_bytes(stored.file.descriptor, stored.start_of(first), much * stored.channel_bytes)
        if content is None:
            return None
        array = content.view(stored.dtype).reshape(1, much, *stored.shape[1:])
        maps.append(source.from_stored(array)[:, channel - first :][:, :count])
    return maps


def lost_pages() -> int:
    """How many pages of all such maps were taken from the page cache and could not be had again."""
    return native.lost_pages() if NATIVE else 0
