"""The levels of a pyramid: their names, scales and order, from the file and from the options."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from msroi_cli.errors import InputError, UsageError
from msroi_cli.io.files.access import NAMED_FILE, Access
from msroi_cli.io.files.location import Location
from msroi_cli.io.messages import value_text
from msroi_cli.io.numbers import as_float64

Pair = tuple[float, float]

# Strides and scale factors beyond this are mistakes.
SMALLEST = 1e-6

# No level is finer, in cells a pixel: one box would have millions of samples.
LARGEST_SCALE = 1024


class LevelChoice(NamedTuple):
    """What the user says about the levels: their names, and their strides or their scales, finest first.

    only: whether `names` are those of another file of the same pyramid, so that other levels are an error.
    scales_needed: whether a level without a scale is an error; else its scale is NaN, for those who only look.
    group: where the group of an image lies in an HDF5 file, such as `images/{id}/features`.
    access: which files, and which values that were never written, may be read.
    mixed: whether levels may have different numbers of channels, as the necks of YOLO do.
    """

    names: tuple[str, ...] | None = None
    strides: tuple[tuple[float, float], ...] | None = None
    scales: tuple[tuple[float, float], ...] | None = None
    scales_needed: bool = True
    group: str | None = None
    access: Access = NAMED_FILE
    mixed: bool = False
    only: bool = False


class Level(NamedTuple):
    """One level: the name of its array, and (y, x) feature pixels per input pixel."""

    name: str
    scale: tuple[float, float]


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


def refuse_other_levels(where: Location, found: Iterable[str], choice: LevelChoice) -> None:
    """Raises InputError for levels of a file that the other files of the same pyramid lack."""
    others = [name for name in found if name not in (choice.names or ())] if choice.only else []
    if others:
        raise InputError(
            f"{where.at(others[0])}: expected the levels {', '.join(choice.names or ())} as in other files, got one "
            "more (--levels names those to use)"
        )


def channels_text(channels: Sequence[int]) -> str:
    """`256`, or `64/128/256` where levels differ."""
    return "/".join(map(str, channels if len(set(channels)) > 1 else channels[:1]))


def scale_of(where: str, stride: Any, spatial_scale: Any) -> tuple[float, float] | None:
    """The (y, x) scale that a level's own `stride` or `spatial_scale` gives; None if it has neither.

    Raises InputError for values that are none, that contradict each other, or of more than LARGEST_SCALE cells a pixel.
    """
    scale = _scale_of(where, stride, spatial_scale)
    if scale is not None and max(scale) > LARGEST_SCALE:
        raise InputError(f"{where}: expected at most {LARGEST_SCALE} cells a pixel, got {max(scale):g}")
    return scale


def _scale_of(where: str, stride: Any, spatial_scale: Any) -> tuple[float, float] | None:
    scale = None if spatial_scale is None else pair_of(f"{where}: spatial_scale", spatial_scale)
    if stride is None:
        return scale
    step = pair_of(f"{where}: stride", stride)
    from_stride = (1 / step[0], 1 / step[1])
    if scale is not None and not np.allclose(scale, from_stride, rtol=1e-6):
        both = f"{value_text(stride)} and {value_text(spatial_scale)}"
        raise InputError(f"{where}: expected stride and spatial_scale to agree, got {both}")
    return from_stride if scale is None else scale


def scales_in_order(where: str, stated: Mapping[str, Any], names: Sequence[str]) -> dict[str, Pair | None]:
    """The (y, x) scales of levels from one value, or one a level in the order of `names`; raises InputError.

    stated: strides and spatial scales, in this order, by what they are called there; None for none.
    """
    columns: list[list[Any]] = []
    for key, values in stated.items():
        rows = [values] if len(names) == 1 and np.ndim(values) < 2 else values
        columns.append([None] * len(names) if values is None else one_a_level(f"{where}: {key}", rows, len(names)))
    return {
        name: scale_of(f"{where}: {name}", stride, scale) for name, stride, scale in zip(names, *columns, strict=True)
    }


def one_a_level(where: str, values: Any, count: int) -> list[Any]:
    """The values of `count` levels, one of each or a pair; raises InputError unless there are as many."""
    listed = isinstance(values, list) or (isinstance(values, np.ndarray) and values.ndim in (1, 2))
    if not listed or len(values) != count:
        raise InputError(f"{where}: expected {count} values, one a level, got {value_text(values)}")
    return list(values)


def pair_of(where: str, value: Any) -> tuple[float, float]:
    """One number, or two, as a pair; raises InputError unless they lie between SMALLEST and its inverse."""
    try:
        array = np.asarray(value)
        numbers = as_float64(array).ravel() if array.dtype.kind in "fiu" else np.empty(0)
    except (TypeError, ValueError, OverflowError):
        numbers = np.empty(0)
    if numbers.size not in (1, 2) or not ((numbers >= SMALLEST) & (numbers <= 1 / SMALLEST)).all():
        raise InputError(f"{where}: expected one or two numbers above 0, got {value_text(value)}")
    return float(numbers[0]), float(numbers[-1])


def offset_of(where: str, value: Any) -> tuple[float, float]:
    """The (x, y) offset of an image, input pixels; raises InputError unless it is two finite numbers."""
    array = np.asarray(value)
    if array.shape != (2,) or array.dtype.kind not in "fiu" or not (np.abs(array) <= 1 / SMALLEST).all():
        raise InputError(f"{where}: expected two finite numbers, got {value_text(value)}")
    return float(array[0]), float(array[1])


def finest_first(shapes: dict[str, tuple[int, ...]]) -> list[str]:
    """Level names by falling map size; names in natural order where sizes tie."""
    return sorted(shapes, key=lambda name: (-shapes[name][-2] * shapes[name][-1], len(name), name))
