"""`merge`: the parts of a folder as one crops file, the bytes of their crops copied."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.stats import CropStats
from msroi_cli.errors import InputError, StoppedError, UsageError
from msroi_cli.io.crops.header import changed_columns
from msroi_cli.io.crops.output import crops_writer, is_done
from msroi_cli.io.crops.record import BatchRecord
from msroi_cli.io.crops.schema import CropsHeader, Results
from msroi_cli.io.crops.writer import CropsWriter, Output
from msroi_cli.io.files.checksum import row_checksums
from msroi_cli.io.files.location import Source
from msroi_cli.io.files.target import check_apart, check_suffix
from msroi_cli.job.crops import FolderCrops
from msroi_cli.job.summary import moments_records
from msroi_cli.job.validate.nonfinite import of_inputs

# Crops are recorded as done so many bytes at a time; what is copied in one call fits in the cache of most machines.
COMMIT_BYTES, COPY_BYTES = 256 << 20, 16 << 20


@dataclass(frozen=True, slots=True)
class MergeRequest:
    """One `msroi merge`: the crops file to make."""

    out: Path
    resume: bool = False
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class Merged:
    """What was merged: how many parts, crops and bytes of crops, and the seconds it took."""

    parts: int
    crops: int
    size: int
    elapsed: float


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of one part that are copied in one go: `start` to `stop` there, `rows` (k,) int64 in the output."""

    number: int
    part: int
    start: int
    stop: int
    rows: NDArray[np.int64]


def merge(
    crops: FolderCrops,
    request: MergeRequest,
    progress: Callable[[int], None] = lambda crops: None,
    stop: Callable[[], int] = lambda: 0,
) -> Merged | None:
    """Copies all parts; the output appears under its name when it is whole. None if it was whole already.

    progress is called with the number of crops just done. stop is asked for the signal that came, if one did.
    Raises InputError for parts that are missing, doubled, foreign or damaged, UsageError, RunError or StoppedError.
    """
    started = perf_counter()
    check_suffix(request.out, "HDF5")
    if request.out.parent.resolve() == crops.path.resolve():
        raise UsageError(f"{request.out}: expected an output outside the folder of parts, got a file in it")
    check_apart(request.out, crops.paths)
    output = Output(request.out, _header(crops), _identity(crops), request.resume, request.overwrite)
    if is_done(output):
        return None
    for path in crops.unchecked:
        for problem in changed_columns(path) or ():
            raise InputError(f"{path}: {problem}")
    with crops_writer(output) as writer:
        _copy(crops, writer, progress, stop)
        writer.finish(Results(crops.stats, moments_records(CropStats.empty(len(crops.stats))), crops.warnings))
    return Merged(len(crops.paths), len(crops), len(crops) * crops.row_bytes, perf_counter() - started)


def _copy(crops: FolderCrops, writer: CropsWriter, progress: Callable[[int], None], stop: Callable[[], int]) -> None:
    """Copies what is not recorded, and records it."""
    writer.keep_sound((piece.number, piece.rows) for piece in pieces(crops))
    recorded = {record.batch for record in writer.records}
    progress(sum(record.rows for record in writer.records))
    new: list[BatchRecord] = []
    for piece in pieces(crops):
        if piece.number not in recorded:
            new.append(_copy_piece(crops, writer, piece))
            progress(len(piece.rows))
        if sum(record.rows for record in new) * crops.row_bytes >= COMMIT_BYTES or stop():
            writer.commit(new)
            new = []
        if stop():
            raise StoppedError("stopped; --resume continues it", stop())
    writer.commit(new)


def pieces(crops: FolderCrops) -> Iterator[Piece]:
    """Every row of every part once, part after part."""
    step = max(1, COPY_BYTES // max(1, crops.row_bytes))
    number = 0
    for part, rows in enumerate(crops.rows_of_parts()):
        for start in range(0, len(rows), step):
            stop = min(start + step, len(rows))
            yield Piece(number, part, start, stop, rows[start:stop])
            number += 1


def _copy_piece(crops: FolderCrops, writer: CropsWriter, piece: Piece) -> BatchRecord:
    """Writes the rows of a piece; raises InputError if they are not what their checksums say."""
    values = crops.of_part(piece.part, piece.start, piece.stop)
    sums = row_checksums(values)
    other = np.flatnonzero(sums != crops.checksums[piece.rows])
    if other.size:
        path, row = crops.paths[piece.part], piece.start + int(other[0])
        raise InputError(f"{path}:/crops: row {row}: expected the bytes of its checksum, got others")
    return BatchRecord(piece.number, len(piece.rows), [], writer.write(piece.rows, values, sums))


def _header(crops: FolderCrops) -> CropsHeader:
    stated = ("name", "size", "fingerprint", "modified")
    sources = {role: Source(*map(source.get, stated)) for role, source in crops.sources.items()}
    return CropsHeader(
        crops.shape,
        crops.dtype,
        crops.columns,
        crops.image_ids,
        len(crops.stats),
        crops.parameters,
        sources,
        warnings=of_inputs(crops.warnings),
    )


def _identity(crops: FolderCrops) -> dict[str, Any]:
    """What two merges must have in common for one to resume the other."""
    files = [(path.name, path.stat()) for path in crops.paths]
    return {"parts": [[name, status.st_size, status.st_mtime_ns] for name, status in files]}
