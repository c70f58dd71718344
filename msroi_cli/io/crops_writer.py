"""Writing crops so that a kill, a full disk or a failing one loses nothing that was done, and never shows a half file.

Crops are written under a temporary name, from any thread and in any order, without a call of HDF5. When the bytes of a
batch are on the disk, and not before, the journal beside the file says so. At the end the file gets its name, and the
journal goes. A job that finds the journal of the same job leaves out what is recorded there.
A failed fsync is never retried: what it should have written may be gone from the page cache (PostgreSQL's findings of
2018 about fsync on Linux).
"""

from __future__ import annotations

import os
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import UsageError
from msroi_cli.io.atomic import check_target, failures_named, publish, reserve_space, sync, write_all
from msroi_cli.io.crops import CropsHeader, open_crops
from msroi_cli.io.crops_layout import lay_out, places
from msroi_cli.io.journal import Journal

Record = dict[str, Any]

OVERWRITE_OR_RESUME = "--overwrite replaces it, --resume finishes it"

sync_data = getattr(os, "fdatasync", os.fsync)


@dataclass(frozen=True, slots=True)
class Output:
    """A crops file to write: its name, what goes in, and which job it is the work of.

    identity: plain JSON values; two jobs with the same identity write the same bytes.
    """

    path: Path
    header: CropsHeader
    identity: Mapping[str, Any]
    resume: bool = False
    overwrite: bool = False

    @property
    def target(self) -> Path:
        """The file behind the name, links followed."""
        return self.path.resolve()

    @property
    def partial(self) -> Path:
        """The name that the file has until it is whole."""
        return self.target.with_name(f".{self.target.name}.partial")

    def check(self) -> None:
        """Raises UsageError where nothing may be written."""
        check_target(self.path, self.overwrite or self.resume, OVERWRITE_OR_RESUME)


class CropsWriter(ABC):
    """Where crops go. `write` may be called from any thread, the others from one."""

    def __init__(self, output: Output, journal: Journal) -> None:
        self._output = output
        self._journal = journal

    @property
    def records(self) -> list[Record]:
        """The batches that are done and on the disk, among them those of an earlier run."""
        return self._journal.records

    @abstractmethod
    def begin(self, resumed: bool) -> None:
        """Makes the files to write to, or opens those of an earlier run."""

    @abstractmethod
    def write(self, rows: NDArray[np.int64], crops: NDArray[Any]) -> Record:
        """Writes `crops` (k, C, Ho, Wo), C-contiguous, of the file's dtype, as the rows `rows`.

        Returns what its record must say for the crops to be found again.
        """

    @abstractmethod
    def finish(self, stats: NDArray[Any]) -> None:
        """Puts in the statistics and gives the file its name; all rows have been written."""

    @abstractmethod
    def close(self) -> None:
        """Lets go of the files."""

    @abstractmethod
    def discard(self) -> None:
        """Removes the files."""

    @abstractmethod
    def _sync(self) -> None:
        """Has the disk take all that `write` wrote."""

    def commit(self, records: list[Record]) -> None:
        """Records batches whose `write` has returned, once their bytes are on the disk."""
        with failures_named(self._output.path):
            self._sync()
        self._journal.add(records)

    def present(self) -> bool:
        """Whether the files of an earlier run are there."""
        return self._output.partial.exists()


class PlainWriter(CropsWriter):
    """Crops as they are, at their places in the file that will be the output, laid out before the first of them."""

    def begin(self, resumed: bool) -> None:
        """Lays the file out, sets its space aside and puts it on the disk."""
        partial = self._output.partial
        if not resumed:
            partial.unlink(missing_ok=True)
            lay_out(partial, self._output.header)
        self._places = places(partial, ("crops", "checksums", "stats"))
        self._file = os.open(partial, os.O_RDWR)
        if not resumed:
            reserve_space(self._file)
            os.fsync(self._file)
            sync(partial.parent)

    def write(self, rows: NDArray[np.int64], crops: NDArray[Any]) -> Record:
        """Writes rows that follow each other at once."""
        sums = row_checksums(crops)
        edges = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
        with failures_named(self._output.path):
            for start, stop in pairwise(edges):
                self._put("crops", int(rows[start]) * self._output.header.row_bytes, crops[start:stop])
                self._put("checksums", int(rows[start]) * sums.itemsize, sums[start:stop])
        return {"crc": zlib.crc32(sums.tobytes())}

    def _put(self, name: str, offset: int, values: NDArray[Any]) -> None:
        if values.size:
            write_all(self._file, values.reshape(-1).view(np.uint8), self._places[name] + offset)

    def finish(self, stats: NDArray[Any]) -> None:
        """Writes the statistics, and gives the file its name."""
        with failures_named(self._output.path):
            self._put("stats", 0, stats)
            publish(self._output.partial, self._output.target, self._output.overwrite or self._output.resume)

    def _sync(self) -> None:
        sync_data(self._file)

    def close(self) -> None:
        """Closes the file."""
        if hasattr(self, "_file"):
            os.close(self._file)

    def discard(self) -> None:
        """Removes the file."""
        self._output.partial.unlink(missing_ok=True)


def row_checksums(crops: NDArray[Any]) -> NDArray[np.uint32]:
    """The CRC32 of each of `crops` (k, ...), C-contiguous."""
    rows = crops.reshape(len(crops), -1).view(np.uint8) if crops.size else np.empty((len(crops), 0), np.uint8)
    return np.fromiter((zlib.crc32(row.data) for row in rows), np.uint32, len(rows))


@contextmanager
def crops_writer(output: Output) -> Iterator[CropsWriter]:
    """Yields the writer of `output`, which the block ends with `finish`.

    If the block fails, what is recorded stays for a job that resumes, and if nothing is, no file stays.
    Raises UsageError if the file may not be written or holds unfinished work of another job, RunError for what the
    file system refuses.
    """
    output.check()
    journal = Journal(output.target)
    try:
        writer = PlainWriter(output, journal)
        resumed = _resumes(output, journal, writer)
        try:
            if not resumed:
                journal.clear()
            with failures_named(output.path):
                writer.begin(resumed)
            if not resumed:
                journal.begin(output.identity)
            yield writer
        except BaseException:
            writer.close()
            if not journal.records:
                with suppress(OSError):
                    writer.discard()
                journal.remove()
            raise
        writer.close()
        journal.remove()
    finally:
        journal.release()


def _resumes(output: Output, journal: Journal, writer: CropsWriter) -> bool:
    """Whether there is earlier work to go on with; raises UsageError if there is some that must not be lost."""
    if not journal.records:
        return False
    if output.resume:
        different = differences(journal.identity, output.identity)
        if different:
            raise UsageError(f"{output.path}: cannot resume: {different[0]}; --overwrite starts anew")
        return writer.present()
    if output.overwrite:
        return False
    raise UsageError(f"{output.path}: an unfinished job is here; --resume goes on with it, --overwrite starts anew")


def is_done(output: Output) -> bool:
    """Whether a job that resumes has nothing left to do: the output is whole already.

    Raises UsageError if a whole output is there that another job made.
    """
    if not (output.resume and output.target.exists()) or output.partial.exists():
        return False
    crops = open_crops(output.target)
    made = {"parameters": crops.parameters, "sources": crops.sources, "shape": list(crops.shape)}
    wanted = {
        "parameters": output.header.parameters,
        "sources": output.header.sources_as_dict(),
        "shape": list(output.header.shape),
    }
    different = differences(made, wanted)
    if different:
        raise UsageError(f"{output.path}: cannot resume: it is whole, but of another job: {different[0]}")
    # The job may have been killed between the last two steps.
    Journal(output.target).remove()
    return True


def differences(before: Any, now: Any, name: str = "") -> list[str]:
    """Where two JSON values differ, in words."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = dict.fromkeys([*before, *now])
        return [line for key in keys for line in differences(before.get(key), now.get(key), f"{name} {key}".strip())]
    return [] if before == now else [f"{name} was {before!r}, now {now!r}"]
