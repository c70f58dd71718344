"""The columns that readers fill, with room for more rows than there are: memory that is not filled is not taken."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

# More than a piece of text has.
FIRST = 1 << 17
# Of rows that are still expected, and of the bytes from which they are.
SPARE, FEWEST_BYTES = 1.25, 1 << 16


class Reached(IntEnum):
    """What a reader has come to."""

    END = 0
    END_OF_TEXT = 1
    END_OF_ROOM = 2
    GIVEN_UP = 3


class Rows:
    """Columns of boxes: boxes (R, 4) float64; image and name (R,) int32; score (R,) float64; others (R,) int64."""

    def __init__(self) -> None:
        self.arrays: tuple[NDArray[Any], ...] = (
            np.empty((FIRST, 4)),
            np.empty(FIRST, np.int32),
            np.empty(FIRST, np.int32),
            np.empty(FIRST),
            np.empty(FIRST, np.int64),
            np.empty(FIRST, np.int64),
        )

    def grow(self, used: int, left: int) -> None:
        """Makes room for the rows of `left` bytes, if those that are there, all of the room, are of `used` bytes."""
        count = len(self.arrays[0])
        room = count + max(1 + count // 8, int(count * left / max(FEWEST_BYTES, used) * SPARE))
        if room < 2 * count:
            for array in self.arrays:
                # Moves pages and not what is in them.
                array.resize((room, *array.shape[1:]), refcheck=False)
            return
        arrays = tuple(np.empty((room, *array.shape[1:]), array.dtype) for array in self.arrays)
        for array, before in zip(arrays, self.arrays, strict=True):
            array[:count] = before
        self.arrays = arrays

    def columns(self, count: int) -> dict[str, NDArray[Any]]:
        """The first `count` rows by what they are."""
        names = ("boxes", "image", "name", "score", "category_id", "annotation_id")
        return {name: array[:count] for name, array in zip(names, self.arrays, strict=True)}
