"""Copies pieces in some threads at once: while one reads, another writes, or the disk takes what was written."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Event, Lock

import numpy as np

from msroi_cli.core.backends.environment import default_threads
from msroi_cli.errors import InputError
from msroi_cli.io.crops.folder.part_reader import PartReader
from msroi_cli.io.crops.record import BatchRecord, Written
from msroi_cli.io.crops.writer import CropsWriter
from msroi_cli.io.files.checksum import row_checksums
from msroi_cli.job.crops import FolderCrops
from msroi_cli.job.merge.pieces import Piece

# What a thread reads, checks and writes at a time: it is still in the cache when it is written.
BLOCK_BYTES = 1 << 20
# Copying is bound by memory and disks, which more threads do not make faster.
MOST_THREADS = 4


class Copying:
    """Copies pieces of `crops` to `writer`, each thread with one part open."""

    def __init__(self, crops: FolderCrops, writer: CropsWriter) -> None:
        self._crops, self._writer = crops, writer
        self._step = max(1, BLOCK_BYTES // max(1, crops.row_bytes))
        self._lock, self._ended = Lock(), Event()

    def copied(self, pieces: Iterator[Piece]) -> Generator[BatchRecord, None, None]:
        """The record of each piece when its bytes have been written, in any order; copying goes on meanwhile.

        Closing the iterator ends the copying. Raises InputError for crops that are not what their checksums say,
        RunError for what cannot be written.
        """
        threads = min(MOST_THREADS, default_threads())
        done: SimpleQueue[BatchRecord | None] = SimpleQueue()
        with ThreadPoolExecutor(threads) as executor:
            try:
                working = [executor.submit(self._work, pieces, done.put) for _ in range(threads)]
                left = threads
                while left:
                    record = done.get()
                    if record is None:
                        left -= 1
                    else:
                        yield record
            finally:
                self._ended.set()
        for thread in working:
            thread.result()

    def _work(self, pieces: Iterator[Piece], done: Callable[[BatchRecord | None], None]) -> None:
        """Copies one piece after the other until there are no more, or another thread has failed."""
        reader = PartReader(self._crops.places, self._crops.shape, self._crops.dtype)
        try:
            while not self._ended.is_set():
                with self._lock:
                    piece = next(pieces, None)
                if piece is None:
                    break
                done(self._copy(piece, reader))
        except BaseException:
            self._ended.set()
            raise
        finally:
            reader.close()
            done(None)

    def _copy(self, piece: Piece, reader: PartReader) -> BatchRecord:
        """Writes the rows of a piece, each block checked in memory before it is written."""
        sums = self._crops.checksums[piece.rows]
        for start in range(0, len(piece.rows), self._step):
            block = slice(start, min(start + self._step, len(piece.rows)))
            values = reader.read(piece.part, piece.start + block.start, piece.start + block.stop)
            other = np.flatnonzero(row_checksums(values) != sums[block])
            if other.size:
                path, row = self._crops.paths[piece.part], piece.start + start + int(other[0])
                raise InputError(f"{path}:/crops: row {row}: expected the bytes of its checksum, got others")
            self._writer.write(piece.rows[block], values, sums[block])
        return BatchRecord(piece.number, len(piece.rows), [], Written(zlib.crc32(sums.tobytes())))
