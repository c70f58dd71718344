"""The two previews: which boxes or crops of an image are shown, and where their picture comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from msroi_cli.core.levels import levels_of
from msroi_cli.core.spec import PoolSpec
from msroi_cli.errors import InputError, UsageError
from msroi_cli.io.boxes.open import read_boxes
from msroi_cli.io.crops.reader import Crops
from msroi_cli.io.crops.schema import STATUS_POOLED
from msroi_cli.io.features.reading import read_map
from msroi_cli.io.files.picture import read_picture
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.io.pyramid.levels import LevelChoice
from msroi_cli.io.pyramid.open import open_pyramid
from msroi_cli.job.crops import open_crops
from msroi_cli.job.join.boxes import chosen_boxes, invalid_reasons, to_input_pixels
from msroi_cli.job.join.images import images_of
from msroi_cli.job.recipe import Recipe, level_name
from msroi_cli.job.request import BoxOptions, PoolOptions
from msroi_cli.preview.boxes_picture import boxes_picture, heat_picture
from msroi_cli.preview.contact_sheet import Tile, contact_sheet, cut_of
from msroi_cli.preview.heat import renderer


@dataclass(frozen=True, slots=True)
class BoxesRequest:
    """One `msroi preview boxes`. image: an id of the pyramid, None for the first one with boxes."""

    pyramid: str
    boxes: str
    image: str | None = None
    picture: Path | None = None
    pool: PoolOptions = field(default_factory=PoolOptions)
    box: BoxOptions = field(default_factory=BoxOptions)
    levels: LevelChoice = field(default_factory=LevelChoice)


def preview_boxes(request: BoxesRequest) -> Image.Image:
    """The boxes of an image over its picture, or over the mean of its finest level; raises InputError or UsageError."""
    with open_pyramid(request.pyramid, request.levels) as pyramid:
        table, _ = read_boxes(request.boxes, request.box.file)
        table, _ = chosen_boxes(table, pyramid, request.box)
        images = images_of(table, pyramid, request.box.image_key)
        boxes = to_input_pixels(table, images, pyramid, request.box)
        image = _image_shown(pyramid.location, pyramid.image_ids, images, request.image)
        mine = images == image
        boxes, good = boxes[mine], invalid_reasons(boxes[mine], images[mine]) == 0
        level = np.full(len(boxes), -1, np.int64)
        level[good] = levels_of(boxes[good], _spec(pyramid, request.pool))
        finest = pyramid.source(image, 0)
        picture = None if request.picture is None else _picture_of(request.picture, pyramid, image)
        ground = heat_picture(read_map(finest)) if picture is None else picture
        size = np.tile(pyramid.input_size(image), 2)
        names = [one.name for one in pyramid.levels]
        title = f"{pyramid.image_ids[image]}: {len(boxes):,} box{'' if len(boxes) == 1 else 'es'}"
        return boxes_picture(ground, _on_picture(boxes, size, pyramid, image, picture), level, names, title)


def _picture_of(path: Path, pyramid: Pyramid, image: int) -> Image.Image:
    """The picture of an image; raises InputError for one of another size than the pyramid states of the image.

    Without an image size, one that is by the scale factor more than the finest level spans.
    """
    picture = read_picture(path)
    factor, original = pyramid.scale_factor(image), pyramid.image_size(image)
    if original is not None:
        expected, good = _size(original), max(np.abs(np.subtract(original, picture.size))) < 1
    elif factor is not None:
        room = np.add(pyramid.input_size(image), np.divide(1, pyramid.levels[0].scale[::-1])) - pyramid.offset(image)
        expected, good = f"at most {_size(room / factor)}", bool((np.multiply(picture.size, factor) < room).all())
    else:
        return picture
    if not good:
        name = pyramid.image_ids[image]
        raise InputError(
            f"{path}: expected the picture of image {name!r}, {expected} pixels, got {_size(picture.size)}"
        )
    return picture


def _size(pair: Sequence[float] | NDArray[np.float64]) -> str:
    width, height = pair
    return f"{width:g} x {height:g}"


def _on_picture(
    boxes: NDArray[np.float32], size: NDArray[np.float64], pyramid: Pyramid, image: int, picture: Image.Image | None
) -> NDArray[np.float64]:
    """Boxes as fractions of the picture's sides.

    A picture is the original image: where its size in input pixels is known it is less than the padded input.
    """
    whole, offset = size, (0.0, 0.0)
    if picture is not None:
        factor, original = pyramid.scale_factor(image), pyramid.image_size(image) or picture.size
        if factor is not None:
            whole, offset = np.tile(np.multiply(factor, original), 2), pyramid.offset(image)
    placed: NDArray[np.float64] = (np.asarray(boxes, np.float64) - np.tile(offset, 2)) / whole
    return placed


def _spec(pyramid: Pyramid, pool: PoolOptions) -> PoolSpec:
    return PoolSpec.resolve(
        [level.scale for level in pyramid.levels],
        1,
        compat=pool.compat,
        canonical_level=pool.canonical_level,
        canonical_scale=pool.canonical_scale,
    )


def _image_shown(where: object, ids: Sequence[str], images: NDArray[np.int64], wanted: str | None) -> int:
    """The number of the image that is asked for, or of the first that has boxes."""
    names = list(ids)
    if wanted is not None:
        if wanted not in names:
            raise UsageError(
                f"--image: expected one of {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}, got {wanted!r}"
            )
        return names.index(wanted)
    known = images[images >= 0]
    if not len(known):
        raise InputError(f"{where}: expected boxes of its images, got none")
    return int(known[0])


@dataclass(frozen=True, slots=True)
class CropsRequest:
    """One `msroi preview crops`.

    show: "mean", "pca" or the number of a channel. count: how many crops at most, evenly spread over those there are.
    pyramid: for where the boxes are on the picture; the crops' boxes are in pixels of the input.
    """

    crops: str
    image: str | None = None
    picture: Path | None = None
    pyramid: str | None = None
    show: str = "mean"
    count: int = 100


def preview_crops(request: CropsRequest) -> Image.Image:
    """A contact sheet of crops of one image, or of all; raises InputError or UsageError."""
    with open_crops(request.crops) as crops:
        there = _rows_to_show(crops, request)
        rows = there[np.unique(np.linspace(0, len(there) - 1, min(request.count, len(there))).astype(np.int64))]
        shown = np.ascontiguousarray(crops[rows])
        if request.show not in ("mean", "pca") and not 0 <= int(request.show) < shown.shape[1]:
            raise UsageError(
                f"--show: expected mean, pca or a channel from 0 to {shown.shape[1] - 1}, got {request.show}"
            )
        heats = renderer(request.show)(shown)
        cuts = _cuts(crops, rows, request)
        tiles = [
            Tile(heat, cut, int(crops.level[row]), _caption(crops, int(row)))
            for heat, cut, row in zip(heats, cuts, rows.tolist(), strict=True)
        ]
        what = {"mean": "mean of the channels", "pca": "first three principal components"}
        shown_as = what.get(request.show, f"channel {request.show}")
        return contact_sheet(tiles, f"{crops.path.name}: {len(rows):,} of {len(there):,} crops, {shown_as}")


def _rows_to_show(crops: Crops, request: CropsRequest) -> NDArray[np.int64]:
    """The crops of the image that is asked for, or all, that were pooled."""
    if len(crops.shape) != 4:
        raise InputError(f"{crops.path}: expected crops (K, C, Ho, Wo) to show, got vectors {crops.shape}")
    rows = np.flatnonzero(crops.status == STATUS_POOLED)
    wanted = request.image
    if wanted is None and request.picture is not None:
        wanted = crops.image_ids[_image_shown(crops.path, crops.image_ids, crops.image_index[rows], None)]
    if wanted is not None:
        image = _image_shown(crops.path, crops.image_ids, crops.image_index, wanted)
        rows = rows[crops.image_index[rows] == image]
    if not len(rows):
        raise InputError(
            f"{crops.path}: expected crops to show, got none" + (f" of image {wanted!r}" if wanted else "")
        )
    return rows


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
        size = np.tile(pyramid.input_size(image), 2)
        picture = _picture_of(request.picture, pyramid, image)
        boxes = _on_picture(crops.boxes[rows], size, pyramid, image, picture)
    return [cut_of(picture, box) for box in boxes.tolist()]


def _caption(crops: Crops, row: int) -> str:
    return f"{row}  {level_name(crops.parameters, int(crops.level[row]))}"
