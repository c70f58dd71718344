"""What writes crops: one output, and what every way of writing it can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import MsroiError
from msroi_cli.io.crops.record import BatchRecord, Written
from msroi_cli.io.crops.schema import CropsHeader, Results
from msroi_cli.io.files.atomic import failures_named, resolved
from msroi_cli.io.files.journal import Journal, journal_path
from msroi_cli.io.files.target import check_target

OVERWRITE_OR_RESUME = "--overwrite replaces it, --resume finishes it"


class Output(NamedTuple):
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
        """The file, links of its folder followed."""
        return resolved(self.path)

    @property
    def journal(self) -> Path:
        """Where it is recorded what is done."""
        return work_files(self.target)[0]

    @property
    def partial(self) -> Path:
        """The name that the file has until it is whole."""
        return work_files(self.target)[1]

    @property
    def spool(self) -> Path:
        """Where compressed crops wait until the file is put together."""
        return work_files(self.target)[2]

    def check(self) -> None:
        """Raises UsageError where nothing may be written."""
        check_target(self.path, self.overwrite or self.resume, OVERWRITE_OR_RESUME)


def work_files(target: Path) -> tuple[Path, Path, Path]:
    """What lies beside the output `target` while it is made: its journal, the file until it is whole, the spool."""
    return journal_path(target), target.with_name(f".{target.name}.partial"), target.with_name(f".{target.name}.spool")


class CropsWriter(ABC):
    """Where crops go. `write` may be called from any thread, the others from one.

    records: the batches that are done, among them those of an earlier run.
    """

    def __init__(self, output: Output, journal: Journal) -> None:
        self._output = output
        self._journal = journal
        self.records: list[BatchRecord] = []
        self._unrecorded: list[BatchRecord] = []
        self._finishes = False

    @abstractmethod
    def intact(self) -> bool:
        """Whether the files of an earlier run are there, as far as they can be checked without its batches."""

    @abstractmethod
    def begin(self, resumed: bool) -> None:
        """Makes the files to write to, or opens those of the earlier run that `records` are of."""

    @abstractmethod
    def write(self, rows: NDArray[np.int64], crops: NDArray[Any], sums: NDArray[np.uint32]) -> Written:
        """Writes `crops` (k, C, Ho, Wo), C-contiguous, of the file's dtype, as the rows `rows`.

        sums: their checksums, (k,).
        """

    @abstractmethod
    def is_sound(self, record: BatchRecord, rows: NDArray[np.int64]) -> bool:
        """Whether the bytes of a recorded batch, which has these rows, are those that were written."""

    def finish(self, results: Results) -> None:
        """Puts in the statistics and the warnings, and gives the file its name; all rows have been written."""
        self._finishes = True
        self._finish(results)

    @abstractmethod
    def _finish(self, results: Results) -> None:
        """As `finish`."""

    @abstractmethod
    def close(self) -> None:
        """Lets go of the files."""

    @abstractmethod
    def discard(self) -> None:
        """Removes the files."""

    @abstractmethod
    def _sync(self) -> list[dict[str, Any]]:
        """Has the disk take all that `write` wrote; returns what the journal says before the batches, as plain JSON."""

    def _announce(self) -> None:
        """Says on the disk which job the work files are of, before the first of them has a name."""
        self._journal.begin(self._output.identity)

    def commit(self, records: list[BatchRecord]) -> None:
        """Records batches whose `write` has returned, once their bytes are on the disk.

        The last ones are left to `finish`, which has the disk take all, or to `keep`.
        """
        if sum(record.rows for record in [*self.records, *records]) < self._output.header.shape[0]:
            self._record(records)
        else:
            self._unrecorded = records
        self.records += records

    def _record(self, records: list[BatchRecord]) -> None:
        with failures_named(self._output.path):
            first = self._sync()
        self._journal.add([*first, *(record.as_json() for record in records)])

    def keep(self) -> None:
        """Records what was left to `finish`, where that does not come, or forgets it if that fails.

        Where `finish` has failed, what it should have written is forgotten: a failed fsync is not tried again.
        """
        last, self._unrecorded = self._unrecorded, []
        del self.records[len(self.records) - len(last) :]
        if last and not self._finishes:
            with suppress(MsroiError):
                self._record(last)
                self.records += last

    def keep_sound(self, batches: Iterable[tuple[int, NDArray[np.int64]]]) -> None:
        """Forgets the records of batches whose bytes have changed since, or that are not among `batches`.

        batches: the number and the rows of every batch of the job. Raises RunError where the bytes cannot be read.
        """
        recorded = {record.batch: record for record in self.records}
        sound = []
        for number, rows in batches if recorded else ():
            record = recorded.get(number)
            if record is not None and record.rows == len(rows) and self.is_sound(record, rows):
                sound.append(record)
        self.records = sound
