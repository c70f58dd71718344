"""Copies compressed crops: chunks that the output has too as they are, the others decoded and encoded again."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.io.crops.compressed import SpoolWriter
from msroi_cli.io.crops.record import BatchRecord
from msroi_cli.io.crops.rows import RowsInChunks
from msroi_cli.io.crops.schema import STATUS_POOLED, Compression
from msroi_cli.io.files.checksum import row_checksums
from msroi_cli.job.crops import FolderCrops
from msroi_cli.job.merge.copying import other_bytes
from msroi_cli.job.merge.pieces import Piece

# Parts, of each thread.
MOST_OPEN = 8


def compression_of_one_run(crops: FolderCrops) -> Compression | None:
    """How one job would have compressed the crops of all parts: as they are, in chunks of as many rows as it takes."""
    found = next((place.compression for place in crops.places if place.compression is not None), None)
    if found is None:
        return None
    pooled = crops.status == STATUS_POOLED
    images = crops.image_index[pooled]
    in_order = bool(pooled[: len(images)].all() and (images[1:] >= images[:-1]).all())
    return Compression.of(found.name, found.level, crops.shape, crops.row_bytes, in_order)


class ChunkCopier:
    """Copies pieces of whole chunks of the output to `writer`."""

    def __init__(self, crops: FolderCrops, writer: SpoolWriter, compression: Compression) -> None:
        self._crops, self._writer, self._compression = crops, writer, compression
        self._rows = crops.rows.alone(MOST_OPEN)

    def copy(self, piece: Piece) -> BatchRecord:
        """Appends the chunks of a piece; raises InputError for rows that are not what their checksums say, RunError."""
        rows, step = piece.rows, self._compression.rows
        part, row = self._rows.places_of(rows)
        chunks = [slice(at, min(at + step, len(rows))) for at in range(0, len(rows), step)]
        stored = [self._stored(part[chunk], row[chunk]) for chunk in chunks]
        again = [chunk for chunk, content in zip(chunks, stored, strict=True) if content is None]
        values = self._checked(rows[np.r_[tuple(again)]]) if again else np.empty(0)
        first, encoded = 0, []
        for chunk, content in zip(chunks, stored, strict=True):
            if content is None:
                last = first + chunk.stop - chunk.start
                content = self._writer.encoded(values[first:last])
                first = last
            encoded.append(content)
        written = self._writer.append(rows, encoded, self._crops.checksums[rows])
        return BatchRecord(piece.number, len(rows), [], written)

    def _stored(self, part: NDArray[np.int32], row: NDArray[np.int64]) -> tuple[bytes, int] | None:
        """The stored chunk with exactly these rows (k,) of these parts (k,), and its mask; None if there is none."""
        place = self._crops.places[int(part[0])]
        if place.compression != self._compression or (part != part[0]).any() or (np.diff(row) != 1).any():
            return None
        first, full = int(row[0]), len(row) == self._compression.rows
        # Behind the last row of a part are zeros, as behind the last one of the output.
        if first % self._compression.rows or not (full or first + len(row) == place.count):
            return None
        source = self._rows.source(int(part[0]))
        return source.stored_chunk(first) if isinstance(source, RowsInChunks) else None

    def _checked(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """The crops of some rows (k,); raises InputError if they are not what their checksums say."""
        values = self._rows.take(rows)
        other = np.flatnonzero(row_checksums(values) != self._crops.checksums[rows])
        if other.size:
            part, row = self._rows.places_of(rows[other[:1]])
            raise other_bytes(self._crops, int(part[0]), int(row[0]))
        return values

    def close(self) -> None:
        """Closes the parts."""
        self._rows.close()
