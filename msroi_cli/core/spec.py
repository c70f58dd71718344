"""The parameters of a pooling call, `PoolSpec`, and the presets that complete it."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, SupportsFloat, SupportsIndex, TypeAlias

from msroi_cli.errors import ArgumentError

ScaleLike: TypeAlias = SupportsFloat | Sequence[SupportsFloat]
SizeLike: TypeAlias = SupportsIndex | Sequence[SupportsIndex]
Compat: TypeAlias = Literal["lucid", "torchvision", "detectron2", "mmdet"]

MAX_SAMPLING_RATIO = 1024
MAX_THREADS = 4096
MAX_OUTPUT_SIDE = 4096
MAX_CANONICAL_LEVEL = 1000
MIN_SCALE, MAX_SCALE = 1e-6, 1e6


class Preset(NamedTuple):
    """The level rule and the pixel model of one framework.

    The level of a box of size s = sqrt(w * h) is floor(canonical_level + log2(s / canonical_scale)), with an
    epsilon that each framework puts elsewhere: inside the logarithm or outside it.
    `absolute`: the rule counts levels by their stride, level k having stride 2**k, not by their index.
    """

    canonical_level: int
    canonical_scale: float
    eps_inside: float
    eps_outside: float
    absolute: bool
    aligned: bool
    sampling_ratio: int


PRESETS: dict[str, Preset] = {
    "lucid": Preset(2, 224.0, 1e-6, 0.0, absolute=False, aligned=False, sampling_ratio=-1),
    "torchvision": Preset(4, 224.0, 0.0, 1e-6, absolute=True, aligned=False, sampling_ratio=2),
    "detectron2": Preset(4, 224.0, 1e-8, 0.0, absolute=True, aligned=True, sampling_ratio=0),
    "mmdet": Preset(0, 56.0, 1e-6, 0.0, absolute=False, aligned=True, sampling_ratio=0),
}


class PoolSpec(NamedTuple):
    """Everything that decides the numbers of a crop, resolved and checked. Make it with `PoolSpec.resolve`.

    output_size: (height, width) of a crop in bins.
    spatial_scales: (y, x) feature pixels per input pixel, one pair a level, finest level first.
    sampling_ratio: samples per bin and axis; 0 means adaptive, ceil(box side / bins).
    """

    compat: str
    output_size: tuple[int, int]
    spatial_scales: tuple[tuple[float, float], ...]
    sampling_ratio: int
    aligned: bool
    canonical_level: int
    canonical_scale: float

    @classmethod
    def resolve(
        cls,
        spatial_scales: Sequence[ScaleLike],
        output_size: SizeLike,
        sampling_ratio: SupportsIndex | None = None,
        *,
        compat: str = "lucid",
        aligned: bool | None = None,
        canonical_level: SupportsIndex | None = None,
        canonical_scale: SupportsFloat | None = None,
    ) -> PoolSpec:
        """Checks the arguments and completes them: None takes the value of the preset `compat`.

        Raises ArgumentError, a ValueError, that names the argument, what was expected and the value given.
        """
        if not isinstance(compat, str) or compat not in PRESETS:
            raise ArgumentError(f"compat: expected one of {', '.join(PRESETS)}, got {compat!r}")
        preset = PRESETS[compat]
        if aligned is not None and aligned not in (True, False):
            raise ArgumentError(f"aligned: expected True or False, got {aligned!r}")
        spec = cls(
            compat=compat,
            output_size=_output_size(output_size),
            spatial_scales=_scales(spatial_scales),
            sampling_ratio=_sampling_ratio(preset.sampling_ratio if sampling_ratio is None else sampling_ratio),
            aligned=preset.aligned if aligned is None else bool(aligned),
            canonical_level=(preset.canonical_level if canonical_level is None else _canonical_level(canonical_level)),
            canonical_scale=(
                preset.canonical_scale if canonical_scale is None else _positive("canonical_scale", canonical_scale)
            ),
        )
        if preset.absolute:
            spec.lowest_level()
        return spec

    @property
    def preset(self) -> Preset:
        """The preset that `compat` names."""
        return PRESETS[self.compat]

    def lowest_level(self) -> int:
        """The number that the level rule gives to the first level: 0, or log2 of its stride if it is absolute."""
        if not self.preset.absolute:
            return 0
        numbers = [round(-0.5 * (math.log2(y) + math.log2(x))) for y, x in self.spatial_scales]
        if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            strides = ", ".join(f"{1 / math.sqrt(y * x):g}" for y, x in self.spatial_scales)
            raise ArgumentError(
                f"spatial_scales: expected strides that double from level to level, because compat={self.compat!r} "
                f"counts levels by their stride, got strides {strides}"
            )
        return numbers[0]

    def as_dict(self) -> dict[str, Any]:
        """The parameters as plain JSON values."""
        return {
            "compat": self.compat,
            "output_size": list(self.output_size),
            "sampling_ratio": self.sampling_ratio,
            "aligned": self.aligned,
            "canonical_level": self.canonical_level,
            "canonical_scale": self.canonical_scale,
            "spatial_scales": [list(scale) for scale in self.spatial_scales],
        }


def check_integer(name: str, value: SupportsIndex) -> int:
    """`value` as an int; raises ArgumentError if it is not a whole number by type."""
    try:
        return operator.index(value)
    except TypeError:
        raise ArgumentError(f"{name}: expected an integer, got {value!r}") from None


def _canonical_level(value: SupportsIndex) -> int:
    level = check_integer("canonical_level", value)
    if abs(level) > MAX_CANONICAL_LEVEL:
        raise ArgumentError(f"canonical_level: expected -{MAX_CANONICAL_LEVEL} to {MAX_CANONICAL_LEVEL}, got {value!r}")
    return level


def _positive(name: str, value: SupportsFloat) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise ArgumentError(f"{name}: expected a number above 0, got {value!r}")
    if not MIN_SCALE <= number <= MAX_SCALE:
        raise ArgumentError(f"{name}: expected {MIN_SCALE:g} to {MAX_SCALE:g}, got {value!r}")
    return number


def _pair(value: Any) -> list[Any]:
    """The members of a sequence or array, or a single value twice."""
    return list(value) if hasattr(value, "__len__") and getattr(value, "ndim", 1) == 1 else [value, value]


def _output_size(value: SizeLike) -> tuple[int, int]:
    pair = _pair(value)
    if len(pair) != 2 or isinstance(value, str):
        raise ArgumentError(f"output_size: expected an integer or a (height, width) pair, got {value!r}")
    height, width = (check_integer("output_size", side) for side in pair)
    if not (1 <= height <= MAX_OUTPUT_SIDE and 1 <= width <= MAX_OUTPUT_SIDE):
        raise ArgumentError(f"output_size: expected 1 to {MAX_OUTPUT_SIDE} bins a side, got {height} x {width}")
    return height, width


def _sampling_ratio(value: SupportsIndex) -> int:
    ratio = check_integer("sampling_ratio", value)
    if not -1 <= ratio <= MAX_SAMPLING_RATIO:
        raise ArgumentError(
            f"sampling_ratio: expected -1 or 0 (adaptive) or 1 to {MAX_SAMPLING_RATIO} samples, got {ratio}"
        )
    return max(ratio, 0)


def _scales(values: Sequence[ScaleLike]) -> tuple[tuple[float, float], ...]:
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__") or getattr(values, "ndim", 1) == 0:
        raise ArgumentError(f"spatial_scales: expected one number or (y, x) pair a level, got {values!r}")
    scales = tuple(_scale(level, value) for level, value in enumerate(values))
    if not scales:
        raise ArgumentError("spatial_scales: expected one scale a level, got none")
    return scales


def _scale(level: int, value: ScaleLike) -> tuple[float, float]:
    name = f"spatial_scales[{level}]"
    pair = _pair(value)
    if len(pair) != 2 or isinstance(value, str):
        raise ArgumentError(f"{name}: expected a number or a (y, x) pair, got {value!r}")
    return _positive(name, pair[0]), _positive(name, pair[1])
