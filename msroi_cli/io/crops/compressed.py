"""Compressed crops: chunks are compressed in the threads that pool them, and wait in a spool file for the end.

The spool is appended to, one block a batch: an index (chunk number, bytes, filter mask), the checksums of the rows, the
chunks. The record of a batch says where its block begins, and the CRC32 of the block. At the end the output is put
together from the spool with direct chunk writes, under its temporary name; if that is cut short, it is done again.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import RunError
from msroi_cli.io.crops.header import column_checksums, write_header
from msroi_cli.io.crops.record import BatchRecord, SpoolBlock, Written
from msroi_cli.io.crops.schema import CHECKSUMS, Results
from msroi_cli.io.crops.writer import CropsWriter, Output
from msroi_cli.io.files.atomic import failures_named, publish
from msroi_cli.io.files.durability import sync, sync_data, write_all
from msroi_cli.io.files.journal import Journal
from msroi_cli.io.files.work import create, remove, reopen
from msroi_cli.io.hdf5.write import hdf5_file

MARK = b"msroi-spool-2\n\0\0"
INDEX = np.dtype([("chunk", "i8"), ("size", "i8"), ("mask", "i8")])

Encoder = Callable[[NDArray[Any], int], tuple[bytes, int]]


def _gzip(chunk: NDArray[Any], level: int) -> tuple[bytes, int]:
    """Shuffle and deflate, as HDF5 has them."""
    elements = chunk.reshape(-1).view(np.uint8).reshape(-1, chunk.dtype.itemsize)
    return zlib.compress(elements.T.tobytes(), level), 0


def _lzf(chunk: NDArray[Any], level: int) -> tuple[bytes, int]:
    """Shuffle and LZF, which h5py alone has: a file in memory lends its filter."""
    with h5py.File(f"lzf-{threading.get_ident()}", "w", driver="core", backing_store=False) as file:
        lent = file.create_dataset("chunk", data=chunk, chunks=chunk.shape, compression="lzf", shuffle=True)
        mask, content = lent.id.read_direct_chunk((0,) * chunk.ndim)
    return content, mask


ENCODERS: dict[str, Encoder] = {"gzip": _gzip, "lzf": _lzf}


class SpoolWriter(CropsWriter):
    """Crops compressed, in chunks of the rows that the header says."""

    def __init__(self, output: Output, journal: Journal) -> None:
        super().__init__(output, journal)
        self._path = output.spool
        compression = output.header.compression
        if compression is None:
            raise TypeError("SpoolWriter: expected a header with compression")
        self._compression = compression
        self._lock = threading.Lock()
        self._end = 0

    def intact(self) -> bool:
        """Whether there is a spool."""
        if not self._path.exists():
            return False
        with failures_named(self._output.path):
            descriptor = reopen(self._path)
            try:
                return os.pread(descriptor, len(MARK), 0) == MARK
            finally:
                os.close(descriptor)

    def begin(self, resumed: bool) -> None:
        """Opens the spool behind the last block that is recorded, or a new one."""
        if not resumed:
            self._announce()
        self._file = reopen(self._path) if resumed else create(self._path)
        # Blocks that are not sound are left where they are.
        self._end = max((block.offset + block.bytes for block in map(_block, self.records)), default=len(MARK))
        if not resumed:
            write_all(self._file, MARK, 0)
            sync(self._path.parent)

    def is_sound(self, record: BatchRecord, rows: NDArray[np.int64]) -> bool:
        """Reads the block of a batch again."""
        with failures_named(self._output.path):
            return self._read(record) is not None

    def _read(self, record: BatchRecord) -> bytes | None:
        """The block of a batch; None if it is not what was written."""
        place = _block(record)
        least = place.chunks * INDEX.itemsize + 4 * record.rows
        # What a file cannot have is not asked for: memory for it would be set aside.
        if place.offset + place.bytes > os.fstat(self._file).st_size or place.bytes < least:
            return None
        block = os.pread(self._file, place.bytes, place.offset)
        return block if zlib.crc32(block) == record.written.crc else None

    def write(self, rows: NDArray[np.int64], crops: NDArray[Any], sums: NDArray[np.uint32]) -> Written:
        """Compresses and appends the chunks of `rows`, which begin and end with one or at the end of the file."""
        step = self._compression.rows
        return self.append(rows, [self.encoded(crops[at : at + step]) for at in range(0, len(rows), step)], sums)

    def encoded(self, chunk: NDArray[Any]) -> tuple[bytes, int]:
        """The rows of one chunk, or of the last one, compressed, and the filter mask."""
        missing = self._compression.rows - len(chunk)
        if missing:
            chunk = np.concatenate([chunk, np.zeros((missing, *chunk.shape[1:]), chunk.dtype)])
        return ENCODERS[self._compression.name](chunk, self._compression.level)

    def append(self, rows: NDArray[np.int64], chunks: Sequence[tuple[bytes, int]], sums: NDArray[np.uint32]) -> Written:
        """Appends the chunks of `rows`, with their filter masks, as they are; else as `write`."""
        step = self._compression.rows
        index = np.zeros(len(chunks), INDEX)
        for number, (content, mask) in enumerate(chunks):
            index[number] = rows[number * step] // step, len(content), mask
        block = b"".join([index.tobytes(), sums.tobytes(), *(content for content, _ in chunks)])
        with self._lock:
            offset, self._end = self._end, self._end + len(block)
        with failures_named(self._output.path):
            write_all(self._file, block, offset)
        return Written(zlib.crc32(block), SpoolBlock(offset, len(block), len(index)))

    def _sync(self) -> list[dict[str, Any]]:
        sync_data(self._file)
        return []

    def _finish(self, results: Results) -> None:
        """Puts the output together, too."""
        output = self._output
        with failures_named(output.path):
            remove(output.partial)
            os.close(create(output.partial))
            with hdf5_file(output.partial) as file:
                write_header(file, output.header, results.warnings)
                crops = file.create_dataset(
                    "crops",
                    output.header.shape,
                    output.header.dtype,
                    chunks=(self._compression.rows, *output.header.shape[1:]),
                    compression=self._compression.name,
                    compression_opts=self._compression.level if self._compression.name == "gzip" else None,
                    shuffle=True,
                )
                file["checksums"][...] = self._copy(crops)
                file["stats"][...] = results.stats
                if output.header.part is not None:
                    file["moments"][...] = results.moments
                file[CHECKSUMS][...] = column_checksums(output.header, results)
            publish(output.partial, output.target, output.overwrite or output.resume)
            remove(self._path)

    def _copy(self, crops: h5py.Dataset) -> NDArray[np.uint32]:
        """Writes every chunk of the spool to `crops`; returns the checksums of the rows."""
        sums = np.zeros(len(crops), np.uint32)
        step = self._compression.rows
        # In the order of the batches, whatever order they were finished in: a resumed job gives the same file.
        for record in sorted(self.records, key=lambda record: record.batch):
            block = self._read(record)
            if block is None:
                raise RunError(f"{self._path}: batch {record.batch} has been damaged; --resume makes it again")
            index = np.frombuffer(block, INDEX, _block(record).chunks)
            start = index.nbytes + 4 * record.rows
            block_sums = np.frombuffer(block, np.uint32, record.rows, index.nbytes)
            for number, (chunk, size, mask) in enumerate(index.tolist()):
                first = chunk * step
                crops.id.write_direct_chunk((first, *(0,) * (crops.ndim - 1)), block[start : start + size], mask)
                some = block_sums[number * step : (number + 1) * step]
                sums[first : first + len(some)] = some
                start += size
        return sums

    def close(self) -> None:
        """Closes the spool."""
        if hasattr(self, "_file"):
            os.close(self._file)
            del self._file

    def discard(self) -> None:
        """Removes the spool, and the output that is not whole."""
        remove(self._path)
        remove(self._output.partial)


def _block(record: BatchRecord) -> SpoolBlock:
    """Where a batch is in the spool; raises ValueError for the record of one that is not there."""
    if record.written.block is None:
        raise ValueError(f"expected the record of a compressed batch, got {record}")
    return record.written.block
