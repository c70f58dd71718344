"""Levels whose sizes and strides contradict each other: they are refused before a crop is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msroi_cli.core.geometry import contradiction, contradiction_text
from msroi_cli.errors import InputError
from msroi_cli.io.pyramid.base import Pyramid

# Images that are looked at before the work begins. What is wrong with one is mostly wrong with the first of them.
CHECKED_FIRST = 256

ADVICE = "--levels names the levels finest first, --strides or --scales say their strides in that order"


def expected(pyramid: Pyramid, images: Sequence[int]) -> Iterator[int]:
    """Yields `images`, whose levels are asked for one after the other; the pyramid knows of some ahead."""
    for start in range(0, len(images), CHECKED_FIRST):
        some = images[start : start + CHECKED_FIRST]
        pyramid.expect(some)
        yield from some


def checked_sizes(pyramid: Pyramid, image: int) -> list[tuple[int, int]]:
    """The size (H, W) of each level of an image.

    Raises InputError where one does not fit the other images, or where a stride rises and the size does not fall.
    """
    sizes = pyramid.shapes(image)
    scales = [level.scale for level in pyramid.levels]
    found = contradiction(sizes, scales)
    if found is not None:
        where = pyramid.location if pyramid.layout == "batched" else pyramid.location.at(pyramid.image_ids[image])
        raise InputError(f"{where}: {contradiction_text(found, sizes, scales)} ({ADVICE})")
    return sizes
