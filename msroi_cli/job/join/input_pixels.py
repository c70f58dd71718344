"""Where boxes lie in input pixels: what their numbers mean, and what they are multiplied by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.arrays import slices
from msroi_cli.core.boxes import BOX_FORMATS
from msroi_cli.errors import InputError, UsageError
from msroi_cli.io.boxes.table import BoxTable
from msroi_cli.io.memory import owner, release
from msroi_cli.io.numbers import Indices
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.job.join.images import used_images
from msroi_cli.job.request import BoxOptions


class InputBoxes:
    """The K boxes of a table as x1 y1 x2 y2 in input pixels, worked out where they are asked for.

    Computed in float64 and rounded once to float32. Raises InputError or UsageError for options that do not fit.
    """

    def __init__(self, table: BoxTable, images: Indices, pyramid: Pyramid, options: BoxOptions) -> None:
        self._boxes = table.boxes
        self._images = images
        self._format = options.box_format or table.box_format
        self._scaling = _scaling(table, images, pyramid, options)
        self._made: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self._boxes)

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        """The boxes `rows`, (k, 4)."""
        if self._made is None and self._as_they_are:
            self._made = np.asarray(self._boxes, np.float32)
        if self._made is None and self._boxes.dtype == np.float32:
            # They cannot take the place of the file's numbers: once, in place of each time that they are looked at.
            self._made = self._filled(np.empty((len(self), 4), np.float32))
        return self._worked_out(rows) if self._made is None else self._made[rows]

    def _worked_out(self, rows: slice) -> NDArray[np.float32]:
        """The boxes `rows`, which are computed."""
        boxes = BOX_FORMATS[self._format](self._boxes[rows])
        if self._scaling is not None:
            factors, offsets = self._scaling
            # Boxes of no image have the last row: they stay as they are.
            place = np.maximum(self._images[rows], -1)
            boxes = boxes * factors.take(place, axis=0, mode="wrap")
            if offsets is not None:
                boxes += offsets if isinstance(offsets, float) else offsets.take(place, axis=0, mode="wrap")
        with np.errstate(over="ignore"):
            return boxes.astype(np.float32)

    def all(self) -> NDArray[np.float32]:
        """All boxes, (K, 4)."""
        if self._as_they_are:
            return np.ascontiguousarray(self._boxes, np.float32)
        return self._filled(np.empty((len(self), 4), np.float32)) if self._made is None else self._made

    def in_place(self) -> NDArray[np.float32]:
        """All boxes, (K, 4), where the numbers of the table were, which are no longer there."""
        own = owner(self._boxes)
        if self._as_they_are or own is None or own.dtype != np.float64:
            return self.all()
        # Numbers of half the size never reach those of later rows.
        found = self._filled(own.reshape(-1).view(np.float32)[: 4 * len(self)].reshape(-1, 4))
        release(own, found.nbytes)
        return found

    @property
    def _as_they_are(self) -> bool:
        return self._scaling is None and self._format == "xyxy" and self._boxes.dtype == np.float32

    def _filled(self, found: NDArray[np.float32]) -> NDArray[np.float32]:
        for rows in slices(len(self)):
            found[rows] = self._worked_out(rows)
        return found


def to_input_pixels(table: BoxTable, images: Indices, pyramid: Pyramid, options: BoxOptions) -> NDArray[np.float32]:
    """The boxes (K, 4) as x1 y1 x2 y2 in input pixels: computed in float64 and rounded once to float32."""
    return InputBoxes(table, images, pyramid, options).all()


def _scaling(
    table: BoxTable, images: NDArray[np.int64], pyramid: Pyramid, options: BoxOptions
) -> tuple[NDArray[np.float64], NDArray[np.float64] | float | None] | None:
    """What x1 y1 x2 y2 of the boxes of each image are multiplied by, and what is then added, (N + 1, 4) each.

    The last row is that of no image. One number is added to all. None where nothing is to be done.
    """
    space, count = box_space(pyramid, options), len(pyramid.image_ids)
    normalized = options.normalized or table.normalized
    if space != "original" and not normalized:
        return None
    used = used_images(images, count)
    # What -0 is added to stays as it is, also where it is -0.
    factors, offsets = np.ones((count + 1, 4)), np.full((count + 1, 4), -0.0)
    if normalized:
        own = _images_in_table(table, images, count)
        for image in used.tolist():
            factors[image] = 2 * _side(pyramid, table, image, int(own[image]), space)
    if space != "original":
        return factors, None
    stated, moved = pyramid.factors_of(used)
    lacking = used[np.isnan(stated).any(axis=1)]
    if lacking.size:
        name = pyramid.image_ids[int(lacking[0])]
        raise InputError(f"{pyramid.location.at(name)}: expected a scale_factor as on other images, got none")
    factors[used] *= np.tile(stated, 2)
    if not (moved.any() or np.signbit(moved).any()) and images.min(initial=0) >= 0:
        return factors, 0.0
    offsets[used] = np.tile(moved, 2)
    return factors, offsets


def _images_in_table(table: BoxTable, images: Indices, count: int) -> NDArray[np.int64]:
    """The number that the table gives each of `count` images, of several boxes of an image the first one's; (N,)."""
    own = np.zeros(count, np.int64)
    for rows in reversed(list(slices(len(images)))):
        known = images[rows] >= 0
        own[images[rows][known][::-1]] = table.image[rows][known][::-1]
    return own


def box_space(pyramid: Pyramid, options: BoxOptions) -> str:
    """ "original" or "input": the option's, which is required if the pyramid has scale factors."""
    chosen = options.box_space or pyramid.box_space
    pyramid.factors_matter = chosen is None or chosen == "original"
    if chosen is None and pyramid.has_scale_factors:
        raise UsageError(
            f"{pyramid.location}: the pyramid has scale factors: expected --box-space original (boxes in pixels of the "
            "original images) or --box-space input (pixels of the network's input)"
        )
    if chosen is None and pyramid.has_offsets:
        raise InputError(
            f"{pyramid.location}: expected scale factors with offsets, got none (--box-space input takes boxes in "
            "pixels of the network's input)"
        )
    if chosen == "original" and not pyramid.has_scale_factors:
        raise UsageError(f"--box-space original: expected scale factors in {pyramid.location}, got none")
    return chosen or "input"


def _side(pyramid: Pyramid, table: BoxTable, image: int, table_image: int, space: str) -> tuple[float, float]:
    """The width and height that boxes of an image are fractions of."""
    if space == "input":
        return pyramid.input_size(image)
    name = pyramid.image_ids[image]
    key = table.image_ids[table_image] if table.image_ids is not None else name
    size = pyramid.image_size(image) or table.image_sizes.get(key)
    if size is None:
        raise InputError(
            f"{pyramid.location.at(name)}: --normalized --box-space original: expected the size of the original image "
            "(image_size, or width and height in a COCO data set), got none"
        )
    return size
