"""`msroi preview crops`: a contact sheet of crops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from msroi_cli.core.levels import box_sizes
from msroi_cli.errors import InputError, UsageError
from msroi_cli.io.crops.reader import Crops
from msroi_cli.io.crops.schema import STATUS_POOLED
from msroi_cli.io.pyramid.open import open_pyramid
from msroi_cli.job.crops import open_crops
from msroi_cli.job.join.choice import ranks
from msroi_cli.job.recipe import Recipe, level_name
from msroi_cli.preview.drawing.contact_sheet import Explanation, Tile, contact_sheet, cut_of
from msroi_cli.preview.drawing.legend import level_entries
from msroi_cli.preview.image import image_number, image_shown, on_picture, picture_of
from msroi_cli.preview.showing import ShownFeatures, check_show, components_per_level, shown_features

# Levels of crops are int8.
MOST_LEVELS = 128


@dataclass(frozen=True, slots=True)
class CropsRequest:
    """One `msroi preview crops`.

    show: "mean", "pca" or the number of a channel. count: how many crops at most, evenly spread over those there are.
    pyramid: for where the boxes are on the picture; the crops' boxes are in pixels of the input.
    components: whether "pca" is of "all" crops or of each "level"; None: of all. sort: a key of `ORDERS`, None: by row.
    min_score and top: of which boxes, as in `BoxChoice`.
    """

    crops: str
    image: str | None = None
    picture: Path | None = None
    pyramid: str | None = None
    show: str = "mean"
    count: int = 100
    components: str | None = None
    sort: str | None = None
    min_score: float | None = None
    top: int | None = None


def preview_crops(request: CropsRequest) -> Image.Image:
    """A contact sheet of crops of one image, or of all; raises InputError or UsageError."""
    if request.components is not None and request.show != "pca":
        raise UsageError(f"--components: expected with --show pca, got --show {request.show}")
    with open_crops(request.crops) as crops:
        there = _rows_to_show(crops, request)
        rows = there[np.unique(np.linspace(0, len(there) - 1, min(request.count, len(there))).astype(np.int64))]
        check_show(request.show, crops.shape[1])
        shown = _shown(np.ascontiguousarray(crops[rows]), crops.level[rows].astype(np.int64), crops, request)
        tiles = [
            Tile(heat, cut, int(crops.level[row]), _caption(crops, row))
            for heat, cut, row in zip(shown.pixels, _cuts(crops, rows, request), rows.tolist(), strict=True)
        ]
        sort = f", by {request.sort}" if request.sort else ""
        title = f"{crops.path.name}: {len(rows):,} of {len(there):,} crops{sort}"
        levels = level_entries(*_level_counts(crops, rows))
        return contact_sheet(
            tiles,
            Explanation(
                title,
                f"{shown.words}; below: image; box{'' if crops.score is None else ', score'}, level",
                shown.range,
                levels,
            ),
        )


def _shown(features: NDArray[Any], level: NDArray[np.int64], crops: Crops, request: CropsRequest) -> ShownFeatures:
    if request.components == "level":
        names = {index: level_name(crops.parameters, index) for index in np.unique(level).tolist()}
        return components_per_level(features, level, names)
    return shown_features(features, request.show)


def _level_counts(crops: Crops, rows: NDArray[np.int64]) -> tuple[list[int], list[str]]:
    """How many of `rows` each level has, and its name."""
    count = max(min(len(crops.stats), MOST_LEVELS), int(crops.level[rows].max()) + 1)
    counts = np.bincount(crops.level[rows], minlength=count)
    return counts.tolist(), [level_name(crops.parameters, index) for index in range(count)]


def _rows_to_show(crops: Crops, request: CropsRequest) -> NDArray[np.int64]:
    """The crops that are asked for, of those that were pooled, in their order."""
    if len(crops.shape) != 4:
        raise InputError(f"{crops.path}: expected crops (K, C, Ho, Wo) to show, got vectors {crops.shape}")
    rows = _chosen(crops, np.flatnonzero(crops.status == STATUS_POOLED), request)
    wanted = request.image
    if wanted is None and request.picture is not None:
        wanted = crops.image_ids[image_shown(crops.path, crops.image_ids, crops.image_index[rows], None)]
    if wanted is not None:
        rows = rows[crops.image_index[rows] == image_number(crops.image_ids, wanted)]
    if not len(rows):
        of = f" of image {wanted!r}" if wanted else ""
        raise InputError(f"{crops.path}: expected crops to show, got none{of}")
    if request.sort is None:
        return rows
    return rows[np.argsort(ORDERS[request.sort](crops, rows), kind="stable")]


def _chosen(crops: Crops, rows: NDArray[np.int64], request: CropsRequest) -> NDArray[np.int64]:
    """Those of `rows` with the scores that are asked for."""
    if request.min_score is not None:
        rows = rows[_scores(crops, "--min-score")[rows] >= request.min_score]
    if request.top is not None:
        rows = rows[ranks(_scores(crops, "--top")[rows], crops.image_index[rows]) < request.top]
    return rows


def _scores(crops: Crops, option: str) -> NDArray[np.float64]:
    if crops.score is None:
        raise UsageError(f"{option}: expected crops with a score, got none in {crops.path}")
    return np.asarray(crops.score, np.float64)


ORDERS: dict[str, Callable[[Crops, NDArray[np.int64]], NDArray[Any]]] = {
    "score": lambda crops, rows: -_scores(crops, "--sort score")[rows],
    "level": lambda crops, rows: crops.level[rows],
    "size": lambda crops, rows: -box_sizes(crops.boxes[rows]),
}
"""What crops are sorted by, smallest first: the highest score, the finest level or the largest box comes first."""


def _cuts(crops: Crops, rows: NDArray[np.int64], request: CropsRequest) -> list[Image.Image | None]:
    """What each crop's box has of the picture; None without one."""
    if request.picture is None:
        return [None] * len(rows)
    if request.pyramid is None:
        raise UsageError(
            "--picture: expected with --pyramid, for the size of the input that the boxes are in, got alone"
        )
    with open_pyramid(request.pyramid, Recipe.of(crops).level_choice()) as pyramid:
        name = crops.image_ids[int(crops.image_index[rows[0]])]
        if name not in pyramid.image_ids:
            raise InputError(f"{pyramid.location}: expected the image {name!r} of the crops, got none of that name")
        image = list(pyramid.image_ids).index(name)
        picture = picture_of(request.picture, pyramid, image)
        boxes = on_picture(crops.boxes[rows], pyramid, image, picture)
    return [cut_of(picture, box) for box in boxes.tolist()]


def _caption(crops: Crops, row: int) -> tuple[str, str]:
    """The image and the level; the row in the box file and the score."""
    image = int(crops.image_index[row])
    name = crops.image_ids[image] if image >= 0 else "unknown"
    score = "" if crops.score is None else f", {crops.score[row]:.2f}"
    box = f"box {crops.box_index[row]}{score}"
    return name, f"{box}, {level_name(crops.parameters, int(crops.level[row]))}"
