"""Boxes that can be read in another way, which fits the pictures better than the way they are read."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.boxes import BOX_FORMATS
from msroi_cli.errors import InputError, UsageError
from msroi_cli.io.boxes.table import BoxTable
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.job.join.boxes import UNKNOWN_IMAGE, invalid_reasons, to_input_pixels
from msroi_cli.job.request import BoxOptions
from msroi_cli.job.validate.findings import EXAMPLES, Finding, example

# Boxes may reach beyond the input by this share of its side, or by so many pixels: rounding, and annotators' hands.
TOLERANCE, TOLERANCE_PIXELS = 0.02, 8.0
# Reported is what at least this share of boxes has, and at most that share of those when read in the other way.
IMPLAUSIBLE_SHARE, BETTER_BY = 0.05, 0.1


@dataclass(frozen=True, slots=True)
class Reading:
    """What boxes (K, 4) are when they are read in one way; every mask is (K,).

    invalid_reason: as `invalid_reasons`, 0 for boxes of unknown images. beyond: they reach beyond the input. outside:
    they do not touch it. empty: they have no area.
    """

    boxes: NDArray[np.float32]
    invalid_reason: NDArray[np.uint8]
    beyond: NDArray[np.bool_]
    outside: NDArray[np.bool_]
    empty: NDArray[np.bool_]

    @property
    def implausible(self) -> NDArray[np.bool_]:
        """Boxes that cannot be pooled or reach beyond the input."""
        return (self.invalid_reason > 0) | self.beyond


def reading(
    table: BoxTable, images: NDArray[np.int64], sizes: NDArray[np.float64], pyramid: Pyramid, options: BoxOptions
) -> Reading:
    """Reads the boxes; sizes: (N, 2), width and height of the inputs. Raises as `to_input_pixels` does."""
    boxes = to_input_pixels(table, images, pyramid, options)
    reason = invalid_reasons(boxes, images)
    reason[reason == UNKNOWN_IMAGE] = 0
    good = (reason == 0) & (images >= 0)
    limit = sizes[np.where(images >= 0, images, 0)] if len(sizes) else np.full((len(images), 2), np.nan)
    with np.errstate(invalid="ignore"):
        slack = np.maximum(TOLERANCE_PIXELS, TOLERANCE * limit)
        beyond = ((boxes[:, :2] < -slack) | (boxes[:, 2:] > limit + slack)).any(axis=1)
        outside = ((boxes[:, 2:] < 0) | (boxes[:, :2] > limit)).any(axis=1)
        empty = (boxes[:, 2:] == boxes[:, :2]).any(axis=1)
    return Reading(boxes, reason, beyond & good, outside & good, empty & good)


def plausibility_findings(
    table: BoxTable, images: NDArray[np.int64], sizes: NDArray[np.float64], pyramid: Pyramid, options: BoxOptions
) -> list[Finding]:
    """The other way to read the boxes that leaves by far the fewest of them bad or beyond the input, if there is one.

    And boxes that are all within the first pixel.
    """
    found = _within_a_pixel(table, images, options)
    if found:
        return found
    bad = reading(table, images, sizes, pyramid, options).implausible
    count = int(bad.sum())
    if not count or count < IMPLAUSIBLE_SHARE * len(bad):
        return []
    best: tuple[int, str, str] | None = None
    for check, advice, other, otherwise in _alternatives(table, pyramid, options):
        try:
            left = int(reading(other, images, sizes, pyramid, otherwise).implausible.sum())
        except (InputError, UsageError):
            continue
        if left <= BETTER_BY * count and (best is None or left < best[0]):
            best = left, check, advice
    if best is None:
        return []
    left, check, advice = best
    examples = [example(table, int(row)) for row in np.flatnonzero(bad)[:EXAMPLES]]
    return [
        Finding(
            check, False, count, len(bad), "boxes", examples, f"{advice} would leave {left} bad or beyond the input"
        )
    ]


def _alternatives(
    table: BoxTable, pyramid: Pyramid, options: BoxOptions
) -> list[tuple[str, str, BoxTable, BoxOptions]]:
    """Other ways to read the boxes: what they would mean, the option to say so, and how to read them like that."""
    now = options.box_format or table.box_format
    ways = [
        (f"{other} read as {now}", f"--box-format {other}", table, replace(options, box_format=other))
        for other in BOX_FORMATS
        if other != now
    ]
    spaces = {"original": "input", "input": "original"}
    if options.box_space in spaces:
        other = spaces[options.box_space]
        ways.append(
            (
                f"{other} pixels read as {options.box_space} pixels",
                f"--box-space {other}",
                table,
                replace(options, box_space=other),
            )
        )
    if options.normalized:
        ways.append(("pixels read as fractions", "without --normalized", table, replace(options, normalized=False)))
    swapped = replace(table, boxes=table.boxes[:, [1, 0, 3, 2]])
    ways.append(("x and y swapped", "x before y in the box file", swapped, options))
    return ways


def _within_a_pixel(table: BoxTable, images: NDArray[np.int64], options: BoxOptions) -> list[Finding]:
    """Boxes that are all within (0, 0) and (1, 1) are fractions."""
    if options.normalized or table.normalized or not len(table.boxes) or not (images >= 0).any():
        return []
    boxes = BOX_FORMATS[options.box_format or table.box_format](table.boxes)
    if not (boxes.min() >= 0 and boxes.max() <= 1 and boxes.max() > 0):
        return []
    examples = [example(table, row) for row in range(min(EXAMPLES, len(boxes)))]
    return [
        Finding(
            "fractions read as pixels",
            False,
            len(boxes),
            len(boxes),
            "boxes",
            examples,
            "--normalized: no box is larger than a pixel",
        )
    ]
