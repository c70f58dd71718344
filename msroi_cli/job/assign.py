"""The level of every box of a file, without any features."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.boxes import BOX_FORMATS, REASONS
from msroi_cli.core.levels import box_sizes, levels_of
from msroi_cli.core.spec import PoolSpec
from msroi_cli.errors import UsageError
from msroi_cli.io.boxes.open import BoxFileOptions, read_boxes
from msroi_cli.io.boxes.table import BoxTable
from msroi_cli.io.pyramid.levels import LevelChoice
from msroi_cli.job.join.boxes import invalid_reasons, refuse_bad_boxes, sizes_or_nan
from msroi_cli.job.join.choice import Choosing, known_images
from msroi_cli.job.request import BoxChoice
from msroi_cli.job.summary import Sizes

LINES_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class AssignRequest:
    """One `msroi assign`.

    scale_factor: (x, y), input pixels per pixel of the boxes. on_bad_box: "error", "drop" or "null".
    """

    boxes: str
    levels: LevelChoice
    compat: str = "lucid"
    canonical_level: int | None = None
    canonical_scale: float | None = None
    box_format: str | None = None
    scale_factor: tuple[float, float] = (1.0, 1.0)
    on_bad_box: str = "error"
    file: BoxFileOptions = field(default_factory=BoxFileOptions)
    choice: BoxChoice = field(default_factory=BoxChoice)


@dataclass(frozen=True, slots=True)
class Assignment:
    """The level of each of K boxes.

    rows: (K,) int64 in `table`. boxes: (K, 4) float32, x1 y1 x2 y2, input pixels.
    sizes: (K,) float32, sqrt(w * h), NaN of bad boxes. level: (K,) int64, -1 of bad boxes.
    invalid_reason: (K,) uint8, as `invalid_reasons`.
    names and strides (y, x): of the levels. left_out: how many other boxes the file has, by why they are not used.
    """

    table: BoxTable
    rows: NDArray[np.int64]
    boxes: NDArray[np.float32]
    sizes: NDArray[np.float32]
    level: NDArray[np.int64]
    invalid_reason: NDArray[np.uint8]
    names: list[str]
    strides: list[tuple[float, float]]
    left_out: Mapping[str, int]

    def histogram(self) -> list[dict[str, Any]]:
        """For each level: its name and stride, its boxes, their share and their sizes, as plain JSON values."""
        good = max(1, int(np.count_nonzero(self.level >= 0)))
        found = []
        for level, (name, stride) in enumerate(zip(self.names, self.strides, strict=True)):
            sizes = self.sizes[self.level == level]
            numbers = Sizes.of(sizes)
            size = {"min": numbers.low, "median": numbers.median, "max": numbers.high}
            found.append(
                {
                    "level": level,
                    "name": name,
                    "stride": stride[0] if stride[0] == stride[1] else list(stride),
                    "boxes": len(sizes),
                    "share": len(sizes) / good,
                    "box_size": size if len(sizes) else dict.fromkeys(size),
                }
            )
        return found


def assign(request: AssignRequest) -> Assignment:
    """Reads the boxes and assigns their levels; raises InputError or UsageError."""
    spec, names = _spec(request)
    table, _ = read_boxes(request.boxes, request.file)
    if table.normalized and request.scale_factor == (1.0, 1.0):
        raise UsageError(
            f"--scale-factor: expected WxH, the size of the network's input, for fractions as in {request.boxes}"
        )
    table, left_out = _chosen(table, request)
    boxes, reason = _boxes(table, request)
    if request.on_bad_box == "error":
        refuse_bad_boxes(request.boxes, table, reason)
    rows = np.flatnonzero(reason == 0) if request.on_bad_box == "drop" else np.arange(len(boxes))
    boxes, reason = boxes[rows], reason[rows]
    good = reason == 0
    sizes, level = np.full(len(rows), np.nan, np.float32), np.full(len(rows), -1, np.int64)
    sizes[good], level[good] = box_sizes(boxes[good]), levels_of(boxes[good], spec)
    strides = [(1 / y, 1 / x) for y, x in spec.spatial_scales]
    return Assignment(table, rows, boxes, sizes, level, reason, names, strides, left_out)


def _boxes(table: BoxTable, request: AssignRequest) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """The boxes (K, 4) in input pixels, and why each cannot be pooled."""
    with np.errstate(over="ignore", invalid="ignore"):
        corners = BOX_FORMATS[request.box_format or table.box_format](table.boxes)
        boxes = (corners * np.tile(request.scale_factor, 2)).astype(np.float32)
    return boxes, invalid_reasons(boxes, np.zeros(len(boxes), np.int64))


def _chosen(table: BoxTable, request: AssignRequest) -> tuple[BoxTable, Mapping[str, int]]:
    """The boxes that are asked for; images are named as the box file names them."""
    choice = request.choice
    choosing = Choosing(table, choice)
    choosing.by_file()
    if choice.images is not None:
        used, position = np.unique(choosing.table.image, return_inverse=True)
        ids = choosing.table.image_ids
        names = [str(image) if ids is None else ids[image] for image in used.tolist()]
        wanted = known_images(choice.images, names, request.boxes, all_known=True)
        choosing.by_image(np.array([name in wanted for name in names], np.bool_)[position])
    if choice.min_size is not None:
        boxes, reason = _boxes(choosing.table, request)
        choosing.by_size(sizes_or_nan(boxes, reason))
    choosing.by_rank()
    return choosing.table, choosing.left_out


def _spec(request: AssignRequest) -> tuple[PoolSpec, list[str]]:
    choice = request.levels
    scales = choice.scales or (choice.strides and tuple((1 / y, 1 / x) for y, x in choice.strides))
    if not scales:
        raise UsageError("--strides: expected the strides of the levels, such as 4,8,16,32 (or --scales), got none")
    if choice.names is not None and len(choice.names) != len(scales):
        raise UsageError(f"--levels: expected {len(scales)} names, one a stride, got {len(choice.names)}")
    spec = PoolSpec.resolve(
        scales,
        1,
        compat=request.compat,
        canonical_level=request.canonical_level,
        canonical_scale=request.canonical_scale,
    )
    return spec, list(choice.names or map(str, range(len(scales))))


def _columns(assignment: Assignment, start: int, stop: int, quoted: bool) -> dict[str, list[str]]:
    """The rows from `start` to `stop` as columns of text; an empty text where there is no value."""
    table, part = assignment.table, slice(start, stop)
    rows = assignment.rows[part]
    image = table.image[rows].tolist()
    columns = {"box_index": [str(table.row(row)) for row in rows.tolist()]}
    if table.image_ids is None:
        columns["image_index"] = [str(index) for index in image]
    else:
        columns["image_id"] = [_text(table.image_ids[index], quoted) for index in image]
    if "annotation_id" in table.columns:
        columns["annotation_id"] = [str(value) for value in table.columns["annotation_id"][rows].tolist()]
    for name, values in zip(("x1", "y1", "x2", "y2"), assignment.boxes[part].T, strict=True):
        columns[name] = _numbers(values)
    columns["size"] = _numbers(assignment.sizes[part])
    levels = assignment.level[part].tolist()
    columns["level"] = ["" if level < 0 else str(level) for level in levels]
    columns["name"] = ["" if level < 0 else _text(assignment.names[level], quoted) for level in levels]
    if assignment.invalid_reason.any():
        reasons = ["", *(_text(reason, quoted) for reason in REASONS)]
        columns["invalid_reason"] = [reasons[code] for code in assignment.invalid_reason[part].tolist()]
    return columns


def _text(value: str, quoted: bool) -> str:
    return json.dumps(value) if quoted else "".join(map(_escaped, value))


def _escaped(character: str) -> str:
    """A character of a field between tabs: what ends a field or a line, and the backslash, as Python writes them.

    Source: the escapes of tab-separated text of PostgreSQL's COPY and the "linear TSV" convention.
    """
    if character == "\\" or not character.isprintable():
        return character.encode("unicode_escape").decode()
    return character


def _numbers(values: NDArray[np.float32]) -> list[str]:
    """The shortest digits that tell a float32 from its neighbours; nothing for what JSON has no number for."""
    texts = values.astype(str)
    texts[~np.isfinite(values)] = ""
    numbers: list[str] = texts.tolist()
    return numbers


def _rows(assignment: Assignment, quoted: bool) -> Iterator[tuple[list[str], list[tuple[str, ...]]]]:
    """The names of the columns and the rows, some at a time; at least once, for files without boxes."""
    for start in range(0, max(1, len(assignment.rows)), LINES_AT_ONCE):
        columns = _columns(assignment, start, start + LINES_AT_ONCE, quoted)
        yield list(columns), list(zip(*columns.values(), strict=True))


def _objects(assignment: Assignment) -> Iterator[list[str]]:
    for names, rows in _rows(assignment, quoted=True):
        form = "{" + ", ".join(f'"{name}": %s' for name in names) + "}"
        yield [form % tuple(value or "null" for value in row) for row in rows]


def _jsonl(assignment: Assignment) -> Iterator[str]:
    for objects in _objects(assignment):
        yield "".join(line + "\n" for line in objects)


def _tsv(assignment: Assignment) -> Iterator[str]:
    for index, (names, rows) in enumerate(_rows(assignment, quoted=False)):
        yield "".join("\t".join(row) + "\n" for row in ([names] if index == 0 else []) + [list(row) for row in rows])


def _json(assignment: Assignment) -> Iterator[str]:
    yield f'{{"levels": {json.dumps(assignment.histogram())},\n"boxes": ['
    separator = "\n"
    for objects in _objects(assignment):
        if objects:
            yield separator + ",\n".join(objects)
            separator = ",\n"
    yield "\n]}\n"


FORMATS: dict[str, Callable[[Assignment], Iterator[str]]] = {"jsonl": _jsonl, "tsv": _tsv, "json": _json}
"""How an assignment is written, as pieces of text: JSON Lines, tab-separated columns, or one JSON document."""
