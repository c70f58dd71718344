"""Feature pyramids as the job sees them: images by number, read one at a time; and the choice of a reader."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError, UsageError
from msroi_cli.io.location import Location
from msroi_cli.io.maps import MapSource

FLOATS = ("float16", "float32", "float64")
FLOAT_CODES = "efd"  # the same, as NumPy codes them

# Strides and scale factors beyond this are mistakes.
SMALLEST = 1e-6


@dataclass(frozen=True, slots=True)
class LevelChoice:
    """What the user says about the levels: their names, and their strides or their scales, finest first.

    scales_needed: whether a level without a scale is an error; else its scale is NaN, for those who only look.
    """

    names: tuple[str, ...] | None = None
    strides: tuple[tuple[float, float], ...] | None = None
    scales: tuple[tuple[float, float], ...] | None = None
    scales_needed: bool = True


@dataclass(frozen=True, slots=True)
class Level:
    """One level: the name of its array, and (y, x) feature pixels per input pixel."""

    name: str
    scale: tuple[float, float]


class Pyramid(ABC):
    """The pyramids of N images with the same levels, channels and dtype; sizes may differ between images.

    location: where it lies. layout: "batched" or "per image". image_ids: N strings.
    sample_image: the image that channels, dtype and scales were taken from.
    """

    location: Location
    layout: str
    levels: tuple[Level, ...]
    image_ids: Sequence[str]
    channels: int
    dtype: np.dtype[Any]
    sample_image: int = 0

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
        return [self.source(image, level).read()[None] for level in range(len(self.levels))]

    @property
    @abstractmethod
    def has_scale_factors(self) -> bool:
        """Whether images have scale factors, as far as the first of them tell."""

    @abstractmethod
    def scale_factor(self, image: int) -> tuple[float, float] | None:
        """(sx, sy): network input pixels per original pixel."""

    @abstractmethod
    def image_size(self, image: int) -> tuple[float, float] | None:
        """(width, height) of the image in original pixels."""

    def check(self, image: int) -> None:
        """Checks everything about an image but its values; raises InputError."""
        self.shapes(image)

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


class BatchedPyramid(Pyramid):
    """Images of one size: levels (N, C, H, W), and per image what stands beside them.

    factors and sizes: scale factors (sx, sy) and image sizes (width, height), (N, 2) float64 or None.
    """

    layout = "batched"
    factors: NDArray[np.float64] | None
    sizes: NDArray[np.float64] | None

    @property
    def has_scale_factors(self) -> bool:
        """Whether there is an array of them."""
        return self.factors is not None

    def scale_factor(self, image: int) -> tuple[float, float] | None:
        """The image's row of `scale_factors`."""
        return None if self.factors is None else (self.factors[image, 0], self.factors[image, 1])

    def image_size(self, image: int) -> tuple[float, float] | None:
        """The image's row of `image_sizes`."""
        return None if self.sizes is None else (self.sizes[image, 0], self.sizes[image, 1])


def pairs_beside(where: str, values: Any, count: int) -> NDArray[np.float64]:
    """`scale_factors` or `image_sizes` of `count` images, (N, 2) float64; raises InputError."""
    try:
        array = np.asarray(values)
    except ValueError:
        array = np.empty(0)
    if array.shape != (count, 2) or array.dtype.kind not in "fiu":
        raise InputError(f"{where}: expected ({count}, 2) numbers, got {array.shape} {array.dtype}")
    pairs = array.astype(np.float64)
    if not (np.isfinite(pairs).all() and (pairs > 0).all()):
        raise InputError(f"{where}: expected numbers above 0, got others")
    return pairs


def open_pyramid(text: str, choice: LevelChoice | None = None) -> Pyramid:
    """Opens the pyramid `FILE` or `FILE::/group`: HDF5, NPZ or JSON, told apart by content.

    Raises InputError, or UsageError where the strides are not known.
    """
    from msroi_cli.io.pyramid_arrays import JsonPyramid, NpzPyramid
    from msroi_cli.io.pyramid_hdf5 import open_hdf5_pyramid

    location = Location.parse(text)
    choice = choice or LevelChoice()
    kind = location.kind()
    if kind != "HDF5" and location.group != "/":
        raise InputError(f"{location}: expected an HDF5 file, which has groups, got {kind}")
    return {"HDF5": open_hdf5_pyramid, "NPZ": NpzPyramid, "JSON": JsonPyramid}[kind](location, choice)


def level_scales(
    names: Sequence[str], own: Sequence[tuple[float, float] | None], choice: LevelChoice, where: Location
) -> tuple[Level, ...]:
    """Joins level names with their scales: those of the options, else the file's `own` (None where it has none)."""
    given = choice.scales or (choice.strides and tuple((1 / y, 1 / x) for y, x in choice.strides))
    option = "--scales" if choice.scales else "--strides"
    if given:
        if len(given) != len(names):
            raise UsageError(
                f"{option}: expected {len(names)} values for the levels {', '.join(names)}, got {len(given)}"
            )
        return tuple(Level(name, scale) for name, scale in zip(names, given, strict=True))
    levels = []
    for name, scale in zip(names, own, strict=True):
        if scale is None and choice.scales_needed:
            raise UsageError(
                f"{where.at(name)}: expected a stride or spatial_scale attribute, or the option --strides or --scales"
            )
        levels.append(Level(name, scale or (math.nan, math.nan)))
    return tuple(levels)


def scale_of(where: str, stride: Any, spatial_scale: Any) -> tuple[float, float] | None:
    """The (y, x) scale that a level's own `stride` or `spatial_scale` gives; None if it has neither."""
    scale = None if spatial_scale is None else pair_of(f"{where}: spatial_scale", spatial_scale)
    if stride is None:
        return scale
    step = pair_of(f"{where}: stride", stride)
    from_stride = (1 / step[0], 1 / step[1])
    if scale is not None and not np.allclose(scale, from_stride, rtol=1e-6):
        raise InputError(f"{where}: expected stride and spatial_scale to agree, got {stride} and {spatial_scale}")
    return from_stride if scale is None else scale


def pair_of(where: str, value: Any) -> tuple[float, float]:
    """One number, or two, as a pair; raises InputError unless they are above 0 and of a size that makes sense."""
    try:
        array = np.asarray(value)
        numbers = array.astype(np.float64).ravel() if array.dtype.kind in "fiu" else np.empty(0)
    except (TypeError, ValueError, OverflowError):
        numbers = np.empty(0)
    if numbers.size not in (1, 2) or not ((numbers >= SMALLEST) & (numbers <= 1 / SMALLEST)).all():
        came = value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
        came = came if isinstance(came, (int, float, complex, str, list)) else "an empty one"
        raise InputError(f"{where}: expected one or two numbers above 0, got {str(came)[:60]}")
    return float(numbers[0]), float(numbers[-1])


def different_ids(where: str, ids: Any, count: int) -> list[str]:
    """Image ids as strings, one for each of `count` images; raises InputError unless each is an integer or a string."""
    values = ids.tolist() if isinstance(ids, np.ndarray) else ids
    if not isinstance(values, list):
        raise InputError(f"{where}: expected a list, got {values!r}")
    values = [value.decode(errors="replace") if isinstance(value, bytes) else value for value in values]
    for index, value in enumerate(values):
        if type(value) not in (int, str) or not _storable(str(value)):
            raise InputError(f"{where}: id {index}: expected a whole number or a string, got {value!r}")
    if len(values) != count:
        raise InputError(f"{where}: expected {count} ids, got {len(values)}")
    return [str(value) for value in values]


def _storable(text: str) -> bool:
    """Whether HDF5 can hold a text: it ends at a NUL, and a lone surrogate is no UTF-8."""
    return "\0" not in text and text.encode(errors="ignore").decode() == text


def finest_first(shapes: dict[str, tuple[int, ...]]) -> list[str]:
    """Level names by falling map size; names in natural order where sizes tie."""
    return sorted(shapes, key=lambda name: (-shapes[name][-2] * shapes[name][-1], len(name), name))


def check_map(where: str, shape: tuple[int, ...], dtype: Any, like: tuple[int, Any] | None = None) -> None:
    """Checks one image's level, (C, H, W) or (1, C, H, W) or a batch of them, against (channels, dtype)."""
    channels = "C" if like is None else like[0]
    if dtype.char not in FLOAT_CODES or (like is not None and dtype.char != like[1].char):
        wanted = "float16, float32 or float64" if like is None else f"{like[1]} like the first level"
        raise InputError(f"{where}: expected {wanted}, got {dtype}")
    if len(shape) not in (3, 4) or (like is not None and shape[-3] != like[0]):
        raise InputError(f"{where}: expected ({channels}, H, W), got {shape}")
    if not (shape[-1] and shape[-2]):
        raise InputError(f"{where}: expected a map of at least 1 x 1 cells, got {shape}")
