"""Merges parts without copying them: a file with a virtual dataset, which shows the crops of all parts."""

from __future__ import annotations

import os
from pathlib import Path

from msroi_cli.core.stats import CropStats
from msroi_cli.errors import InputError, UsageError
from msroi_cli.io.crops.folder.virtual import write_virtual
from msroi_cli.io.crops.header import changed_columns
from msroi_cli.io.crops.schema import CropsHeader, Results
from msroi_cli.io.files.atomic import whole_file
from msroi_cli.job.crops import FolderCrops
from msroi_cli.job.recipe import Recipe
from msroi_cli.job.summary import moments_records


def write_virtually(crops: FolderCrops, out: Path, header: CropsHeader, resume: bool, overwrite: bool) -> None:
    """Writes `out`, whose crops are those of the parts; raises UsageError, InputError or RunError."""
    if Recipe.of(crops).order != "image":
        raise UsageError(
            f"--virtual: expected parts of --order image, got {crops.path} in the order of the boxes: "
            "its rows are scattered over the parts, each a mapping of its own; merge without --virtual"
        )
    if resume:
        raise UsageError("--resume: expected without --virtual, which leaves nothing unfinished")
    folder = os.path.relpath(crops.path.resolve(), out.parent.resolve())
    if os.pardir in Path(folder).parts:
        raise UsageError(f"--virtual: expected OUT beside {crops.path} or in a folder above, got {out}")
    if "%" in folder:
        raise UsageError(f"--virtual: expected a name without %, which HDF5 takes for a pattern, got {folder}")
    check_columns(crops)
    with whole_file(out, overwrite) as partial:
        write_virtual(partial, header._replace(parts=folder), results_of(crops), crops.checksums, crops.places)


def check_columns(crops: FolderCrops) -> None:
    """Compares with their checksums the columns of parts that have not been yet; raises InputError."""
    for path in crops.unchecked:
        for problem in changed_columns(path) or ():
            raise InputError(f"{path}: {problem}")


def results_of(crops: FolderCrops) -> Results:
    """The statistics and the warnings of the whole job."""
    return Results(crops.stats, moments_records(CropStats.empty(len(crops.stats))), crops.warnings)
