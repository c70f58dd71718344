"""Images whose size the box file and the pyramid state differently: boxes of one do not lie right in the other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from msroi_cli.io.boxes.table import BoxTable
from msroi_cli.io.numbers import Indices
from msroi_cli.io.pyramid.base import Pyramid


def other_sizes(table: BoxTable, images: Indices, pyramid: Pyramid) -> list[str]:
    """A line for each image of boxes whose size is a pixel or more off what the box file says of it.

    images: (K,), the image of each box in the pyramid, negative if it has none. Empty where one does not say.
    """
    if not table.image_sizes or table.image_ids is None:
        return []
    known = np.flatnonzero(images >= 0)
    # Of several boxes of an image the first one counts. (np.unique would import much that nothing else needs.)
    first = np.full(len(table.image_ids), -1)
    first[table.image[known[::-1]]] = known[::-1]
    used = np.flatnonzero(first >= 0)
    found = []
    of_pyramid = images[first[used]]
    sizes = pyramid.image_sizes_of(of_pyramid).tolist()
    for image, own, actual in zip(of_pyramid.tolist(), used.tolist(), sizes, strict=True):
        stated = table.image_sizes.get(table.image_ids[own])
        if stated is None or math.isnan(actual[0]):
            continue
        if max(abs(one - other) for one, other in zip(stated, actual, strict=True)) >= 1:
            found.append(
                f"image {table.image_ids[own]!r}: expected a picture of {_text(stated)} pixels, as the box file says, "
                f"got {pyramid.image_ids[image]!r} of {_text(actual)}{_hint(stated, actual)}"
            )
    return found


def _text(size: Sequence[float]) -> str:
    return f"{size[0]:g} x {size[1]:g}"


def _hint(stated: Sequence[float], actual: Sequence[float]) -> str:
    """What the two have in common, if anything."""
    if tuple(stated) == (actual[1], actual[0]):
        return ", turned by its orientation"
    if abs(stated[0] / stated[1] / (actual[0] / actual[1]) - 1) < 0.01:
        return ", which has the same aspect"
    return ", which has another aspect"
