"""Boxes that can be read in another way, which fits the pictures better than the way they are read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.arrays import slices
from msroi_cli.core.boxes import BOX_FORMATS
from msroi_cli.errors import InputError, UsageError
from msroi_cli.io.boxes.table import BoxTable
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.job.request import BoxOptions
from msroi_cli.job.validate.findings import EXAMPLES, Finding, example, first_rows
from msroi_cli.job.validate.reading import Joined, Reading, reading

# Reported is what at least this share of boxes has, and at most that share of those when read in the other way.
IMPLAUSIBLE_SHARE, BETTER_BY = 0.05, 0.1

# Of more boxes than this, so many are read in other ways.
READ_AGAIN = 100_000


def plausibility_findings(joined: Joined, read: Reading) -> list[Finding]:
    """The other way to read the boxes that leaves by far the fewest of them bad or beyond the input, if there is one.

    And boxes that are all within the first pixel. Boxes of images that were not looked at do not count.
    """
    found = _within_a_pixel(joined)
    if found:
        return found
    bad = read.implausible
    if not bad.any():
        return []
    sizes_known = np.append(joined.sizes.known, False)
    known = np.empty(len(joined.images), np.bool_)
    for some in slices(len(known)):
        known[some] = sizes_known[np.maximum(joined.images[some], -1)]
    count, of = int((bad & known).sum()), int(known.sum())
    if not count or count < IMPLAUSIBLE_SHARE * of:
        return []
    rows = _spread(known, -(-of // READ_AGAIN))
    best = _best_alternative(joined.take(rows), int(bad[rows].sum()))
    if best is None:
        return []
    left, check, advice = best
    examples = first_rows(bad & known, EXAMPLES)
    among = "" if len(rows) == of else f" of {len(rows):,} looked at"
    return [
        Finding(
            check,
            False,
            count,
            of,
            "boxes",
            [example(joined.table, row) for row in examples],
            f"{advice} would leave {left}{among} bad or beyond the input",
            [joined.table.row(row) for row in examples],
        )
    ]


def _spread(known: NDArray[np.bool_], step: int) -> NDArray[np.int64]:
    """The first of the `known` rows (K,) and every `step`-th after it."""
    picked, first = [], 0
    for some in slices(len(known)):
        rows = np.flatnonzero(known[some])
        picked.append(some.start + rows[first::step])
        first = (first - len(rows)) % step
    return np.concatenate(picked)


def _best_alternative(joined: Joined, count: int) -> tuple[int, str, str] | None:
    """How many of the boxes are still bad when read in the best other way, what that means, and how to say it."""
    best: tuple[int, str, str] | None = None
    for check, advice, table, options in _alternatives(joined.table, joined.pyramid, joined.options):
        try:
            left = int(reading(joined._replace(table=table, options=options)).implausible.sum())
        except (InputError, UsageError):
            continue
        if left <= BETTER_BY * count and (best is None or left < best[0]):
            best = left, check, advice
    return best


def _alternatives(
    table: BoxTable, pyramid: Pyramid, options: BoxOptions
) -> list[tuple[str, str, BoxTable, BoxOptions]]:
    """Other ways to read the boxes: what they would mean, the option to say so, and how to read them like that."""
    now = options.box_format or table.box_format
    ways = [
        (f"{other} read as {now}", f"--box-format {other}", table, options._replace(box_format=other))
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
                options._replace(box_space=other),
            )
        )
    if options.normalized:
        ways.append(("pixels read as fractions", "without --normalized", table, options._replace(normalized=False)))
    swapped = table._replace(boxes=table.boxes[:, [1, 0, 3, 2]])
    ways.append(("x and y swapped", "x before y in the box file", swapped, options))
    return ways


def _within_a_pixel(joined: Joined) -> list[Finding]:
    """Boxes that are all within (0, 0) and (1, 1) are fractions."""
    table, options = joined.table, joined.options
    count = len(table.boxes)
    if options.normalized or table.normalized or not (joined.images >= 0).any():
        return []
    largest = 0.0
    for rows in slices(count):
        boxes = BOX_FORMATS[options.box_format or table.box_format](table.boxes[rows])
        if not (boxes.min() >= 0 and boxes.max() <= 1):
            return []
        largest = max(largest, float(boxes.max()))
    if not largest:
        return []
    examples = range(min(EXAMPLES, count))
    return [
        Finding(
            "fractions read as pixels",
            False,
            count,
            count,
            "boxes",
            [example(table, row) for row in examples],
            "--normalized: no box is larger than a pixel",
            [table.row(row) for row in examples],
        )
    ]
