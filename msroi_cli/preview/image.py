"""Which image is shown, and how boxes lie on its picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from msroi_cli.errors import InputError, UsageError
from msroi_cli.io.files.picture import read_picture
from msroi_cli.io.pyramid.base import Pyramid


def image_shown(where: object, ids: Sequence[str], images: NDArray[np.int64], wanted: str | None) -> int:
    """The number of the image that is asked for, or of the first that has boxes; raises InputError or UsageError."""
    known = images[images >= 0]
    if wanted is None and not len(known):
        raise InputError(f"{where}: expected boxes of its images, got none")
    return int(known[0]) if wanted is None else image_number(ids, wanted)


def image_number(ids: Sequence[str], wanted: str) -> int:
    """The number of the image that is asked for; raises UsageError."""
    names = list(ids)
    if wanted not in names:
        raise UsageError(
            f"--image: expected one of {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}, got {wanted!r}"
        )
    return names.index(wanted)


def picture_of(path: Path, pyramid: Pyramid, image: int) -> Image.Image:
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


def on_picture(
    boxes: NDArray[np.floating], pyramid: Pyramid, image: int, picture: Image.Image | None
) -> NDArray[np.float64]:
    """Boxes (K, 4) in input pixels as fractions of the picture's sides, or without a picture of the input's.

    A picture is the original image: where its size in input pixels is known it is less than the padded input.
    """
    whole, offset = np.tile(pyramid.input_size(image), 2), (0.0, 0.0)
    if picture is not None:
        factor, original = pyramid.scale_factor(image), pyramid.image_size(image) or picture.size
        if factor is not None:
            whole, offset = np.tile(np.multiply(factor, original), 2), pyramid.offset(image)
    placed: NDArray[np.float64] = (np.asarray(boxes, np.float64) - np.tile(offset, 2)) / whole
    return placed
