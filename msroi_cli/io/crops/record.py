"""What the journal says of a batch whose crops are on the disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# So many rows are named in a message.
ROWS_NAMED = 5


class SpoolBlock(NamedTuple):
    """Where the compressed chunks of a batch are in the spool: its first byte, its bytes, how many chunks."""

    offset: int
    bytes: int
    chunks: int


class Written(NamedTuple):
    """What a writer says of crops that it has written.

    crc: the CRC32 of the checksums (k,) uint32 of the rows; of their block in the spool where crops are compressed.
    block: None where they are not.
    """

    crc: int
    block: SpoolBlock | None = None


@dataclass(frozen=True, slots=True)
class NonfiniteRows:
    """The rows whose crops have a NaN or an infinity: how many, and the first of them, ascending."""

    count: int = 0
    first: tuple[int, ...] = ()

    @classmethod
    def of(cls, rows: NDArray[np.int64]) -> NonfiniteRows:
        """Of all such rows (k,), in any order."""
        return cls(len(rows), tuple(np.sort(rows)[:ROWS_NAMED].tolist()))

    @classmethod
    def joined(cls, parts: Iterable[NonfiniteRows]) -> NonfiniteRows:
        """Of several, which have no row in common."""
        found = list(parts)
        first = sorted(row for part in found for row in part.first)
        return cls(sum(part.count for part in found), tuple(first[:ROWS_NAMED]))


class BatchRecord(NamedTuple):
    """A batch that is done: its number, its rows, the statistics of its crops as plain JSON values, its bytes.

    nonfinite: which of its pooled crops are not finite.
    """

    batch: int
    rows: int
    stats: list[list[Any]]
    written: Written
    nonfinite: NonfiniteRows = NonfiniteRows()

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` reads them back."""
        block = {} if self.written.block is None else self.written.block._asdict()
        return {
            "batch": self.batch,
            "rows": self.rows,
            "stats": self.stats,
            "crc": self.written.crc,
            "nonfinite": self.nonfinite.count,
            "nonfinite_rows": list(self.nonfinite.first),
            **block,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> BatchRecord:
        """Reads what `as_json` gave; raises ValueError for anything else."""
        try:
            block = None
            if "offset" in values:
                block = SpoolBlock(*(_whole(values[name]) for name in ("offset", "bytes", "chunks")))
            batch, rows, crc, count = (_whole(values[name]) for name in ("batch", "rows", "crc", "nonfinite"))
            first = tuple(map(_whole, values["nonfinite_rows"]))
            return cls(batch, rows, list(values["stats"]), Written(crc, block), NonfiniteRows(count, first))
        except (KeyError, TypeError) as error:
            raise ValueError(f"expected the record of a batch, got {str(values)[:80]}") from error


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError
    return value
