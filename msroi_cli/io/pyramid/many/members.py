"""The files of a pyramid in several: each opened when its images are wanted, and checked against the first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np

from msroi_cli.errors import InputError
from msroi_cli.io.files.handles import Handles
from msroi_cli.io.files.location import Location
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.io.pyramid.levels import Level, LevelChoice, channels_text

Opener = Callable[[Location, LevelChoice], Pyramid]

SAMPLES = 8
"""Files that are opened at the start; if each of them is one image, so is every other, checked when it is opened."""


class Members:
    """Pyramids by number, of which some are open at a time.

    levels, channels, level_channels, dtype: those of the first, which hold for all. choice: with the names of its
    levels. samples: the numbers of those opened at the start. one_each: whether each is one image.
    """

    def __init__(self, locations: Sequence[Location], choice: LevelChoice, opener: Opener) -> None:
        """Opens the first and some others; raises InputError or UsageError, naming the file."""
        self.locations = list(locations)
        self.levels: tuple[Level, ...] = ()
        self.choice = choice
        self.one_each = False
        self._opener = opener
        self._open = Handles(self._opened, lambda pyramid: pyramid.close())
        try:
            self._take_levels()
            self.samples: list[int] = np.unique(np.linspace(0, len(locations) - 1, SAMPLES).astype(int)).tolist()
            self.one_each = all(map(self._is_one_image, self.samples))
        except BaseException:
            self.close()
            raise

    def using(self, number: int) -> AbstractContextManager[Pyramid]:
        """A member, open within the block; raises InputError unless it is like the first."""
        return self._open.using(number)

    def _take_levels(self) -> None:
        with self.using(0) as first:
            self.channels, self.level_channels, self.dtype = first.channels, first.level_channels, first.dtype
            named = self.choice.names is not None
            self.choice = self.choice._replace(names=tuple(level.name for level in first.levels), only=not named)
            self.levels = first.levels

    def _is_one_image(self, number: int) -> bool:
        with self.using(number) as pyramid:
            return pyramid.named_by_file

    def _opened(self, number: int) -> Pyramid:
        pyramid = self._opener(self.locations[number], self.choice)
        try:
            if self.levels:
                self._check_alike(pyramid)
        except BaseException:
            pyramid.close()
            raise
        return pyramid

    def _check_alike(self, pyramid: Pyramid) -> None:
        where, first = pyramid.location, self.locations[0]
        if self.one_each and not pyramid.named_by_file:
            raise InputError(
                f"{where}: expected the levels of one image as in {first}, got {len(pyramid.image_ids)} images"
            )
        if (pyramid.level_channels, pyramid.dtype) != (self.level_channels, self.dtype):
            wanted, actual = (channels_text(channels) for channels in (self.level_channels, pyramid.level_channels))
            raise InputError(
                f"{where}: expected {wanted} channels of {self.dtype} as in {first}, got {actual} of {pyramid.dtype}"
            )
        for own, level in zip(pyramid.levels, self.levels, strict=True):
            if not np.allclose(own.scale, level.scale, rtol=1e-6, equal_nan=True):
                actual, wanted = (" x ".join(f"{1 / side:g}" for side in scale) for scale in (own.scale, level.scale))
                raise InputError(f"{where.at(own.name)}: expected stride {wanted} as in {first}, got {actual}")

    def close(self) -> None:
        """Closes what is open."""
        self._open.close()
