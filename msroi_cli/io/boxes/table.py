"""What every box file is read into, and the checks of its columns."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.columns import BoxColumns
from msroi_cli.io.files.location import Source
from msroi_cli.io.numbers import Floats, Indices


class BoxTable(NamedTuple):
    """K boxes as a file gives them.

    kind: the format found, in words. box_format: what the four numbers are unless the options say otherwise.
    boxes: (K, 4) float64, or float32 where the file has that; the table's own, which whoever has it may write to.
    image: (K,) whole numbers, indices into `image_ids`, or into the pyramid's images if that is None.
    columns: what else the file says of each box.
    normalized: whether the numbers are fractions of the image's width and height.
    file_names and image_sizes (width, height): what a COCO data set says of its images, by image id.
    category_names: names of categories by id, where the file has them.
    listed_ids: the ids of a COCO data set's images, in its order.
    stated_ids: ids that stand beside indices `image`, of the images or of the boxes.
    stated_each: whether they are as many as the file has boxes.
    rows: (K,) int64, the rows in the file, ascending; None if the boxes are all of its rows.
    linked: the files that the file leads to, by name, and what stands for their content.
    """

    kind: str
    boxes: Floats
    image: Indices
    box_format: str = "xyxy"
    normalized: bool = False
    image_ids: list[str] | None = None
    columns: BoxColumns = BoxColumns()
    file_names: Mapping[str, str] = {}
    image_sizes: Mapping[str, tuple[float, float]] = {}
    category_names: Mapping[int, str] = {}
    listed_ids: Sequence[str] = ()
    stated_ids: list[str] | None = None
    stated_each: bool = False
    rows: NDArray[np.int64] | None = None
    linked: Mapping[str, Source] = {}

    def take(self, rows: NDArray[np.int64]) -> BoxTable:
        """The boxes `rows` (k,), ascending, of the images that they are of."""
        image, ids = self.image[rows], self.image_ids
        if ids is not None:
            used, image = np.unique(image, return_inverse=True)
            ids = [ids[index] for index in used.tolist()]
        return self._replace(
            boxes=self.boxes[rows],
            image=image,
            image_ids=ids,
            columns=self.columns.take(rows),
            rows=rows if self.rows is None else self.rows[rows],
        )

    def row(self, index: int) -> int:
        """The row in the file of a box."""
        return index if self.rows is None else int(self.rows[index])

    def image_name(self, row: int) -> str:
        """The image of a box as the file names it."""
        image = int(self.image[row])
        return str(image) if self.image_ids is None else self.image_ids[image]


def numbers(where: str, rows: Any, width: int, like: str) -> NDArray[np.float64]:
    """Rows of `width` numbers as float64; raises InputError that names the first row that is not."""
    if not isinstance(rows, list):
        raise InputError(f"{where}: expected a list of {like}, got {shortened(rows)}")
    table = plain_numbers(rows, width)
    if table is not None:
        return table
    good = [_row(row, width) for row in rows]
    for index, row in enumerate(good):
        if row is None:
            raise InputError(f"{where}: row {index}: expected {like}, got {shortened(rows[index])}")
    return np.array(good, dtype=np.float64)


def plain_numbers(rows: list[Any], width: int) -> NDArray[np.float64] | None:
    """The same where all are rows of plain numbers; None where one is not."""
    try:
        # NumPy alone would take truth values, and words that look like numbers, for numbers.
        if set(map(type, chain.from_iterable(rows))) <= {int, float}:
            table = np.array(rows, dtype=np.float64)
            if not rows or table.shape == (len(rows), width):
                return table.reshape(len(rows), width)
    except (TypeError, ValueError, OverflowError):
        pass
    return None


def _row(row: Any, width: int) -> list[float] | None:
    """A row as floats, null as NaN; None if it is no row of that width."""
    if not isinstance(row, list) or len(row) != width:
        return None
    if not all(value is None or type(value) in (int, float) for value in row):
        return None
    try:
        return [math.nan if value is None else float(value) for value in row]
    except OverflowError:
        return [math.inf] * width


def whole_numbers(where: str, values: NDArray[Any], what: str) -> NDArray[np.int64]:
    """Values that must be whole, as int64; raises InputError that names the first that is not."""
    if values.dtype.kind in "iu":
        largest = np.iinfo(np.int64).max
        beyond = np.flatnonzero(values > largest) if np.iinfo(values.dtype).max > largest else np.empty(0, np.intp)
        if beyond.size:
            raise InputError(f"{where}: row {beyond[0]}: expected {what} within 64 bits, got {values[beyond[0]]}")
        return values.astype(np.int64, copy=False)
    bad = np.flatnonzero(~(np.abs(values) < 2.0**53) | (values != np.floor(values)))
    if bad.size:
        raise InputError(f"{where}: row {bad[0]}: expected a whole number as {what}, got {values[bad[0]]:g}")
    return values.astype(np.int64)


def refuse_other_index(where: str, image: Indices, index: NDArray[Any]) -> None:
    """Raises InputError where an `image_index` (K,) is not the image (K,) that `rois` begin with."""
    differ = np.flatnonzero(image != index)
    if differ.size:
        row = differ[0]
        raise InputError(f"{where}: row {row}: expected the image of its roi, {image[row]}, got {index[row]}")


def shortened(value: Any) -> str:
    """A value as JSON on one short line."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
