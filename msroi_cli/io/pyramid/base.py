"""Feature pyramids as the job sees them: images by number, read one at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.io.features.reading import read_map
from msroi_cli.io.features.source import MapSource
from msroi_cli.io.files.access import Links
from msroi_cli.io.files.location import Location, Source, last_modified
from msroi_cli.io.pyramid.levels import Level


class Pyramid(ABC):
    """The pyramids of N images with the same levels, channels and dtype; sizes may differ between images.

    location: where it lies. layout: "batched" or "per image". image_ids: N strings.
    channels: of the finest level, and unless LevelChoice says otherwise of all. level_channels: of each level.
    sample_image: the image that channels, dtype and scales were taken from.
    named_by_file: whether it is one image, whose id is the stem of the file's name.
    numbered: whether the file states no image ids, so that these are the indices.
    box_space: the space of boxes unless the user says otherwise: "original", "input", or None: the user has to say.
    sequential: whether maps can only be had within `reading`, of one image after another.
    links: notes the files that the pyramid's own lead to when they are opened; None where there can be none.
    """

    location: Location
    layout: str
    # Whether images with a scale factor and images without one may not be mixed: not where boxes are in input pixels.
    factors_matter: bool = True
    levels: tuple[Level, ...]
    image_ids: Sequence[str]
    channels: int
    level_channels: tuple[int, ...]
    dtype: np.dtype[Any]
    sample_image: int = 0
    named_by_file: bool = False
    numbered: bool = False
    box_space: str | None = None
    sequential: bool = False
    links: Links | None = None

    def shapes(self, image: int) -> list[tuple[int, int]]:
        """The size (H, W) of each level of an image; raises InputError where the image does not fit the others."""
        return [self.source(image, level).shape[1:] for level in range(len(self.levels))]

    @abstractmethod
    def source(self, image: int, level: int) -> MapSource:
        """Where one level of an image lies; raises InputError where it does not fit the others."""

    def sources(self, wanted: Sequence[tuple[int, int]]) -> list[MapSource]:
        """Where some (image, level) lie; raises InputError where one does not fit the others."""
        return [self.source(image, level) for image, level in wanted]

    def read(self, image: int) -> list[NDArray[Any]]:
        """The levels of one image, (1, C, H, W) each, finest first; raises InputError."""
        return [read_map(self.source(image, level))[None] for level in range(len(self.levels))]

    def reading(self, images: Sequence[int], limit: int) -> AbstractContextManager[None]:
        """The maps of `images` are read within this block, in this order, at most `limit` bytes of them ahead."""
        return nullcontext()

    def level_bytes(self, level: int) -> int:
        """The bytes of a level of a typical image."""
        source = self.source(self.sample_image, level)
        return source.shape[0] * source.channel_bytes

    def modified(self) -> Any:
        """Another value if the pyramid may have changed, as far as the age of files tells; plain JSON."""
        return last_modified(self.files())

    @property
    @abstractmethod
    def has_scale_factors(self) -> bool:
        """Whether images have scale factors: all or none, or there is an InputError when one is opened."""

    @property
    def has_offsets(self) -> bool:
        """Whether an image that was looked at has an offset other than 0."""
        return False

    @abstractmethod
    def scale_factor(self, image: int) -> tuple[float, float] | None:
        """(sx, sy): network input pixels per original pixel."""

    def offset(self, image: int) -> tuple[float, float]:
        """(ox, oy), input pixels: x_input = x_original * scale factor + offset."""
        return 0.0, 0.0

    @abstractmethod
    def image_size(self, image: int) -> tuple[float, float] | None:
        """(width, height) of the image in original pixels."""

    def padded_to(self, image: int) -> tuple[int, int]:
        """(x, y): the sides of the image's input were padded to multiples of these; 1 where nothing is known of it."""
        return 1, 1

    @abstractmethod
    def storage(self, image: int, level: int) -> dict[str, Any]:
        """How one level of an image is stored: `shape`, `dtype`, `chunks`, `filters`, `bytes` on the disk.

        In a batched pyramid that is the level of all images.
        """

    def expect(self, images: Sequence[int]) -> None:  # noqa: B027 most need not know
        """What is asked for next of some images may be looked up for all of them at once; raises nothing."""

    def check(self, image: int) -> None:
        """Checks everything about an image but its values; raises InputError."""
        self.shapes(image)

    def is_image(self, image: int) -> bool:
        """Whether what has an image's number and name is one; asks far less than `check` does."""
        return True

    def files(self) -> list[Path]:
        """The files that hold the features."""
        return [self.location.path]

    def fingerprint(self) -> Source:
        """What stands for the content of the files."""
        return Source.of_file(self.location.path)

    def inputs(self, images: Sequence[int]) -> dict[str, Source]:
        """What else the features of some images are made from, by role; nothing where they are stored."""
        return {}

    def unusable(self, images: Sequence[int]) -> dict[int, str]:
        """Those of some images that have no features and are left out, with the reason in words."""
        return {}

    def broken(self, images: Sequence[int]) -> dict[int, str]:
        """Those of some images whose pictures cannot be read, with the reason in words; each is read whole."""
        return {}

    def about(self) -> dict[str, Any] | None:
        """How features are made that are not stored, as plain JSON values."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Releases the file."""

    def __enter__(self) -> Pyramid:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def input_size(self, image: int) -> tuple[float, float]:
        """(width, height) of the network's input, as the finest level spans it."""
        _, height, width = self.source(image, 0).shape
        return width / self.levels[0].scale[1], height / self.levels[0].scale[0]

    def stated_input_size(self, image: int) -> tuple[float, float] | None:
        """(width, height) of the network's input, if it is known before the maps are; of maps that are, None."""
        return None

    def image_sizes_of(self, images: NDArray[np.int64]) -> NDArray[np.float64]:
        """The `image_size` of some images, (n, 2), NaN where there is none."""
        sizes = [self.image_size(image) or (np.nan, np.nan) for image in images.tolist()]
        return np.array(sizes, np.float64).reshape(-1, 2)

    def factors_of(self, images: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The scale factors of some images, NaN where there is none, and their offsets, (n, 2) each."""
        factors = [self.scale_factor(image) or (np.nan, np.nan) for image in images.tolist()]
        offsets = [self.offset(image) for image in images.tolist()]
        return np.array(factors, np.float64).reshape(-1, 2), np.array(offsets, np.float64).reshape(-1, 2)


class BatchedPyramid(Pyramid):
    """Images of one size: levels (N, C, H, W), and per image what stands beside them.

    factors, sizes and offsets: scale factors (sx, sy), image sizes (width, height) and offsets (ox, oy), (N, 2) float64
    or None.
    """

    layout = "batched"
    factors: NDArray[np.float64] | None
    sizes: NDArray[np.float64] | None
    offsets: NDArray[np.float64] | None = None

    def offset(self, image: int) -> tuple[float, float]:
        """The image's row of `offsets`."""
        return (0.0, 0.0) if self.offsets is None else (self.offsets[image, 0], self.offsets[image, 1])

    @property
    def has_scale_factors(self) -> bool:
        """Whether there is an array of them."""
        return self.factors is not None

    @property
    def has_offsets(self) -> bool:
        """Whether there is an array of them, and not of zeros."""
        return self.offsets is not None and bool(self.offsets.any())

    def scale_factor(self, image: int) -> tuple[float, float] | None:
        """The image's row of `scale_factors`."""
        return None if self.factors is None else (self.factors[image, 0], self.factors[image, 1])

    def image_size(self, image: int) -> tuple[float, float] | None:
        """The image's row of `image_sizes`."""
        return None if self.sizes is None else (self.sizes[image, 0], self.sizes[image, 1])

    def image_sizes_of(self, images: NDArray[np.int64]) -> NDArray[np.float64]:
        """Their rows of `image_sizes`."""
        return np.full((len(images), 2), np.nan) if self.sizes is None else np.asarray(self.sizes[images], np.float64)

    def factors_of(self, images: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Their rows of `scale_factors` and `offsets`."""
        factors = np.full((len(images), 2), np.nan) if self.factors is None else self.factors[images]
        offsets = np.zeros((len(images), 2)) if self.offsets is None else self.offsets[images]
        return np.asarray(factors, np.float64), np.asarray(offsets, np.float64)
