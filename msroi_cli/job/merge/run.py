"""`merge`: the parts of a folder as one crops file, the bytes of their crops copied."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from msroi_cli.errors import StoppedError, UsageError
from msroi_cli.io.crops.output import crops_writer, is_done
from msroi_cli.io.crops.record import BatchRecord
from msroi_cli.io.crops.schema import CropsHeader
from msroi_cli.io.crops.writer import CropsWriter, Output
from msroi_cli.io.files.location import Source
from msroi_cli.io.files.target import check_apart, check_suffix
from msroi_cli.job.crops import FolderCrops
from msroi_cli.job.merge.copying import Copying
from msroi_cli.job.merge.pieces import pieces
from msroi_cli.job.merge.virtual import check_columns, results_of, write_virtually
from msroi_cli.job.validate.nonfinite import of_inputs

# Crops are put on the disk and recorded as done so many bytes at a time, while further ones are copied.
COMMIT_BYTES = 128 << 20


@dataclass(frozen=True, slots=True)
class MergeRequest:
    """One `msroi merge`: the crops file to make. virtual: it refers to the parts, and has no crops of its own."""

    out: Path
    resume: bool = False
    overwrite: bool = False
    virtual: bool = False


@dataclass(frozen=True, slots=True)
class Merged:
    """What was merged: how many parts, crops and bytes of crops, and the seconds it took."""

    parts: int
    crops: int
    size: int
    elapsed: float


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
    if request.virtual:
        write_virtually(crops, request.out, _header(crops), request.resume, request.overwrite)
    elif not _merge(crops, request, progress, stop):
        return None
    return Merged(len(crops.paths), len(crops), len(crops) * crops.row_bytes, perf_counter() - started)


def _merge(crops: FolderCrops, request: MergeRequest, progress: Callable[[int], None], stop: Callable[[], int]) -> bool:
    """Copies all parts; False if the output was whole already."""
    output = Output(request.out, _header(crops), _identity(crops), request.resume, request.overwrite)
    if is_done(output):
        return False
    check_columns(crops)
    with crops_writer(output) as writer:
        _copy(crops, writer, progress, stop)
        writer.finish(results_of(crops))
    return True


def _copy(crops: FolderCrops, writer: CropsWriter, progress: Callable[[int], None], stop: Callable[[], int]) -> None:
    """Copies what is not recorded, and records it."""
    rows = crops.rows_of_parts()
    writer.keep_sound((piece.number, piece.rows) for piece in pieces(rows, crops.row_bytes))
    recorded = {record.batch for record in writer.records}
    progress(sum(record.rows for record in writer.records))
    left = (piece for piece in pieces(rows, crops.row_bytes) if piece.number not in recorded)
    new: list[BatchRecord] = []
    with closing(Copying(crops, writer).copied(left)) as copied:
        for record in copied:
            new.append(record)
            progress(record.rows)
            if sum(record.rows for record in new) * crops.row_bytes >= COMMIT_BYTES or stop():
                writer.commit(new)
                new = []
            if stop():
                raise StoppedError("stopped; --resume continues it", stop())
    writer.commit(new)


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
