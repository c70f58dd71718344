"""`msroi preview boxes`: the boxes of one image over its picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from msroi_cli.core.levels import levels_of
from msroi_cli.core.spec import PoolSpec
from msroi_cli.errors import UsageError
from msroi_cli.io.boxes.open import read_boxes
from msroi_cli.io.boxes.table import BoxTable
from msroi_cli.io.features.reading import read_map
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.io.pyramid.levels import LevelChoice
from msroi_cli.io.pyramid.open import open_pyramid
from msroi_cli.job.join.boxes import chosen_boxes, invalid_reasons
from msroi_cli.job.join.images import images_of
from msroi_cli.job.join.input_pixels import to_input_pixels
from msroi_cli.job.request import BoxOptions, PoolOptions
from msroi_cli.preview.drawing.boxes_picture import DrawnBoxes, boxes_picture
from msroi_cli.preview.drawing.heat import coloured, mean_of, range_of
from msroi_cli.preview.image import image_shown, on_picture, picture_of


@dataclass(frozen=True, slots=True)
class BoxesRequest:
    """One `msroi preview boxes`.

    image: an id of the pyramid, None for the first one with boxes. label: keys of `LABELS`, what stands at each box.
    """

    pyramid: str
    boxes: str
    image: str | None = None
    picture: Path | None = None
    label: Sequence[str] = ()
    pool: PoolOptions = field(default_factory=PoolOptions)
    box: BoxOptions = field(default_factory=BoxOptions)
    levels: LevelChoice = field(default_factory=LevelChoice)


@dataclass(frozen=True, slots=True)
class _Labelled:
    """The boxes that labels are of: their level (K,), -1 of invalid ones, and the names of the levels."""

    table: BoxTable
    level: NDArray[np.int64]
    names: Sequence[str]


def preview_boxes(request: BoxesRequest) -> Image.Image:
    """The boxes of an image over its picture, or over the mean of its finest level; raises InputError or UsageError."""
    with open_pyramid(request.pyramid, request.levels) as pyramid:
        table, _ = read_boxes(request.boxes, request.box.file)
        table, _ = chosen_boxes(table, pyramid, request.box)
        images = images_of(table, pyramid, request.box.image_key)
        boxes = to_input_pixels(table, images, pyramid, request.box)
        image = image_shown(pyramid.location, pyramid.image_ids, images, request.image)
        mine = np.flatnonzero(images == image)
        boxes, good = boxes[mine], invalid_reasons(boxes[mine], images[mine]) == 0
        level = np.full(len(boxes), -1, np.int64)
        level[good] = levels_of(boxes[good], _spec(pyramid, request.pool))
        names = [one.name for one in pyramid.levels]
        picture = None if request.picture is None else picture_of(request.picture, pyramid, image)
        labels, order = _labels(request.label, _Labelled(table.take(mine), level, names))
        title = f"{pyramid.image_ids[image]}: {len(boxes):,} box{'' if len(boxes) == 1 else 'es'}{_chosen_by(request)}"
        drawn = DrawnBoxes(on_picture(boxes, pyramid, image, picture), level, names, title, labels, order)
        if picture is None:
            return boxes_picture(_finest(pyramid, image), drawn, Image.Resampling.NEAREST)
        return boxes_picture(picture, drawn, Image.Resampling.BICUBIC)


def _finest(pyramid: Pyramid, image: int) -> Image.Image:
    """The mean of the channels of the finest level as a picture, one pixel a cell."""
    values = mean_of(read_map(pyramid.source(image, 0)), 0)
    return Image.fromarray(coloured(values, *range_of(values)))


def _chosen_by(request: BoxesRequest) -> str:
    """What the boxes were chosen by, in words."""
    chosen = request.box.choice.as_dict()
    shown = [f"{name.replace('_', ' ')} {value}" for name, value in chosen.items() if name != "images"]
    return f" ({', '.join(shown)})" if shown else ""


def _spec(pyramid: Pyramid, pool: PoolOptions) -> PoolSpec:
    return PoolSpec.resolve(
        [level.scale for level in pyramid.levels],
        1,
        compat=pool.compat,
        canonical_level=pool.canonical_level,
        canonical_scale=pool.canonical_scale,
    )


def _labels(label: Sequence[str], boxes: _Labelled) -> tuple[list[str] | None, NDArray[np.int64]]:
    """The label of each box, and the boxes in the order in which labels get room: the highest scores first."""
    score = boxes.table.columns.get("score")
    order = np.arange(len(boxes.level)) if score is None else np.argsort(-score, kind="stable")
    if not label:
        return None, order
    parts = [LABELS[name](boxes) for name in label]
    return [" ".join(texts) for texts in zip(*parts, strict=True)], order


def _ids(boxes: _Labelled) -> list[str]:
    ids = boxes.table.columns.get("annotation_id")
    return [str(boxes.table.row(row) if ids is None else ids[row]) for row in range(len(boxes.level))]


def _scores(boxes: _Labelled) -> list[str]:
    return [f"{score:.2f}" for score in _column(boxes.table, "score", "score").tolist()]


def _categories(boxes: _Labelled) -> list[str]:
    names = boxes.table.category_names
    return [names.get(key, str(key)) for key in _column(boxes.table, "category_id", "category").tolist()]


def _levels(boxes: _Labelled) -> list[str]:
    return [boxes.names[level] if level >= 0 else "not pooled" for level in boxes.level.tolist()]


def _column(table: BoxTable, name: str, label: str) -> NDArray[np.float64] | NDArray[np.int64]:
    values: NDArray[np.float64] | NDArray[np.int64] | None = table.columns.get(name)
    if values is None and len(table.boxes):
        raise UsageError(f"--label {label}: expected boxes with {name}, got none in {table.kind}")
    return np.empty(0) if values is None else values


LABELS: dict[str, Callable[[_Labelled], list[str]]] = {
    "id": _ids,
    "score": _scores,
    "category": _categories,
    "level": _levels,
}
"""What can stand at a box: the id of its annotation, or its row in the file; its score; its category; its level."""
