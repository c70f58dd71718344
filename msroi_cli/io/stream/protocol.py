"""The interface of a pyramid that an object makes: anything that has it can be pooled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from msroi_cli.errors import ArgumentError
from msroi_cli.io.features.layouts import LAYOUTS

FLOATS = ("float16", "float32", "float64", "bfloat16")


@dataclass(frozen=True, slots=True)
class PyramidLevel:
    """One level. stride: input pixels per cell, a number or a (y, x) pair. channels, dtype: of its maps.

    layout: "chw" for maps (C, H, W), "hwc" for (H, W, C), "tokens" for (T, C), all with or without a first axis of 1.
    prefix_tokens: of tokens, how many stand in front of those of the grid; None: as the size of the input tells.
    bfloat16 maps are pooled as float32. Raises ArgumentError, a ValueError, that names the field.
    """

    name: str
    stride: float | tuple[float, float]
    channels: int
    dtype: str = "float32"
    layout: str = "chw"
    prefix_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.dtype not in FLOATS:
            raise ArgumentError(f"{self.name}: dtype: expected one of {', '.join(FLOATS)}, got {self.dtype!r}")
        if self.layout not in LAYOUTS:
            raise ArgumentError(f"{self.name}: layout: expected one of {', '.join(LAYOUTS)}, got {self.layout!r}")
        patch = self.stride[0] if isinstance(self.stride, tuple) else self.stride
        if self.layout == "tokens" and (self.stride not in (patch, (patch, patch)) or patch % 1):
            raise ArgumentError(f"{self.name}: stride: expected a whole number, the patch, got {self.stride!r}")
        if not self.name or "/" in self.name or self.channels < 1:
            raise ArgumentError(
                f"level: expected a name without / and at least one channel, got {self.name!r}, {self.channels}"
            )


@runtime_checkable
class Pyramid(Protocol):
    """The pyramids of N images, made when they are asked for.

    An object may also have:

    - `geometry(image_id) -> Geometry`: scale factor, offset and sizes, known before the maps are; needed for boxes in
      pixels of the original images, for normalized boxes, and for tokens;
    - `batch_size`: at most how many ids one call of `maps` gets; without it one call gets all of them;
    - `workers`: how many calls of `maps` may run at a time, in threads; 1 without it.
    """

    @property
    def image_ids(self) -> Sequence[str]:
        """N different ids."""

    @property
    def levels(self) -> Sequence[PyramidLevel]:
        """The levels, finest first, alike on all images."""

    @property
    def fingerprint(self) -> str:
        """A text that is another for other features: what a job that resumes must have in common with the first one."""

    def maps(self, ids: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        """The maps of some images, by level name, one image after another in the order of `ids`.

        NumPy arrays, or anything with `__dlpack__` or `__array__`; torch tensors are detached.
        """
