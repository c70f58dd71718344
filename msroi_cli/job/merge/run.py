"""`merge`: the parts of a folder as one crops file, the bytes of their crops copied."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from msroi_cli.errors import StoppedError, UsageError
from msroi_cli.io.crops.compressed import SpoolWriter
from msroi_cli.io.crops.output import crops_writer, is_done
from msroi_cli.io.crops.record import BatchRecord
from msroi_cli.io.crops.schema import CropsHeader
from msroi_cli.io.crops.writer import CropsWriter, Output
from msroi_cli.io.files.location import Source
from msroi_cli.io.files.target import check_apart, check_suffix
from msroi_cli.job.crops import FolderCrops
from msroi_cli.job.merge.chunks import ChunkCopier, compression_of_one_run
from msroi_cli.job.merge.copying import BlockCopier
from msroi_cli.job.merge.pieces import Piece, chunk_pieces, pieces
from msroi_cli.job.merge.threads import Copier, copied
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
    # What is not there is none of the parts, which are.
    check_apart(request.out, crops.paths if os.path.lexists(request.out) else ())
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
    plan, copier = _ways(crops, writer)
    writer.keep_sound((piece.number, piece.rows) for piece in plan())
    recorded = {record.batch for record in writer.records}
    progress(sum(record.rows for record in writer.records))
    new: list[BatchRecord] = []
    with closing(copied((piece for piece in plan() if piece.number not in recorded), copier)) as records:
        for record in records:
            new.append(record)
            progress(record.rows)
            if sum(record.rows for record in new) * crops.row_bytes >= COMMIT_BYTES or stop():
                writer.commit(new)
                new = []
            if stop():
                raise StoppedError("stopped; --resume continues it", stop())
    writer.commit(new)


def _ways(crops: FolderCrops, writer: CropsWriter) -> tuple[Callable[[], Iterator[Piece]], Callable[[], Copier]]:
    """The pieces, and what copies them in a thread: as they are, or, of compressed crops, in chunks of the output."""
    rows = crops.rows_of_parts()
    compression = compression_of_one_run(crops)
    if compression is None or not isinstance(writer, SpoolWriter):
        return lambda: pieces(rows, crops.row_bytes), lambda: BlockCopier(crops, writer)
    # Chunks of several rows are in the order of the images, as parts are; those of one row are taken part after part.
    order = np.concatenate(rows) if compression.rows == 1 else np.arange(len(crops))
    return (
        lambda: chunk_pieces(order, compression.rows, crops.row_bytes),
        lambda: ChunkCopier(crops, writer, compression),
    )


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
        compression_of_one_run(crops),
        warnings=of_inputs(crops.warnings),
    )


def _identity(crops: FolderCrops) -> dict[str, Any]:
    """What two merges must have in common for one to resume the other."""
    files = [(path.name, path.stat()) for path in crops.paths]
    return {"parts": [[name, status.st_size, status.st_mtime_ns] for name, status in files]}
