"""What is in a pyramid: its levels, how they are stored, and the values of a sample; quick however large it is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.io.features.reading import read_maps
from msroi_cli.io.features.source import MapSource, ReadRequest
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.io.pyramid.levels import LevelChoice
from msroi_cli.io.pyramid.open import open_pyramid

# Sizes and storage are taken from this many images, values from fewer and from some channels or rows of each.
IMAGES_LOOKED_AT, IMAGES_SAMPLED, VALUES_SAMPLED = 32, 4, 1 << 20


def pyramid_facts(text: str) -> dict[str, Any]:
    """What is in the pyramid `text`; raises InputError if it is none. Levels may lack a stride."""
    with open_pyramid(text, LevelChoice(scales_needed=False, mixed=True)) as pyramid:
        count = len(pyramid.image_ids)
        images = _spread(count, IMAGES_LOOKED_AT)
        if pyramid.layout == "per image" and pyramid.sample_image not in images:
            images = [pyramid.sample_image]
        levels = [_level(pyramid, level, images) for level in range(len(pyramid.levels))]
        return {
            "file": text,
            "kind": "pyramid",
            "layout": pyramid.layout,
            "images": count,
            "image_ids": list(pyramid.image_ids[:5]),
            "images_looked_at": len(images),
            "channels": pyramid.channels,
            "level_channels": list(pyramid.level_channels),
            "scale_factor": _range_of_pairs([pyramid.scale_factor(image) for image in images]),
            "offset": _range_of_pairs(_offsets(pyramid, images)),
            "image_size": _range_of_pairs([pyramid.image_size(image) for image in images]),
            "levels": levels,
            "bytes": sum(level["bytes"] for level in levels),
        }


def _offsets(pyramid: Pyramid, images: list[int]) -> list[tuple[float, float] | None]:
    """The offsets of some images; none where all lie at the corner."""
    offsets = [pyramid.offset(image) for image in images]
    return [pair if any(any(one) for one in offsets) else None for pair in offsets]


def _spread(count: int, most: int) -> list[int]:
    """At most `most` numbers below `count`, evenly spread."""
    numbers: list[int] = np.unique(np.linspace(0, max(0, count - 1), min(count, most)).astype(np.int64)).tolist()
    return numbers


def _level(pyramid: Pyramid, level: int, images: list[int]) -> dict[str, Any]:
    sources = [pyramid.source(image, level) for image in images]
    shapes = [source.shape for source in sources]
    stored = [pyramid.storage(image, level) for image in ([0] if pyramid.layout == "batched" else images)]
    whole = sum(one["bytes"] for one in stored)
    scale = pyramid.levels[level].scale
    return {
        "name": pyramid.levels[level].name,
        "stride": None if math.isnan(scale[0]) else [1 / scale[0], 1 / scale[1]],
        "height": _range([shape[1] for shape in shapes]),
        "width": _range([shape[2] for shape in shapes]),
        "shape": stored[0]["shape"],
        "dtype": stored[0]["dtype"],
        "layout": _distinct([source.layout for source in sources]),
        "chunks": _distinct([one["chunks"] for one in stored]),
        "filters": _distinct([one["filters"] for one in stored]),
        "bytes": whole if pyramid.layout == "batched" else whole * len(pyramid.image_ids) // max(1, len(images)),
        "sample": _values(pyramid, level, _spread(len(images), IMAGES_SAMPLED), images),
    }


def _sample(source: MapSource, most: int) -> list[NDArray[Any]]:
    """About `most` values of a map: of some channels, or of some rows where the channels of a row stand together."""
    stored = source.stored
    count, *sides = stored.shape
    parts = []
    for number in _spread(count, max(1, most // math.prod(sides))):
        block: NDArray[Any] = np.empty((1, *sides), stored.dtype)
        read_maps([ReadRequest(stored, block, [(0, sides[0])])], number)
        parts.append(block.ravel())
    return parts


def _values(pyramid: Pyramid, level: int, chosen: list[int], images: list[int]) -> dict[str, Any]:
    """The range and the share of NaN of some values of some images."""
    parts: list[NDArray[Any]] = []
    for image in (images[index] for index in chosen):
        parts += _sample(pyramid.source(image, level), VALUES_SAMPLED // len(chosen))
    values = np.concatenate(parts).astype(np.float64) if parts else np.empty(0)
    finite = values[np.isfinite(values)]
    return {
        "values": len(values),
        "min": float(finite.min()) if len(finite) else None,
        "max": float(finite.max()) if len(finite) else None,
        "nan_share": float(np.isnan(values).mean()) if len(values) else None,
        "infinite_share": float(np.isinf(values).mean()) if len(values) else None,
    }


def _distinct(values: list[Any]) -> list[Any]:
    """The values that differ, in the order in which they come."""
    return [value for index, value in enumerate(values) if value not in values[:index]]


def _range(values: list[Any]) -> list[Any] | None:
    return [min(values), max(values)] if values else None


def _range_of_pairs(pairs: list[tuple[float, float] | None]) -> dict[str, list[float]] | None:
    """The ranges of x and y of some pairs; None if there are none."""
    there = [(float(pair[0]), float(pair[1])) for pair in pairs if pair is not None]
    return (
        {
            "x": [*map(float, _range([x for x, _ in there]) or ())],
            "y": [*map(float, _range([y for _, y in there]) or ())],
        }
        if there
        else None
    )
