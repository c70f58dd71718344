"""What the journal says of a batch whose crops are on the disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SpoolBlock:
    """Where the compressed chunks of a batch are in the spool: its first byte, its bytes, how many chunks."""

    offset: int
    bytes: int
    chunks: int


@dataclass(frozen=True, slots=True)
class Written:
    """What a writer says of crops that it has written.

    crc: the CRC32 of the checksums (k,) uint32 of the rows. block: None where crops are not compressed.
    """

    crc: int
    block: SpoolBlock | None = None


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """A batch that is done: its number, its rows, the statistics of its crops as plain JSON values, its bytes."""

    batch: int
    rows: int
    stats: list[list[Any]]
    written: Written

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` reads them back."""
        block = {} if self.written.block is None else asdict(self.written.block)
        return {"batch": self.batch, "rows": self.rows, "stats": self.stats, "crc": self.written.crc, **block}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> BatchRecord:
        """Reads what `as_json` gave; raises ValueError for anything else."""
        try:
            block = None
            if "offset" in values:
                block = SpoolBlock(*(_whole(values[name]) for name in ("offset", "bytes", "chunks")))
            numbers = [_whole(values[name]) for name in ("batch", "rows", "crc")]
            return cls(numbers[0], numbers[1], list(values["stats"]), Written(numbers[2], block))
        except (KeyError, TypeError) as error:
            raise ValueError(f"expected the record of a batch, got {str(values)[:80]}") from error


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError
    return value
