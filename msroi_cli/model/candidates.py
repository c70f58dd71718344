"""The tensors of a model that could be levels, with their shapes and strides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import MsroiError, UsageError
from msroi_cli.io.features.layouts import Size
from msroi_cli.model.graph import Shape, internal_maps
from msroi_cli.model.session import OnnxModel
from msroi_cli.model.strides import measured_stride

# Models are measured with a blank picture of this (width, height), of which strides up to 128 are divisors.
PROBE = (384, 256)

LISTED = 8


@dataclass(frozen=True, slots=True)
class Candidate:
    """A tensor: its shape for an input of the probe's size, the stride of a map (None: unknown), an output or not."""

    name: str
    shape: Shape
    stride: float | None
    output: bool

    def __str__(self) -> str:
        stride = "" if self.stride is None else f", stride {self.stride:g}"
        return f"{self.name} ({' x '.join(map(str, self.shape))}{stride})"


def probe_size(model: OnnxModel, size: Size | None = None, multiple: int = 1) -> Size:
    """The (width, height) to measure a model with: its own, else `size`, else PROBE in whole multiples."""
    wanted = size or (_whole(PROBE[0], multiple), _whole(PROBE[1], multiple))
    width, height = (fixed or side for fixed, side in zip(model.input.size, wanted, strict=True))
    return width, height


def _whole(side: int, multiple: int) -> int:
    return math.ceil(side / multiple) * multiple


def blank(model: OnnxModel, size: Size) -> NDArray[Any]:
    """A picture of zeros as the model takes it."""
    return np.zeros((1, 3, size[1], size[0]), model.input.dtype)


def candidates(model: OnnxModel, size: Size) -> list[Candidate]:
    """Outputs of rank 3 and 4, and maps inside the graph, for an input of `size`.

    If the model fails on a picture of that size, there are no outputs. Without the package onnx, nothing is known of
    what is inside. Raises InputError.
    """
    try:
        made = model.run(blank(model, size), str(model.path))
    except MsroiError:
        made = []
    found = [
        Candidate(name, tuple(array.shape), _stride(array.shape, size), True)
        for name, array in zip(model.outputs, made, strict=False)
        if isinstance(array, np.ndarray) and array.ndim in (3, 4)
    ]
    inside = internal_maps(model.path, size)
    return found + [
        Candidate(name, shape, _stride(shape, size), False)
        for name, shape in inside.items()
        if name not in model.graph_outputs and shape[0] == 1
    ]


def listed(found: Sequence[Candidate]) -> str:
    """The first few, those with a stride first, as text on one line."""
    best = sorted(found, key=lambda one: (one.stride is None, not one.output))
    text = ", ".join(map(str, best[:LISTED])) or "none"
    return text + (f" and {len(best) - LISTED} more" if len(best) > LISTED else "")


def _stride(shape: Sequence[int], size: Size) -> float | None:
    """The stride of a map (1, C, H, W), if one fits."""
    if len(shape) != 4 or min(shape) < 1:
        return None
    try:
        return measured_stride((shape[3], shape[2]), size, "")
    except UsageError:
        return None
