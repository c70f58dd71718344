"""The sizes of the boxes in a file: of a crops file by level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.boxes import BOX_FORMATS
from msroi_cli.core.levels import box_sizes, level_bounds
from msroi_cli.errors import UsageError
from msroi_cli.io.boxes.content import is_stream
from msroi_cli.io.boxes.open import read_boxes
from msroi_cli.io.crops.schema import STATUS_POOLED
from msroi_cli.io.files.location import Location
from msroi_cli.job.crops import open_crops
from msroi_cli.job.join.boxes import invalid_reasons
from msroi_cli.job.recipe import Recipe

# What can be drawn, by the kind that `inspect` names.
KINDS = ("crops", "boxes")


@dataclass(frozen=True, slots=True)
class BoxSizes:
    """The sizes sqrt(w * h) of P boxes that can be pooled.

    sizes: (P,) float32, in `unit`. level: (P,) int64, indices into `names`. bounds: the smallest size of each level but
    the first, none where there are no levels or the level does not depend on the size.
    """

    sizes: NDArray[np.float32]
    level: NDArray[np.int64]
    names: tuple[str, ...]
    bounds: NDArray[np.float32]
    unit: str


def check_file(name: str) -> None:
    """Raises UsageError for what can be read only once: it is described first."""
    if name == "-" or is_stream(Location.parse(name)):
        raise UsageError(f"--plot: expected a regular file, which can be read twice, got {name}")


def sizes_of(name: str, kind: str) -> BoxSizes:
    """The sizes of the boxes in a file of a kind as `inspect` names it; raises InputError or UsageError."""
    if kind not in KINDS:
        raise UsageError(f"--plot: expected a file of crops or boxes, got a {kind}: {name}")
    return _of_crops(name) if kind == "crops" else _of_boxes(name)


def _of_crops(name: str) -> BoxSizes:
    with open_crops(name) as crops:
        recipe = Recipe.of(crops)
        pooled = (crops.status == STATUS_POOLED) & (crops.level >= 0) & (crops.level < len(recipe.levels))
        bounds = level_bounds(recipe.spec) if recipe.assign == "canonical" else np.empty(0, np.float32)
        sizes, level = box_sizes(crops.boxes[pooled]), crops.level[pooled].astype(np.int64)
        return BoxSizes(sizes, level, recipe.levels, bounds, "input pixels")


def _of_boxes(name: str) -> BoxSizes:
    table, _ = read_boxes(name)
    with np.errstate(over="ignore", invalid="ignore"):
        boxes = BOX_FORMATS[table.box_format](table.boxes).astype(np.float32)
    sizes = box_sizes(boxes[invalid_reasons(boxes, np.zeros(len(boxes), np.int64)) == 0])
    unit = "shares of the image" if table.normalized else "pixels of the file"
    return BoxSizes(sizes, np.zeros(len(sizes), np.int64), ("boxes",), np.empty(0, np.float32), unit)
