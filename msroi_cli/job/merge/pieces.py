"""The rows of all parts in pieces that are copied, and recorded, in one go: a pure plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Records do not count beside pieces of so many bytes, and what a kill loses of them is copied again in no time.
PIECE_BYTES = 16 << 20

NO_PART = -1


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of one part that are copied in one go: `start` to `stop` there, `rows` (k,) int64 in the output.

    part: NO_PART where rows may be of several; `start` and `stop` are then among all rows that are copied.
    """

    number: int
    part: int
    start: int
    stop: int
    rows: NDArray[np.int64]


def pieces(rows_of_parts: Sequence[NDArray[np.int64]], row_bytes: int) -> Iterator[Piece]:
    """Every row of every part once, part after part.

    rows_of_parts: the rows (k,) of the output that each part has, in the part's order.
    """
    step = max(1, PIECE_BYTES // max(1, row_bytes))
    number = 0
    for part, rows in enumerate(rows_of_parts):
        for start in range(0, len(rows), step):
            stop = min(start + step, len(rows))
            yield Piece(number, part, start, stop, rows[start:stop])
            number += 1


def chunk_pieces(rows: NDArray[np.int64], chunk_rows: int, row_bytes: int) -> Iterator[Piece]:
    """All `rows` (K,) of the output, in this order, in pieces of whole chunks of `chunk_rows` rows; of no one part."""
    step = max(1, PIECE_BYTES // max(1, row_bytes * chunk_rows)) * chunk_rows
    for number, start in enumerate(range(0, len(rows), step)):
        some = rows[start : start + step]
        yield Piece(number, NO_PART, start, start + len(some), some)
