"""What is known of the images of a pyramid in several files once their file has been open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from msroi_cli.io.features.channels_last import as_map
from msroi_cli.io.features.contiguous import ContiguousMap
from msroi_cli.io.features.reading import read_maps
from msroi_cli.io.features.source import MapSource, ReadRequest
from msroi_cli.io.files.location import Location
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.io.pyramid.many.files import OpenedByName, descriptor_pool
from msroi_cli.io.pyramid.many.lasting import LastingSources
from msroi_cli.io.pyramid.many.members import Members
from msroi_cli.io.pyramid.many.numbering import Numbering

MOST_REMEMBERED = 1 << 16
"""Images of which sizes and offsets are kept once their file has been open."""


class Locator(Protocol):
    """Finds where the image of a file lies."""

    def locate(self, path: str) -> Any:
        """Its `offsets`, `shapes`, `layouts`, `factor` and `size`; None for a file to open as a pyramid."""


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """What is known of an image once its file has been open: its sources last longer than the file is open.

    checked: whether that was all there is to check.
    """

    shapes: tuple[tuple[int, int], ...]
    factor: tuple[float, float] | None
    size: tuple[float, float] | None
    offset: tuple[float, float]
    sources: tuple[MapSource, ...]
    checked: bool = False


class ImageRecords:
    """Records of images by number, made when they are first asked for."""

    def __init__(self, members: Members, numbering: Numbering, locator: Locator | None) -> None:
        """locator: finds images of which each has a file of its own."""
        self._members, self._numbering, self._locator = members, numbering, locator
        self._files = descriptor_pool()
        self._lasting = LastingSources()
        self._remembered: dict[int, ImageRecord] = {}

    def location(self, image: int) -> Location:
        """The file of an image."""
        return self._members.locations[self._numbering.owner[image]]

    @contextmanager
    def opened(self, image: int) -> Iterator[tuple[Pyramid, int]]:
        """The pyramid that an image is in, open within the block, and the image's number there."""
        with self._members.using(self._numbering.owner[image]) as pyramid:
            yield pyramid, self._numbering.entry[image]

    def find(self, image: int, factors_matter: bool) -> ImageRecord:
        """What is known of an image; its file is opened the first time. Raises InputError.

        factors_matter: that of the pyramid.
        """
        known = self._remembered.get(image)
        if known is not None:
            return known
        record = self._located(image) or self._read(image, factors_matter)
        # The chunks of an image are too many to be kept.
        plain = all(isinstance(source.stored, ContiguousMap) for source in record.sources)
        if plain and len(self._remembered) < MOST_REMEMBERED:
            self._remembered[image] = record
        return record

    def _located(self, image: int) -> ImageRecord | None:
        """The record of an image in a file like those looked at; None for any other."""
        path = str(self.location(image).path)
        located = self._locator.locate(path) if self._locator is not None else None
        if located is None:
            return None
        file, places = OpenedByName.of(path, self._files), (located.shapes, located.layouts, located.offsets)
        sources = [
            as_map(ContiguousMap(shape, self._members.dtype, f"{path}:/{level.name}", file, offset), layout)
            for level, shape, layout, offset in zip(self._members.levels, *places, strict=True)
        ]
        shapes = tuple(source.shape[1:] for source in sources)
        return ImageRecord(shapes, located.factor, located.size, (0.0, 0.0), tuple(sources), checked=True)

    def _read(self, image: int, factors_matter: bool) -> ImageRecord:
        with self.opened(image) as (pyramid, entry):
            pyramid.factors_matter = factors_matter
            sources = [pyramid.source(entry, level) for level in range(len(self._members.levels))]
            return ImageRecord(
                tuple((source.shape[1], source.shape[2]) for source in sources),
                pyramid.scale_factor(entry),
                pyramid.image_size(entry),
                pyramid.offset(entry),
                tuple(self._outliving(image, level, source) for level, source in enumerate(sources)),
            )

    def _outliving(self, image: int, level: int, source: MapSource) -> MapSource:
        path, stored = str(self.location(image).path), source.stored
        file = OpenedByName.of(stored.file.name if isinstance(stored, ContiguousMap) else path, self._files)
        return self._lasting.lasting(source, file, partial(self._read_again, image, level))

    def _read_again(self, image: int, level: int, start: int, stop: int) -> NDArray[Any]:
        """What is stored of a map from `start` to `stop` of its first axis, by way of its pyramid."""
        with self.opened(image) as (pyramid, entry):
            source = pyramid.source(entry, level).stored
            out: NDArray[Any] = np.empty((stop - start, *source.shape[1:]), source.dtype)
            read_maps([ReadRequest(source, out, [(0, source.shape[1])])], start)
        return out

    def close(self) -> None:
        """Closes the files that values were read from."""
        self._files.close()
