"""Crops as they are, at their places in a file that was laid out, closed and on the disk before the first of them."""

from __future__ import annotations

import os
import zlib
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.io.crops.header import lay_out, place_of_warnings, places, warnings_text
from msroi_cli.io.crops.record import Written
from msroi_cli.io.crops.schema import Results
from msroi_cli.io.crops.writer import CropsWriter
from msroi_cli.io.files.atomic import failures_named, publish
from msroi_cli.io.files.durability import reserve_space, sync, sync_data, write_all


class PlainWriter(CropsWriter):
    """Writes to the file that will be the output."""

    def begin(self, resumed: bool) -> None:
        """Lays the file out, sets its space aside and puts it on the disk."""
        partial = self._output.partial
        if not resumed:
            lay_out(partial, self._output.header)
        self._places = {
            **places(partial, ("crops", "checksums", "stats", "moments")),
            "warnings": place_of_warnings(partial),
        }
        self._file = os.open(partial, os.O_RDWR)
        if not resumed:
            reserve_space(self._file)
            os.fsync(self._file)
            sync(partial.parent)

    def write(self, rows: NDArray[np.int64], crops: NDArray[Any], sums: NDArray[np.uint32]) -> Written:
        """Writes rows that follow each other at once."""
        edges = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
        with failures_named(self._output.path):
            for start, stop in pairwise(edges):
                self._put("crops", int(rows[start]) * self._output.header.row_bytes, crops[start:stop])
                self._put("checksums", int(rows[start]) * sums.itemsize, sums[start:stop])
        return Written(zlib.crc32(sums.tobytes()))

    def _put(self, name: str, offset: int, values: NDArray[Any]) -> None:
        if values.size:
            write_all(self._file, values.reshape(-1).view(np.uint8), self._places[name] + offset)

    def finish(self, results: Results) -> None:
        """Writes the statistics and the warnings, and gives the file its name."""
        header = self._output.header
        with failures_named(self._output.path):
            self._put("stats", 0, results.stats)
            self._put("warnings", 0, np.frombuffer(warnings_text(header, results.warnings).encode(), np.uint8))
            if header.part is not None:
                self._put("moments", 0, results.moments)
            publish(self._output.partial, self._output.target, self._output.overwrite or self._output.resume)

    def _sync(self) -> None:
        sync_data(self._file)

    def close(self) -> None:
        """Closes the file."""
        if hasattr(self, "_file"):
            os.close(self._file)
            del self._file

    def discard(self) -> None:
        """Removes the file."""
        self._output.partial.unlink(missing_ok=True)
