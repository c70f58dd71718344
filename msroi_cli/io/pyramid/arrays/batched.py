"""What pyramids that are plain arrays (N, C, H, W) share, whatever holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from msroi_cli.errors import InputError
from msroi_cli.io.features.layouts import says_channels_last
from msroi_cli.io.files.location import Location
from msroi_cli.io.hdf5.describe import dtype_text
from msroi_cli.io.messages import value_text
from msroi_cli.io.pyramid.base import BatchedPyramid
from msroi_cli.io.pyramid.checks import MIXED_HINT, check_map, different_ids, pairs_beside
from msroi_cli.io.pyramid.levels import LevelChoice, finest_first

SCALES = ("strides", "spatial_scales")
SIDE_ARRAYS = (*SCALES, "image_ids", "scale_factors", "image_sizes", "offsets")


# The bytes of the longest id that a file may have, and of what says how levels lie.
LONGEST_TEXT = 1 << 16


class BatchedArrays(BatchedPyramid):
    """Levels (N, C, H, W) with optional ids, scale factors and image sizes, whatever holds them."""

    def _describe(
        self, shapes: list[tuple[int, ...]], dtypes: list[np.dtype[Any]], side: dict[str, Any], mixed: bool
    ) -> None:
        """Checks the levels against each other and takes over the side arrays; mixed: see LevelChoice."""
        first = shapes[0]
        self.channels, self.dtype = (first[1] if len(first) == 4 else 0), dtypes[0]
        for level, shape, dtype in zip(self.levels, shapes, dtypes, strict=True):
            where = self.location.at(level.name)
            check_map(where, shape, dtype, (None if mixed else self.channels, self.dtype), MIXED_HINT)
            if len(shape) != 4 or shape[0] != first[0]:
                raise InputError(f"{where}: expected ({first[0]}, C, H, W) like {self.levels[0].name}, got {shape}")
        self.level_channels = tuple(shape[1] for shape in shapes)
        self.named_by_file = first[0] == 1 and side.get("image_ids") is None
        self.numbered = first[0] > 1 and side.get("image_ids") is None
        ids = side.get("image_ids", [self.location.path.stem] if self.named_by_file else list(range(first[0])))
        self.image_ids = different_ids(f"{self.location}: image_ids", ids, first[0])
        self.factors, self.sizes = (
            None if side.get(name) is None else pairs_beside(f"{self.location}: {name}", side[name], first[0])
            for name in ("scale_factors", "image_sizes")
        )
        if side.get("offsets") is not None:
            self.offsets = pairs_beside(f"{self.location}: offsets", side["offsets"], first[0], signed=True)


def says_layout(name: str) -> bool:
    """Whether what has this name beside the levels may say how they lie: `layout`, `layouts`, `p2_layout`."""
    return "layout" in name.lower()


def refuse_channels_last(location: Location, beside: Mapping[str, Any]) -> None:
    """Raises InputError where something beside the levels says that their channels are last."""
    for name, value in beside.items():
        if says_layout(name) and says_channels_last(value):
            raise InputError(
                f"{location}: {name}: expected channels first, got {value_text(value)} "
                '(channels last are read from HDF5 and JSON, where a level itself says layout "hwc")'
            )


def chosen_levels(arrays: dict[str, Any], choice: LevelChoice, location: Location) -> list[str]:
    """The names of the levels, finest first; raises InputError if there are none."""
    if choice.names is not None:
        for name in choice.names:
            if name not in arrays:
                raise InputError(f"{location}: expected an array {name}, got {', '.join(arrays) or 'none'}")
        return list(choice.names)
    shapes = {name: getattr(array, "shape", array) for name, array in arrays.items()}
    if not shapes:
        raise InputError(f"{location}: expected float arrays (N, C, H, W), one a level, got none")
    flat = next((name for name, shape in shapes.items() if len(shape) != 4), None)
    if flat is not None:
        raise InputError(f"{location.at(flat)}: expected (N, C, H, W), got {shapes[flat]}")
    return finest_first(shapes)


def array_storage(shape: tuple[int, ...], dtype: np.dtype[Any], size: int, filters: list[str]) -> dict[str, Any]:
    """How an array is stored that is not in HDF5, in the terms of `dataset_storage`; size: its bytes."""
    return {"shape": list(shape), "dtype": dtype_text(dtype), "chunks": None, "filters": filters, "bytes": size}
