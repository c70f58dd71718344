"""Copies crops as they are, each block checked while it is in memory."""

from __future__ import annotations

import zlib

import numpy as np

from msroi_cli.errors import InputError
from msroi_cli.io.crops.folder.part_reader import PartReader
from msroi_cli.io.crops.record import BatchRecord, Written
from msroi_cli.io.crops.writer import CropsWriter
from msroi_cli.io.files.checksum import row_checksums
from msroi_cli.job.crops import FolderCrops
from msroi_cli.job.merge.pieces import Piece

# What is read, checked and written at a time: it is still in the cache when it is written.
BLOCK_BYTES = 1 << 20


class BlockCopier:
    """Copies pieces of `crops` to `writer` block by block, with one part open."""

    def __init__(self, crops: FolderCrops, writer: CropsWriter) -> None:
        self._crops, self._writer = crops, writer
        self._step = max(1, BLOCK_BYTES // max(1, crops.row_bytes))
        self._reader = PartReader(crops.places, crops.shape, crops.dtype)

    def copy(self, piece: Piece) -> BatchRecord:
        """Writes the rows of a piece; raises InputError, RunError."""
        sums = self._crops.checksums[piece.rows]
        for start in range(0, len(piece.rows), self._step):
            block = slice(start, min(start + self._step, len(piece.rows)))
            values = self._reader.read(piece.part, piece.start + block.start, piece.start + block.stop)
            other = np.flatnonzero(row_checksums(values) != sums[block])
            if other.size:
                raise other_bytes(self._crops, piece.part, piece.start + start + int(other[0]))
            self._writer.write(piece.rows[block], values, sums[block])
        return BatchRecord(piece.number, len(piece.rows), [], Written(zlib.crc32(sums.tobytes())))

    def close(self) -> None:
        """Closes the part."""
        self._reader.close()


def other_bytes(crops: FolderCrops, part: int, row: int) -> InputError:
    """The error for a row of a part that is not what its checksum says."""
    return InputError(f"{crops.paths[part]}:/crops: row {row}: expected the bytes of its checksum, got others")
