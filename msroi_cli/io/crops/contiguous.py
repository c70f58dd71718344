"""Crops as they are, at their places in a file that was laid out and closed before the first of them."""

from __future__ import annotations

import os
import zlib
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.io.crops.header import column_checksums, lay_out, warnings_text
from msroi_cli.io.crops.layout import Layout
from msroi_cli.io.crops.record import BatchRecord, Written
from msroi_cli.io.crops.schema import CHECKSUMS, Results
from msroi_cli.io.crops.writer import CropsWriter
from msroi_cli.io.files.atomic import failures_named, publish, publish_unnamed
from msroi_cli.io.files.checksum import row_checksums
from msroi_cli.io.files.durability import reserve_space, sync, sync_data, sync_file, write_all
from msroi_cli.io.files.system.unnamed import create_unnamed, give_name
from msroi_cli.io.files.work import create, remove, reopen


class PlainWriter(CropsWriter):
    """Writes to the file that will be the output."""

    _named = False

    def intact(self) -> bool:
        """Whether the file of an earlier run is there, and all but its crops as it was laid out."""
        partial = self._output.partial
        found = [record["layout"] for record in self._journal.records if "layout" in record]
        if not found or not partial.exists():
            return False
        with failures_named(self._output.path):
            descriptor = reopen(partial)
            try:
                self._layout = Layout.from_json(found[-1])
                return self._layout.is_of(descriptor)
            except ValueError:
                return False
            finally:
                os.close(descriptor)

    def begin(self, resumed: bool) -> None:
        """Lays the file out and sets its space aside."""
        self._named = self._recorded = resumed
        if resumed:
            self._file = reopen(self._output.partial)
            return
        self._file = self._made()
        lay_out(self._file, self._output.header)
        self._layout = Layout.of(self._file)
        reserve_space(self._file)

    def _made(self) -> int:
        """A new file: one without a name, where there are such files, until a name is worth its trips to the disk.

        A short job writes it, has the disk take it, and gives it its own name: what is cut short before leaves nothing.
        """
        unnamed = create_unnamed(self._output.partial.parent)
        if unnamed is not None:
            return unnamed
        self._announce()
        self._named = True
        return create(self._output.partial)

    def _give_work_name(self) -> None:
        """Gives the file the name of work, if it has none."""
        if not self._named:
            self._announce()
            give_name(self._file, self._output.partial)
            self._named = True

    def write(self, rows: NDArray[np.int64], crops: NDArray[Any], sums: NDArray[np.uint32]) -> Written:
        """Writes rows that follow each other at once."""
        with failures_named(self._output.path):
            for start, stop in _runs(rows):
                self._put("crops", int(rows[start]) * self._output.header.row_bytes, crops[start:stop])
                self._put("checksums", int(rows[start]) * sums.itemsize, sums[start:stop])
        return Written(zlib.crc32(sums.tobytes()))

    def is_sound(self, record: BatchRecord, rows: NDArray[np.int64]) -> bool:
        """Reads the crops of a batch and their checksums again."""
        header = self._output.header
        sums: NDArray[np.uint32] = np.empty(len(rows), np.uint32)
        crops: NDArray[Any] = np.empty((len(rows), *header.shape[1:]), header.dtype)
        with failures_named(self._output.path):
            for start, stop in _runs(rows):
                self._get("crops", int(rows[start]) * header.row_bytes, crops[start:stop])
                self._get("checksums", int(rows[start]) * sums.itemsize, sums[start:stop])
        return zlib.crc32(sums.tobytes()) == record.written.crc and bool((row_checksums(crops) == sums).all())

    def _put(self, name: str, offset: int, values: NDArray[Any]) -> None:
        if values.size:
            write_all(self._file, values.reshape(-1).view(np.uint8), self._layout.offset(name) + offset)

    def _get(self, name: str, offset: int, values: NDArray[Any]) -> None:
        """Reads as many values as there are; those behind the end of the file stay what they are."""
        if values.size:
            os.preadv(self._file, [values.reshape(-1).view(np.uint8).data], self._layout.offset(name) + offset)

    def _finish(self, results: Results) -> None:
        header = self._output.header
        with failures_named(self._output.path):
            self._put("stats", 0, results.stats)
            self._put("warnings", 0, np.frombuffer(warnings_text(header, results.warnings).encode(), np.uint8))
            if header.part is not None:
                self._put("moments", 0, results.moments)
            self._put(CHECKSUMS, 0, column_checksums(header, results))
            if self._named or not publish_unnamed(self._file, self._output.target):
                self._give_work_name()
                publish(self._output.partial, self._output.target, self._output.overwrite or self._output.resume)

    def _sync(self) -> list[dict[str, Any]]:
        if self._recorded:
            sync_data(self._file)
            return []
        self._give_work_name()
        sync_file(self._file)
        sync(self._output.partial.parent)
        self._recorded = True
        return [{"layout": self._layout.as_json()}]

    def close(self) -> None:
        """Closes the file."""
        if hasattr(self, "_file"):
            os.close(self._file)
            del self._file

    def discard(self) -> None:
        """Removes the file; one without a name goes when it is closed."""
        if self._named:
            remove(self._output.partial)


def _runs(rows: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Where among `rows` each run of rows that follow each other begins and ends."""
    return list(pairwise([0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]))
