"""Whether a crops file is what it says: its columns, its checksums, and its crops against their pyramid."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.backends.dispatch import moments_of
from msroi_cli.core.reduce import REDUCTIONS
from msroi_cli.errors import InputError
from msroi_cli.io.crops.header import changed_columns
from msroi_cli.io.crops.reader import Crops
from msroi_cli.io.crops.schema import STATUS_POOLED, STATUS_UNKNOWN_IMAGE
from msroi_cli.io.files.checksum import row_checksums
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.io.pyramid.open import open_pyramid
from msroi_cli.job.crops import open_crops
from msroi_cli.job.extract.plan import Batch, Segment, make_plan
from msroi_cli.job.extract.pooling import Pooler, Pooling
from msroi_cli.job.join.assignment import Assignment
from msroi_cli.job.recipe import Recipe

BYTES_AT_ONCE = 16 << 20
BLOCK_BYTES = 24 << 20
SHOWN = 5  # problems of one kind

# Another instruction set rounds differently in the last bits; so far apart may two of them be, per largest value.
TOLERANCE = {"float16": 1e-3, "float32": 1e-5, "float64": 1e-12}


@dataclass(slots=True)
class Contents:
    """What a file has been found to be.

    nonfinite: the values that are not finite, by level, of pooled crops. columns_checked: whether what goes with the
    crops has checksums too, which files of earlier versions lack.
    """

    nonfinite: Counter[int] = field(default_factory=Counter)
    columns_checked: bool = True

    def add(self, rows: NDArray[Any], pooled: NDArray[np.bool_], level: NDArray[np.int8]) -> None:
        """Counts those of some rows (k, ...), which are `pooled` (k,) and of these levels (k,)."""
        counts = moments_of(rows).nonfinite
        for row in np.flatnonzero(pooled & (counts > 0)).tolist():
            self.nonfinite[int(level[row])] += int(counts[row])


def verify(
    path: Path,
    recompute: int = 0,
    against: str | None = None,
    seed: int | None = None,
    contents: Contents | None = None,
) -> Iterator[str]:
    """Yields what is wrong with a crops file, in words; nothing if it is good. Fills `contents` as the crops are read.

    recompute: how many rows to pool again, chosen at random, from the pyramid `against`, and to compare.
    Raises InputError for a file that is no crops file, or a pyramid that does not fit it.
    """
    crops = open_crops(path)
    found = Contents() if contents is None else contents
    yield from _changed(crops, found)
    problems = list(_columns(crops))
    yield from problems
    damaged = False
    for problem in _checksums(crops, found):
        damaged = True
        yield problem
    if not problems and not damaged:
        yield from _nonfinite(crops, found)
    if recompute and against is not None and not problems:
        yield from _recomputed(crops, recompute, against, seed)


def _changed(crops: Crops, contents: Contents) -> Iterator[str]:
    """Columns, statistics and attributes that differ from their checksums, where the file has such."""
    for path in crops.paths:
        problems = changed_columns(path)
        contents.columns_checked &= problems is not None
        name = "" if len(crops.paths) == 1 else f"{path.name}: "
        yield from (name + text for text in problems or ())


def _columns(crops: Crops) -> Iterator[str]:
    """Columns of the wrong length, and values that cannot be."""
    count, levels, images = len(crops), len(crops.stats), len(crops.image_ids)
    columns = {**crops.columns, "checksums": crops.checksums}
    expected = {"boxes": (count, 4), "checksums": (-(-count // crops.rows_per_block),)}
    whole = True
    for name, values in columns.items():
        shape = expected.get(name, (count,))
        if values.shape != shape:
            whole = False
            yield f"{name}: expected {shape}, got {values.shape}"
    if not whole:
        return
    pooled = crops.status == STATUS_POOLED
    by_image = crops.parameters.get("order") == "image"
    for name, good, what in (
        ("status", crops.status <= STATUS_UNKNOWN_IMAGE, f"{STATUS_POOLED} to {STATUS_UNKNOWN_IMAGE}"),
        ("image_index", (crops.image_index >= -1) & (crops.image_index < images), f"-1 to {images - 1}"),
        ("image_index", (crops.image_index >= 0) | ~pooled, "an image for every pooled box"),
        ("level", (crops.level >= -1) & (crops.level < levels), f"-1 to {levels - 1}"),
        ("level", (crops.level >= 0) == pooled, "a level for every pooled box, and for no other"),
        ("box_index", _numbered(crops), "a box of its own" if by_image else "ascending rows"),
    ):
        bad = np.flatnonzero(~good)
        if bad.size:
            yield f"{name}: row {bad[0]}: expected {what}, got {getattr(crops, name)[bad[0]]} ({bad.size} such rows)"
    boxes = [int((crops.level[pooled] == level).sum()) for level in range(levels)]
    if boxes != crops.stats["boxes"].tolist():
        yield f"stats: expected {boxes} boxes a level, got {crops.stats['boxes'].tolist()}"


def _numbered(crops: Crops) -> NDArray[np.bool_]:
    """Which rows have a box of their own, behind that of the row before where rows are in the order of the boxes."""
    if crops.parameters.get("order") != "image":
        ascending: NDArray[np.bool_] = np.diff(crops.box_index, prepend=-1) > 0
        return ascending
    _, first = np.unique(crops.box_index, return_index=True)
    good = np.zeros(len(crops), np.bool_)
    good[first] = True
    return good & (crops.box_index >= 0)


def _unreadable(crops: Crops, rows: range) -> Iterator[str]:
    """Those of some rows that cannot be read: where crops are compressed, the others can."""
    bad = []
    for row in rows:
        try:
            crops[row]
        except InputError:
            bad.append(row)
    for row in bad[:SHOWN]:
        yield f"crops: row {row}: expected a crop, got bytes that cannot be decoded"
    if len(bad) > SHOWN:
        yield f"crops: and {len(bad) - SHOWN} more rows that cannot be decoded"


def _nonfinite(crops: Crops, contents: Contents) -> Iterator[str]:
    """Numbers of values that are not finite, by level, that are not what the statistics of the crops say."""
    # Statistics are of crops, also where these were reduced to vectors.
    if "nonfinite" in (crops.stats.dtype.names or ()) and not crops.parameters.get("reduce"):
        counts = [contents.nonfinite[level] for level in range(len(crops.stats))]
        stated = crops.stats["nonfinite"].tolist()
        if counts != stated:
            yield f"stats: expected {counts} values a level that are not finite, got {stated}"


def _checksums(crops: Crops, contents: Contents) -> Iterator[str]:
    """Blocks of rows whose bytes are not those that were written."""
    block = crops.rows_per_block
    row_bytes = math.prod(crops.shape[1:]) * crops.dtype.itemsize
    step = max(1, BYTES_AT_ONCE // max(1, row_bytes * block)) * block
    bad = []
    for start in range(0, len(crops), step):
        try:
            rows = np.ascontiguousarray(crops[start : start + step])
        except InputError:
            yield from _unreadable(crops, range(start, min(start + step, len(crops))))
            continue
        parts = [rows] if block == 1 else np.split(rows, range(block, len(rows), block))
        contents.add(rows, crops.status[start : start + step] == STATUS_POOLED, crops.level[start : start + step])
        got = row_checksums(rows) if block == 1 else np.concatenate([row_checksums(part[None]) for part in parts])
        expected = crops.checksums[start // block : start // block + len(got)]
        bad += (start // block + np.flatnonzero(got[: len(expected)] != expected)).tolist()
    for number in bad[:SHOWN]:
        last = min((number + 1) * block, len(crops)) - 1
        rows_named = f"row {number}" if block == 1 else f"rows {number * block} to {last}"
        yield f"crops: {rows_named}: expected the checksum {crops.checksums[number]:08x}, got other bytes"
    if len(bad) > SHOWN:
        yield f"crops: and {len(bad) - SHOWN} more blocks with other bytes than their checksums say"


def _recomputed(crops: Crops, recompute: int, against: str, seed: int | None) -> Iterator[str]:
    """Rows that the pyramid `against` gives other crops for."""
    recipe = Recipe.of(crops)
    pooled = np.flatnonzero(crops.status == STATUS_POOLED)
    rows = np.sort(np.random.default_rng(seed).permutation(pooled)[:recompute])
    with open_pyramid(against, recipe.level_choice()) as pyramid:
        yield from _compared(crops, rows.tolist(), pyramid, recipe)


def _compared(crops: Crops, rows: list[int], pyramid: Pyramid, recipe: Recipe) -> Iterator[str]:
    known = {image: index for index, image in enumerate(pyramid.image_ids)}
    boxes = np.asarray(crops.boxes, np.float32)
    good = np.asarray(crops.status == STATUS_POOLED)
    images = np.array([known.get(image, -1) for image in crops.image_ids] + [-1], np.int64)[crops.image_index]
    assignment = Assignment.of(recipe.assign, pyramid)
    plan = make_plan(boxes, images, good, recipe.spec, drop=False)
    plan = replace(plan, level=assignment.of_boxes(plan.level))
    pooler = Pooler(pyramid, Pooling(plan, recipe.spec, assignment), 1, BLOCK_BYTES)
    for row in rows:
        if images[row] < 0:
            name = crops.image_ids[crops.image_index[row]]
            raise InputError(f"{pyramid.location}: expected the image {name!r} of the crops, got none of that name")
        if plan.level[row] != crops.level[row]:
            yield f"level: row {row}: expected {plan.level[row]}, got {crops.level[row]}"
            continue
        again: NDArray[Any] = np.empty((1, assignment.channels, *recipe.spec.output_size), crops.dtype)
        if again.shape[1 : len(crops.shape)] != crops.shape[1:]:
            raise InputError(f"{pyramid.location}: expected crops {crops.shape[1:]}, got {again.shape[1:]}")
        pooler.pool(Batch(0, (Segment(int(images[row]), np.array([row])),)), again)
        if recipe.reduce:
            again = REDUCTIONS[recipe.reduce](again)
        expected, got = again[0].astype(np.float64), crops[row].astype(np.float64)
        largest = np.abs(expected[np.isfinite(expected)]).max(initial=0)
        if not np.allclose(got, expected, rtol=0, atol=TOLERANCE[crops.dtype.name] * largest, equal_nan=True):
            yield f"crops: row {row}: expected what {pyramid.location} gives, got values {_apart(got, expected)} off"


def _apart(got: NDArray[np.float64], expected: NDArray[np.float64]) -> str:
    with np.errstate(invalid="ignore"):
        return f"{np.nanmax(np.abs(got - expected), initial=0):.3g}"
