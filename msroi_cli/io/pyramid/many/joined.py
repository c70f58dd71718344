"""Several pyramid files as one pyramid, opened when their images are wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from msroi_cli.io.features.source import MapSource
from msroi_cli.io.files.location import Location, Source
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.io.pyramid.checks import check_factor
from msroi_cli.io.pyramid.levels import LevelChoice
from msroi_cli.io.pyramid.many.members import SAMPLES, Members, Opener
from msroi_cli.io.pyramid.many.numbering import Numbering
from msroi_cli.io.pyramid.many.paths import files_of
from msroi_cli.io.pyramid.many.records import ImageRecord, ImageRecords, Locator


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
        self.location = location
        self.links = choice.access.links
        self._has_factors: bool | None = None
        with ExitStack() as opened:
            self._members = Members(members, choice, opener)
            opened.callback(self._members.close)
            self.levels, self.channels, self.dtype = self._members.levels, self._members.channels, self._members.dtype
            self.level_channels = self._members.level_channels
            numbering = Numbering.of(self._members, location)
            self.image_ids = numbering.image_ids
            self.sample_image = numbering.owner.index(0) if 0 in numbering.owner else 0
            self._records = ImageRecords(self._members, numbering, self._locator(locator_like))
            opened.callback(self._records.close)
            self._sampled = numbering.images_in(set(self._members.samples), SAMPLES)
            self._has_factors = any(self.scale_factor(image) is not None for image in self._sampled)
            self._opened = opened.pop_all()

    def _locator(self, locator_like: Callable[[Pyramid, LevelChoice], Locator | None]) -> Locator | None:
        if not self._members.one_each:
            return None
        with self._members.using(0) as first:
            return locator_like(first, self._members.choice)

    def _record(self, image: int) -> ImageRecord:
        """What is known of an image.

        Raises InputError unless it has a scale factor where the others have one, and only there.
        """
        record = self._records.find(image, self.factors_matter)
        if self.factors_matter and self._has_factors is not None:
            where = f"{self._records.location(image)}: image {self.image_ids[image]}"
            check_factor(where, record.factor, record.offset, self._has_factors, "other images")
        return record

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
        return any(self._records.find(image, self.factors_matter).offset != (0.0, 0.0) for image in self._sampled)

    def scale_factor(self, image: int) -> tuple[float, float] | None:
        """As the image's file has it."""
        return self._record(image).factor

    def image_size(self, image: int) -> tuple[float, float] | None:
        """As the image's file has it."""
        return self._record(image).size

    def offset(self, image: int) -> tuple[float, float]:
        """As the image's file has it."""
        return self._record(image).offset

    def padded_to(self, image: int) -> tuple[int, int]:
        """As the image's file has it."""
        with self._records.opened(image) as (pyramid, entry):
            return pyramid.padded_to(entry)

    def storage(self, image: int, level: int) -> dict[str, Any]:
        """As the image's file has it."""
        with self._records.opened(image) as (pyramid, entry):
            return pyramid.storage(entry, level)

    def check(self, image: int) -> None:
        """As the image's file checks it; what was located quickly was checked then."""
        if self._record(image).checked:
            return
        with self._records.opened(image) as (pyramid, entry):
            pyramid.check(entry)

    def fingerprint(self) -> Source:
        """All files in one."""
        return Source.of_files(self.location.path.name, self.files())

    def files(self) -> list[Path]:
        """The files of all members."""
        return [file for member in self._members.locations for file in files_of(member)]

    def close(self) -> None:
        """Closes what is open."""
        self._opened.close()
