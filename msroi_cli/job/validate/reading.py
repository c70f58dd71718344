"""What boxes are when they are read in one way: bad, beyond the input, outside it, or without an area."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.arrays import slices
from msroi_cli.core.boxes import RowsOfBoxes
from msroi_cli.io.boxes.table import BoxTable
from msroi_cli.io.columns import BoxColumns
from msroi_cli.io.numbers import Indices
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.job.join.boxes import UNKNOWN_IMAGE, invalid_reasons
from msroi_cli.job.join.input_pixels import to_input_pixels
from msroi_cli.job.request import BoxOptions
from msroi_cli.job.validate.sizes import InputSizes

# Boxes may reach beyond the input by this share of its side, or by so many pixels: rounding, and annotators' hands.
TOLERANCE, TOLERANCE_PIXELS = 0.02, 8.0


class Joined(NamedTuple):
    """The K boxes of a file that are examined: their images (K,), the inputs of these, the pyramid, the options."""

    table: BoxTable
    images: Indices
    sizes: InputSizes
    pyramid: Pyramid
    options: BoxOptions

    def take(self, rows: NDArray[np.int64] | slice) -> Joined:
        """Some of the boxes."""
        table = self.table._replace(
            boxes=self.table.boxes[rows], image=self.table.image[rows], columns=BoxColumns(), rows=None
        )
        return self._replace(table=table, images=self.images[rows])


class Reading(NamedTuple):
    """What K boxes are when they are read in one way; every mask is (K,).

    invalid_reason: as `invalid_reasons`, 0 for boxes of unknown and broken images. beyond: they reach beyond the input.
    outside: they do not touch it. empty: they have no area.
    """

    invalid_reason: NDArray[np.uint8]
    beyond: NDArray[np.bool_]
    outside: NDArray[np.bool_]
    empty: NDArray[np.bool_]

    @property
    def implausible(self) -> NDArray[np.bool_]:
        """Boxes that cannot be pooled or reach beyond the input."""
        return (self.invalid_reason > 0) | self.beyond


def reading(joined: Joined) -> Reading:
    """Reads the boxes as the options say; raises as `to_input_pixels` does."""
    boxes = to_input_pixels(joined.table, joined.images, joined.pyramid, joined.options)
    return read_boxes(boxes, invalid_reasons(boxes, joined.images), joined.images, joined.sizes.size)


def read_boxes(boxes: RowsOfBoxes, reasons: NDArray[np.uint8], images: Indices, sizes: NDArray[np.float64]) -> Reading:
    """What boxes (K, 4) in input pixels are; reasons and images: (K,); sizes: (N, 2), of the inputs of all images."""
    count = len(boxes)
    unknown = reasons >= UNKNOWN_IMAGE
    own = np.where(unknown, np.uint8(0), reasons) if unknown.any() else reasons
    del unknown
    found = Reading(own, *np.zeros((3, count), np.bool_))
    known = np.where(np.isnan(sizes), np.inf, sizes)
    for rows in slices(count):
        good = (reasons[rows] == 0) & (images[rows] >= 0)
        some = boxes[rows]
        # Columns alone, which NumPy compares faster than pairs of them.
        found.empty[rows] = ((some[:, 0] == some[:, 2]) | (some[:, 1] == some[:, 3])) & good
        if _all_inside(some, images[rows], known):
            continue
        low, high = some[:, :2], some[:, 2:]
        limit = sizes[np.where(good, images[rows], 0)] if len(sizes) else np.full((len(low), 2), np.nan)
        with np.errstate(invalid="ignore"):
            slack = np.maximum(TOLERANCE_PIXELS, TOLERANCE * limit)
            found.beyond[rows] = _any(low < -slack, high > limit + slack) & good
            found.outside[rows] = _any(high < 0, low > limit) & good
    return found


def _all_inside(boxes: NDArray[np.float32], images: NDArray[np.int64], sizes: NDArray[np.float64]) -> bool:
    """Whether boxes lie in the smallest input (N, 2) between those of their images, as the boxes of a batch mostly do.

    sizes: infinite where one is not known.
    """
    first, last = max(0, int(images.min())), int(images.max())
    smallest = sizes[first : last + 1].min(axis=0, initial=np.inf)
    # The largest of each column alone, which NumPy finds faster than of all along an axis.
    return bool(boxes.min() >= 0 and boxes[:, 2].max() <= smallest[0] and boxes[:, 3].max() <= smallest[1])


def _any(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether x or y has one or the other, (k,), of (k, 2) each."""
    either = one | other
    return either[:, 0] | either[:, 1]
