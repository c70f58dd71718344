"""Do the sizes of levels and their scales describe one input?

A level of n cells along an axis, of stride s, was made from an input of more than (n - 1) * s and less than (n + 1) * s
pixels: frameworks round the division up or down, and pad the input at its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from msroi_cli.errors import ArgumentError

Size = tuple[int, int]
Scale = tuple[float, float]

AXES = ("height", "width")


def contradiction(sizes: Sequence[Size], scales: Sequence[Scale]) -> tuple[int, int, int] | None:
    """The first levels (finer, coarser) and the axis where the stride rises and the size does not fall; else None.

    sizes: (H, W) in cells. scales: (y, x) feature pixels per input pixel. NaN scales contradict nothing.
    Levels whose sizes are equal because a small input was rounded are no contradiction.
    """
    for finer, coarser in permutations(range(len(sizes)), 2):
        for axis in (0, 1):
            low, high = 1 / scales[finer][axis], 1 / scales[coarser][axis]
            fine, coarse = sizes[finer][axis], sizes[coarser][axis]
            if high > low and coarse >= fine and (coarse - 1) * high >= (fine + 1) * low:
                return finer, coarser, axis
    return None


def check_geometry(name: str, sizes: Sequence[Size], scales: Sequence[Scale]) -> None:
    """Raises ArgumentError where `contradiction` finds one; `name` is the argument with the scales."""
    found = contradiction(sizes, scales)
    if found is not None:
        raise ArgumentError(f"{name}: {contradiction_text(found, sizes, scales)}; a scale is 1 / stride")


def contradiction_text(found: tuple[int, int, int], sizes: Sequence[Size], scales: Sequence[Scale]) -> str:
    """A contradiction in words: expected a map that gets smaller, got the sizes and strides of the two levels."""
    finer, coarser, axis = found
    low, high = (f"{1 / scales[level][axis]:g}" for level in (finer, coarser))
    fine, coarse = (sizes[level][axis] for level in (finer, coarser))
    return (
        f"expected levels whose size falls as their stride rises, got {AXES[axis]} {fine} with stride {low} "
        f"and {AXES[axis]} {coarse} with stride {high} (levels {finer} and {coarser})"
    )


def misfits(sizes: Sequence[Size], scales: Sequence[Scale]) -> list[int]:
    """The levels that cannot be of the input of the finest one, whichever way sizes were rounded; ascending."""
    finest = _bounds(sizes[0], scales[0])
    found = []
    for level, (size, scale) in enumerate(zip(sizes, scales, strict=True)):
        spans = zip(finest, _bounds(size, scale), strict=True)
        if any(low >= other_high or other_low >= high for (low, high), (other_low, other_high) in spans):
            found.append(level)
    return found


def spans(size: Size, scale: Scale, width: float, height: float) -> bool:
    """Whether a level of `size` may be of an input of `width` x `height` pixels, or of one padded to the next cell."""
    (top, bottom), (left, right) = _bounds(size, scale)
    return top < height < bottom and left < width < right


def _bounds(size: Size, scale: Scale) -> tuple[tuple[float, float], tuple[float, float]]:
    """What the input's height and width lie between, in pixels."""
    height, width = (((cells - 1) / side, (cells + 1) / side) for cells, side in zip(size, scale, strict=True))
    return height, width
