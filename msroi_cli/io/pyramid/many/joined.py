"""Several pyramid files as one pyramid, opened when their images are wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.features.channels_last import as_map, as_stored
from msroi_cli.io.features.contiguous import ContiguousMap
from msroi_cli.io.features.reading import read_maps
from msroi_cli.io.features.source import MapSource, ReadRequest
from msroi_cli.io.files.handles import Handles
from msroi_cli.io.files.location import Location, Source
from msroi_cli.io.files.natural import natural_key
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.io.pyramid.checks import check_factor
from msroi_cli.io.pyramid.levels import Level, LevelChoice, channels_text
from msroi_cli.io.pyramid.many.files import OpenedByName, descriptor_pool
from msroi_cli.io.pyramid.many.lasting import LastingSources
from msroi_cli.io.pyramid.many.paths import files_of

Opener = Callable[[Location, LevelChoice], Pyramid]

SAMPLES = 8
"""Files that are opened at the start; if each of them is one image, so is every other, checked when it is opened."""

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


class JoinedPyramid(Pyramid):
    """The images of several pyramids with the same levels, channels and dtype.

    Images are in natural order of their ids; where a file is batched, file after file, each in its own order.
    """

    layout = "several files"

    def __init__(
        self,
        location: Location,
        members: Sequence[Location],
        choice: LevelChoice,
        opener: Opener,
        locator_like: Callable[[Pyramid, LevelChoice], Locator | None],
    ) -> None:
        """Opens some of the `members` or all; raises InputError or UsageError, naming the file.

        locator_like: gives what finds images like one quickly.
        """
        self._locator_like = locator_like
        self.location = location
        self._members = list(members)
        self._opener, self._choice = opener, choice
        self.links = choice.access.links
        self._open = Handles(self._opened, lambda pyramid: pyramid.close())
        self._files = descriptor_pool()
        self._lasting = LastingSources()
        self._records: dict[int, ImageRecord] = {}
        self._levels: tuple[Level, ...] = ()
        self._one_each = False
        self._has_factors: bool | None = None
        self._locator: Locator | None = None
        try:
            self._take_levels()
            self._number_images()
        except BaseException:
            self.close()
            raise

    def _take_levels(self) -> None:
        """Levels, channels and dtype of the first file, which hold for all."""
        with self._open.using(0) as first:
            self.levels, self.channels, self.dtype = first.levels, first.channels, first.dtype
            self.level_channels = first.level_channels
            named = self._choice.names is not None
            self._choice = replace(self._choice, names=tuple(level.name for level in first.levels), only=not named)
            self._levels = first.levels

    def _opened(self, number: int) -> Pyramid:
        """Opens a member and checks it against the first."""
        pyramid = self._opener(self._members[number], self._choice)
        try:
            if self._levels:
                self._check_alike(pyramid)
        except BaseException:
            pyramid.close()
            raise
        return pyramid

    def _check_alike(self, pyramid: Pyramid) -> None:
        where, first = pyramid.location, self._members[0]
        if self._one_each and not pyramid.named_by_file:
            raise InputError(
                f"{where}: expected the levels of one image as in {first}, got {len(pyramid.image_ids)} images"
            )
        if (pyramid.level_channels, pyramid.dtype) != (self.level_channels, self.dtype):
            wanted, actual = (channels_text(channels) for channels in (self.level_channels, pyramid.level_channels))
            raise InputError(
                f"{where}: expected {wanted} channels of {self.dtype} as in {first}, got {actual} of {pyramid.dtype}"
            )
        for own, level in zip(pyramid.levels, self._levels, strict=True):
            if not np.allclose(own.scale, level.scale, rtol=1e-6, equal_nan=True):
                actual, wanted = (" x ".join(f"{1 / side:g}" for side in scale) for scale in (own.scale, level.scale))
                raise InputError(f"{where.at(own.name)}: expected stride {wanted} as in {first}, got {actual}")

    def _number_images(self) -> None:
        """Gives every image its number; raises InputError for an id that two files have."""
        count = len(self._members)
        sampled = np.unique(np.linspace(0, count - 1, SAMPLES).astype(int)).tolist()
        self._one_each = all(self._is_one_image(number) for number in sampled)
        if self._one_each:
            with self._open.using(0) as first:
                self._locator = self._locator_like(first, self._choice)
            contents = [(False, [member.path.stem]) for member in self._members]
        else:
            contents = [self._contents(number) for number in range(count)]
        ids = [text for _, own in contents for text in own]
        owner = np.repeat(np.arange(count), [len(own) for _, own in contents])
        entry = np.concatenate([np.arange(len(own)) for _, own in contents])
        order = list(range(len(ids)))
        if not any(ordered for ordered, _ in contents):
            order.sort(key=lambda index: natural_key(ids[index]))
        self.image_ids = [ids[index] for index in order]
        self._owner, self._entry = owner[order].tolist(), entry[order].tolist()
        self._refuse_duplicates()
        self._sampled = [image for image, number in enumerate(self._owner) if number in set(sampled)][:SAMPLES]
        self.sample_image = self._owner.index(0) if 0 in self._owner else 0
        self._has_factors = any(self.scale_factor(image) is not None for image in self._sampled)

    def _is_one_image(self, number: int) -> bool:
        with self._open.using(number) as pyramid:
            return pyramid.named_by_file

    def _contents(self, number: int) -> tuple[bool, list[str]]:
        """Whether the images of a member have an order of their own, and their ids."""
        with self._open.using(number) as pyramid:
            return pyramid.layout == "batched" and not pyramid.named_by_file, list(pyramid.image_ids)

    def _refuse_duplicates(self) -> None:
        first: dict[str, int] = {}
        for image, text in enumerate(self.image_ids):
            other = first.setdefault(text, image)
            if other != image:
                one, two = (self._members[self._owner[index]] for index in (other, image))
                raise InputError(f"{self.location}: expected image ids that differ, got {text!r} in {one} and in {two}")

    def _record(self, image: int) -> ImageRecord:
        """What is known of an image; its file is opened the first time.

        Raises InputError unless it has a scale factor where the others have one, and only there.
        """
        record = self._found(image)
        if self.factors_matter and self._has_factors is not None:
            where = f"{self._members[self._owner[image]]}: image {self.image_ids[image]}"
            check_factor(where, record.factor, record.offset, self._has_factors, "other images")
        return record

    def _found(self, image: int) -> ImageRecord:
        """The same, unchecked."""
        record = self._records.get(image) or self._quick_record(image)
        if record is None:
            number, entry = self._owner[image], self._entry[image]
            with self._open.using(number) as pyramid:
                pyramid.factors_matter = self.factors_matter
                sources = [pyramid.source(entry, level) for level in range(len(self.levels))]
                record = ImageRecord(
                    tuple((source.shape[1], source.shape[2]) for source in sources),
                    pyramid.scale_factor(entry),
                    pyramid.image_size(entry),
                    pyramid.offset(entry),
                    tuple(self._outliving(image, level, source) for level, source in enumerate(sources)),
                )
            # The chunks of an image are too many to be kept.
            plain = all(isinstance(as_stored(source), ContiguousMap) for source in record.sources)
            if plain and len(self._records) < MOST_REMEMBERED:
                self._records[image] = record
        return record

    def _quick_record(self, image: int) -> ImageRecord | None:
        """The same for a file of one image like those looked at; None for any other."""
        path = str(self._members[self._owner[image]].path)
        located = self._locator.locate(path) if self._locator is not None else None
        if located is None:
            return None
        file, places = OpenedByName.of(path, self._files), (located.shapes, located.layouts, located.offsets)
        sources = [
            as_map(ContiguousMap(shape, self.dtype, f"{path}:/{level.name}", file, offset), layout)
            for level, shape, layout, offset in zip(self.levels, *places, strict=True)
        ]
        shapes = tuple(source.shape[1:] for source in sources)
        record = ImageRecord(shapes, located.factor, located.size, (0.0, 0.0), tuple(sources), checked=True)
        if len(self._records) < MOST_REMEMBERED:
            self._records[image] = record
        return record

    def _outliving(self, image: int, level: int, source: MapSource) -> MapSource:
        path, stored = str(self._members[self._owner[image]].path), as_stored(source)
        file = OpenedByName.of(stored.file.name if isinstance(stored, ContiguousMap) else path, self._files)
        return self._lasting.lasting(source, file, partial(self._read_again, image, level))

    def _read_again(self, image: int, level: int, start: int, stop: int) -> NDArray[Any]:
        """What is stored of a map from `start` to `stop` of its first axis, by way of its pyramid."""
        with self._open.using(self._owner[image]) as pyramid:
            source = as_stored(pyramid.source(self._entry[image], level))
            out: NDArray[Any] = np.empty((stop - start, *source.shape[1:]), source.dtype)
            read_maps([ReadRequest(source, out, [(0, source.shape[1])])], start)
        return out

    def shapes(self, image: int) -> list[tuple[int, int]]:
        """As the image's file has them."""
        return list(self._record(image).shapes)

    def source(self, image: int, level: int) -> MapSource:
        """The image's level in its file, which is opened when values are read."""
        return self._record(image).sources[level]

    def sources(self, wanted: Sequence[tuple[int, int]]) -> list[MapSource]:
        """As `source`; the levels of an image in one go."""
        records: dict[int, ImageRecord] = {}
        for image, _ in wanted:
            if image not in records:
                records[image] = self._record(image)
        return [records[image].sources[level] for image, level in wanted]

    @property
    def has_scale_factors(self) -> bool:
        """Whether one of the images looked at has one."""
        return bool(self._has_factors)

    @property
    def has_offsets(self) -> bool:
        """Whether one of the images looked at has one."""
        return any(self._found(image).offset != (0.0, 0.0) for image in self._sampled)

    def scale_factor(self, image: int) -> tuple[float, float] | None:
        """As the image's file has it."""
        return self._record(image).factor

    def image_size(self, image: int) -> tuple[float, float] | None:
        """As the image's file has it."""
        return self._record(image).size

    def offset(self, image: int) -> tuple[float, float]:
        """As the image's file has it."""
        return self._record(image).offset

    def storage(self, image: int, level: int) -> dict[str, Any]:
        """As the image's file has it."""
        with self._open.using(self._owner[image]) as pyramid:
            return pyramid.storage(self._entry[image], level)

    def check(self, image: int) -> None:
        """As the image's file checks it; what was located quickly was checked then."""
        if self._record(image).checked:
            return
        with self._open.using(self._owner[image]) as pyramid:
            pyramid.check(self._entry[image])

    def fingerprint(self) -> Source:
        """All files in one."""
        return Source.of_files(self.location.path.name, self.files())

    def files(self) -> list[Path]:
        """The files of all members."""
        return [file for member in self._members for file in files_of(member)]

    def close(self) -> None:
        """Closes what is open."""
        self._open.close()
        self._files.close()
