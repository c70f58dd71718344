"""What a test can ask of a picture."""

from __future__ import annotations

import numpy as np
from PIL import Image


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
