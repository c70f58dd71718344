"""Opens crops: a crops file, or a folder of parts, which is read as the crops file of the whole job."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.columns import BOX_COLUMNS, BoxColumns
from msroi_cli.io.crops.folder.alike import AlikeFiles
from msroi_cli.io.crops.folder.part_file import PartFile
from msroi_cli.io.crops.folder.part_rows import PartPlace, PartRows
from msroi_cli.io.crops.folder.virtual import check_parts, checked_folder, named_folder
from msroi_cli.io.crops.parts import Part, part_name, part_paths
from msroi_cli.io.crops.reader import Crops
from msroi_cli.io.crops.record import NonfiniteRows
from msroi_cli.io.crops.rows import RowSource
from msroi_cli.io.crops.schema import is_linked, is_linked_to
from msroi_cli.io.hdf5.read import InputDataset
from msroi_cli.job.recipe import Recipe
from msroi_cli.job.summary import Summary, stats_of_parts, summarize
from msroi_cli.job.validate.findings import Finding
from msroi_cli.job.validate.nonfinite import Rows, nonfinite_findings, nonfinite_rows, of_inputs


def open_crops(path: str | Path) -> Crops:
    """Opens a crops file, or a folder of parts, for reading: `len`, rows, slices, `by_image(id)`.

    Raises InputError if it is neither, or if parts are missing, doubled, changed or of another job.
    """
    if Path(path).is_dir():
        return FolderCrops(path)
    return Crops(path) if named_folder(Path(path)) is None else VirtualCrops(path)


def open_parts(path: str | Path) -> FolderCrops:
    """Opens a folder of parts; raises InputError as `open_crops` does, and for a crops file."""
    if not Path(path).is_dir():
        raise InputError(f"{path}: expected a folder of parts, got {'a file' if Path(path).exists() else 'none'}")
    return FolderCrops(path)


class FolderCrops(Crops):
    """The crops of all parts of a folder, in the order in which one job would have written them.

    paths and parts: of the parts, in order, and what each says of itself. places: where their crops are. rows: which
    part has each row, and where.
    unchecked: the paths of those whose columns have not been compared with their checksums.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.paths = part_paths(self.path)
        files = AlikeFiles().open(self.paths)
        self.parts = [_part(file, index, len(files)) for index, file in enumerate(files, start=1)]
        self._check(files)
        self._join(files)

    def _check(self, files: Sequence[PartFile]) -> None:
        """Raises InputError for parts that do not belong together."""
        first, images = files[0], 0
        contents = _Contents()
        for file, part in zip(files, self.parts, strict=True):
            pairs = (
                ("parameters", file.parameters, first.parameters),
                ("sources", contents(file.sources), contents(first.sources)),
                ("crops", (file.shape[1:], file.dtype), (first.shape[1:], first.dtype)),
                ("rows of the job", part.rows, self.parts[0].rows),
                ("first image", part.first_image, images),
                ("rows a checksum", file.rows_per_block, 1),
            )
            for name, actual, expected in pairs:
                if actual != expected:
                    raise InputError(
                        f"{file.path}: expected a part of the same job as {first.path.name}: "
                        f"{name} {str(expected)[:80]}, got {str(actual)[:80]}"
                    )
            images += len(file.image_ids)
        rows = sum(file.crops for file in files)
        if rows != self.parts[0].rows:
            raise InputError(f"{self.path}: expected {self.parts[0].rows} rows in all parts, got {rows}")

    def _join(self, files: Sequence[PartFile]) -> None:
        first = files[0]
        self.part = None
        self._moments = [file.moments for file in files if file.moments is not None]
        self._warnings = [file.warnings for file in files]
        self.parameters, self.sources = dict(first.parameters), _joined_sources(files)
        self.image_ids = [image for file in files for image in file.image_ids]
        self.rows_per_block, self.dtype = 1, first.dtype
        lengths = [file.crops for file in files]
        self.shape = (sum(lengths), *first.shape[1:])
        box_index = _joined(files, "box_index")
        order = self._order(box_index)
        images = np.repeat([part.first_image for part in self.parts], lengths)
        index = _joined(files, "image_index")
        self.image_index = np.where(index >= 0, index + images, -1)[order]
        self.box_index = box_index[order]
        for name in ("boxes", "level", "status"):
            setattr(self, name, _joined(files, name)[order])
        self.box_columns = BoxColumns(
            {
                column.name: _joined(files, column.name)[order]
                for column in BOX_COLUMNS
                if all(column.name in file.columns for file in files)
            }
        )
        self.checksums = np.concatenate([file.checksums for file in files])[order]
        part = np.repeat(np.arange(len(files), dtype=np.int32), lengths)
        starts = np.cumsum(lengths) - lengths
        row = np.arange(len(part)) - np.repeat(starts, lengths)
        self.places = [
            PartPlace(file.path, file.crops, file.first, file.identity, file.compression, file.chunks) for file in files
        ]
        self.unchecked = [file.path for file in files if not file.checked]
        self.rows = self._rows = PartRows(self.places, part[order], row[order], self.shape, self.dtype)
        self._ends = np.cumsum(lengths)
        self._place = np.empty(len(order), np.int64)
        self._place[order] = np.arange(len(order))

    def rows_of_parts(self) -> list[NDArray[np.int64]]:
        """The rows (k,) of the whole job that each part has, in the part's order."""
        return [self._place[start:stop] for start, stop in pairwise([0, *self._ends.tolist()])]

    def _order(self, box_index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where each row of the whole job is among the rows of all parts, (K,) int64; box_index: (K,), of these."""
        ordered = np.sort(box_index)
        if (ordered[1:] == ordered[:-1]).any():
            twice = int(ordered[1:][ordered[1:] == ordered[:-1]][0])
            raise InputError(f"{self.path}: expected each box once in all parts, got box {twice} twice")
        if Recipe.of(self).order == "image":
            return np.arange(len(box_index))
        return np.argsort(box_index, kind="stable")

    @cached_property
    def stats(self) -> NDArray[Any]:  # type: ignore[override]
        """The statistics of the whole job, as it would have written them."""
        return self.summary().records()

    def summary(self) -> Summary:
        """What the whole job did; without times and without the boxes that could not be pooled."""
        total = stats_of_parts(self._moments)
        pooled = self.level >= 0
        levels, whole = summarize(
            self.boxes[pooled], self.level[pooled].astype(np.int64), total, np.full(len(total.finite), math.nan)
        )
        recipe = Recipe.of(self)
        warnings = list(map(Finding.parse, self.warnings))
        return Summary(recipe.levels, recipe.strides, levels, whole, {}, math.nan, warnings=warnings)

    @cached_property
    def warnings(self) -> list[Mapping[str, Any]]:  # type: ignore[override]
        """The warnings of the whole job: those about its inputs, which all parts have, and those about the crops."""
        found = NonfiniteRows.joined(
            NonfiniteRows(part.count, tuple(place[list(part.first)].tolist()))
            for part, place in zip(map(nonfinite_rows, self._warnings), self.rows_of_parts(), strict=True)
            if part.count
        )
        rows = Rows(self.columns, self.image_ids, Recipe.of(self).levels)
        about_crops = [finding.as_dict() for finding in nonfinite_findings(found, rows)]
        return [*of_inputs(self._warnings[0]), *about_crops]

    def __enter__(self) -> FolderCrops:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return open_crops, (self.path.absolute(),)


class VirtualCrops(Crops):
    """The crops of a file that `merge --virtual` made. Rows are read from its parts, which are opened and checked.

    paths: of the file and of the parts.
    """

    def _open_rows(self, dataset: InputDataset) -> RowSource:
        """The rows of the parts; raises InputError if these are not those that the file was made of."""
        name = named_folder(self.path) or ""
        folder = FolderCrops(checked_folder(self.path, name))
        self.paths = [self.path, *folder.paths]
        check_parts(self.path, dataset, name, folder.places)
        self._check(folder)
        self.first = None
        return folder.rows

    def _check(self, folder: FolderCrops) -> None:
        """Raises InputError, which names the part, where the parts do not say what the file says of them."""
        own = {**self.columns, "checksums": self.checksums}
        of_parts = {**folder.columns, "checksums": folder.checksums}
        if (self.shape, self.dtype, self.parameters) != (folder.shape, folder.dtype, folder.parameters):
            raise InputError(f"{self.path}: expected the parts of its own job in {folder.path}, got those of another")
        for column, values in own.items():
            others = of_parts.get(column)
            if others is None or values.shape != others.shape or values.dtype != others.dtype:
                raise InputError(f"{self.path}:/{column}: expected what the parts in {folder.path} say, got others")
            other = np.flatnonzero((values != others).reshape(len(values), -1).any(axis=1))
            if other.size:
                part = folder.paths[int(folder.rows.places_of(other[:1])[0][0])]
                raise InputError(
                    f"{self.path}: expected {part} as it was when the file was made, got one that has changed since: "
                    f"{column} of row {other[0]}"
                )

    def __reduce__(self) -> tuple[Any, ...]:
        return open_crops, (self.path.absolute(),)


def _contents(sources: Mapping[str, Any]) -> dict[str, Any]:
    """The sources that all parts have, without their times: each machine may have a copy of the inputs."""
    return {role: _content(source) for role, source in sources.items() if not is_linked(role)}


def _content(source: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in source.items() if name != "modified"}


def _joined_sources(files: Sequence[PartFile]) -> dict[str, Any]:
    """The sources of all parts; raises InputError for a linked file that differs between two of them.

    Each part lists the linked files that its images are read from.
    """
    found: dict[str, tuple[Any, PartFile]] = {}
    # Most parts share one object.
    apart: dict[int, PartFile] = {}
    for file in files:
        apart.setdefault(id(file.sources), file)
    for file in apart.values():
        for role, source in file.sources.items():
            known, first = found.setdefault(role, (source, file))
            if known is not source and _content(known) != _content(source):
                raise InputError(
                    f"{file.path}: expected a part of the same job as {first.path.name}: "
                    f"{role} {_content(known)}, got {_content(source)}"
                )
    return {
        role: found[role][0]
        for own in files[0].sources
        if not is_linked(own)
        for role in (own, *sorted(other for other in found if is_linked_to(other, own)))
    }


class _Contents:
    """The contents of sources, which most parts share."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Mapping[str, Any], dict[str, Any]]] = {}

    def __call__(self, sources: Mapping[str, Any]) -> dict[str, Any]:
        if id(sources) not in self._known:
            self._known[id(sources)] = sources, _contents(sources)
        return self._known[id(sources)][1]


def _joined(files: Sequence[PartFile], name: str) -> NDArray[Any]:
    return np.concatenate([file.columns[name] for file in files])


def _part(file: PartFile, index: int, count: int) -> Part:
    """What a part says of itself; raises InputError unless it is the part that its name says."""
    part = file.part
    if part is None or (part.index, part.count) != (index, count):
        actual = "no part" if part is None else part_name(part.index, part.count)
        raise InputError(f"{file.path}: expected {part_name(index, count)}, got {actual}")
    return part
