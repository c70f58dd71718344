"""What a test can ask of a picture."""

from __future__ import annotations

import numpy as np
from PIL import Image

# How pixels are stored of which EXIF's orientation says that they are to be turned, by orientation.
ORIENTATIONS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def save_turned(picture, path, orientation):
    """Saves a picture, without loss but for JPEG, that is upright when it is turned as its EXIF says."""
    method = ORIENTATIONS[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = picture if method is None else picture.transpose(method)
    stored.save(path, exif=exif, **({"lossless": True} if path.suffix == ".webp" else {}))


def opened(path):
    """The picture as (H, W, 3) uint8; it is a PNG, and whole."""
    with Image.open(path) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")
        return np.array(picture)


def has_colour(pixels, colour):
    """How many pixels have exactly this colour."""
    return int((pixels == np.array(colour, np.uint8)).all(axis=-1).sum())


def margin(pixels):
    """The width of the plain border: nothing that was drawn is cut off if it is above 0."""
    marked = (pixels != pixels[0, 0]).any(axis=-1)
    rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
    if not len(rows):
        return min(marked.shape)
    return int(min(rows[0], columns[0], marked.shape[0] - 1 - rows[-1], marked.shape[1] - 1 - columns[-1]))
