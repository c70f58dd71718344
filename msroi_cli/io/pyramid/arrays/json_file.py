"""Pyramids in JSON, for small things made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.features.layouts import CHANNELS_LAST, layout_from
from msroi_cli.io.features.source import ArrayMap, MapSource
from msroi_cli.io.files.location import Location, parse_json
from msroi_cli.io.pyramid.arrays.batched import BatchedArrays, array_storage, chosen_levels, refuse_channels_last
from msroi_cli.io.pyramid.levels import LevelChoice, level_scales, scale_of


class JsonPyramid(BatchedArrays):
    """`{"levels": [{"name", "stride" or "spatial_scale", "data"}, ...], "image_ids": [...]}`; data becomes float32.

    A level may say `"layout": "hwc"`.
    """

    def __init__(self, location: Location, choice: LevelChoice) -> None:
        self.location = location
        content = parse_json(location.path, location.content())
        entries = content.get("levels") if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise InputError(f'{location}: expected a pyramid: {{"levels": [{{"name", "stride", "data"}}, ...]}}')
        refuse_channels_last(location, content)
        maps = {str(entry.get("name", f"level{i}")): self._map(i, entry) for i, entry in enumerate(entries)}
        if len(maps) < len(entries):
            raise InputError(f"{location}: levels: expected different names, got {', '.join(maps)} more than once")
        by_name = dict(zip(maps, entries, strict=True))
        names = chosen_levels(maps, choice, location)
        own = [
            scale_of(location.at(name), by_name[name].get("stride"), by_name[name].get("spatial_scale"))
            for name in names
        ]
        self.levels = level_scales(names, own, choice, location)
        self._maps = [maps[name] for name in names]
        self._describe([m.shape for m in self._maps], [m.dtype for m in self._maps], content, choice.mixed)

    def _map(self, index: int, entry: dict[str, Any]) -> NDArray[np.float32]:
        where = f"{self.location}: levels[{index}]"
        layout = layout_from(entry.get("layout"), where)
        try:
            numbers = np.array(entry["data"], dtype=np.float64)
            with np.errstate(over="ignore"):
                data = numbers.astype(np.float32)
        except KeyError:
            raise InputError(f"{where}: expected data, got only {', '.join(entry) or 'nothing'}") from None
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(
                f"{where}: data: expected numbers in nested lists of even lengths, got: {error}"
            ) from error
        if (np.isinf(data) & np.isfinite(numbers)).any():
            raise InputError(f"{where}: data: expected numbers that fit in float32, got larger ones")
        batch = data[None] if data.ndim == 3 else data
        return np.moveaxis(batch, -1, 1) if layout == CHANNELS_LAST and batch.ndim == 4 else batch

    def source(self, image: int, level: int) -> MapSource:
        """One entry of an array."""
        array = self._maps[level][image]
        return ArrayMap(array.shape, array.dtype, self.location.at(self.levels[level].name), array)

    def storage(self, image: int, level: int) -> dict[str, Any]:
        """The level as it is in memory."""
        array = self._maps[level]
        return array_storage(array.shape, array.dtype, array.nbytes, [])

    def close(self) -> None:
        """Nothing to close: the file was read whole."""
