"""The stride of a model's output, from the size of its input and the size of the map."""

from __future__ import annotations

import math

from msroi_cli.errors import UsageError
from msroi_cli.io.features.layouts import Size, fits


def measured_stride(sides: Size, size: Size, where: str) -> float:
    """The stride that makes a map of `sides` (width, height) of an input of `size`.

    A power of two that divides both sides is taken, else the only whole number that can be. Raises UsageError where
    several can, or none.
    """
    exact = size[0] / sides[0]
    if exact == size[1] / sides[1] and math.log2(exact).is_integer():
        return exact
    found = [float(step) for step in range(1, max(size) + 1) if fits(sides, (step, step), size)]
    if len(found) != 1:
        among = ", ".join(f"{step:g}" for step in found[:5]) or "none"
        raise UsageError(
            f"{where}: expected --strides, as {sides[0]} x {sides[1]} cells for an input of {size[0]} x {size[1]} "
            f"do not tell one stride (possible: {among})"
        )
    return found[0]
