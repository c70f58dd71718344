"""Awkward arrays and awkward boxes: one corpus that everything that pools is tested on."""

from __future__ import annotations

import numpy as np

STRIDE = 4
SCALE = 1 / STRIDE
HEIGHT, WIDTH = 9, 13


def random(*shape, dtype="float32", seed=0):
    """Normal numbers, the same on every call."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def spoilt():
    """A map with NaN and infinities in some cells and channels, none in others."""
    array = random(2, 3, HEIGHT, WIDTH)
    array[:, 0, 4, 6] = np.nan
    array[:, 1, 0, 0] = np.inf
    array[:, 1, HEIGHT - 1, WIDTH - 1] = -np.inf
    array[:, 1, 2, :] = np.nan
    return array


def read_only():
    """A map that may not be written to."""
    array = random(2, 3, HEIGHT, WIDTH)
    array.flags.writeable = False
    return array


# Each (2, C, H, W), at a stride of STRIDE input pixels.
MAPS = {
    "plain": random(2, 3, HEIGHT, WIDTH),
    "one cell": random(2, 3, 1, 1),
    "one row": random(2, 3, 1, WIDTH),
    "one column": random(2, 3, HEIGHT, 1),
    "no channels": random(2, 0, HEIGHT, WIDTH),
    "1 channel": random(2, 1, HEIGHT, WIDTH),
    "17 channels": random(2, 17, HEIGHT, WIDTH),
    "every other cell": random(2, 6, 2 * HEIGHT, 2 * WIDTH)[:, ::2, ::2, ::2],
    "negative strides": random(2, 3, HEIGHT, WIDTH)[::-1, ::-1, ::-1, ::-1],
    "channels last": random(2, HEIGHT, WIDTH, 3).transpose(0, 3, 1, 2),
    "transposed": random(2, 3, WIDTH, HEIGHT).transpose(0, 1, 3, 2),
    "broadcast": np.broadcast_to(random(1, 1, HEIGHT, WIDTH), (2, 3, HEIGHT, WIDTH)),
    "unaligned": np.frombuffer(b"\0" + random(2, 3, HEIGHT, WIDTH).tobytes(), "f4", offset=1).reshape(2, 3, HEIGHT, -1),
    "read only": read_only(),
    "byte-swapped": random(2, 3, HEIGHT, WIDTH).astype(">f4"),
    "byte-swapped float16": random(2, 3, HEIGHT, WIDTH).astype(">f2"),
    "byte-swapped float64": random(2, 3, HEIGHT, WIDTH).astype(">f8"),
    "float16": random(2, 3, HEIGHT, WIDTH, dtype="float16"),
    "float64": random(2, 3, HEIGHT, WIDTH, dtype="float64"),
    "spoilt": spoilt(),
    "spoilt float16": spoilt().astype("float16"),
    "spoilt float64": spoilt().astype("float64"),
    "huge numbers": random(2, 3, HEIGHT, WIDTH) * np.float32(2.0**125),
    "denormal numbers": random(2, 3, HEIGHT, WIDTH) * np.float32(2.0**-140),
}


def boxes(height=HEIGHT, width=WIDTH):
    """Awkward boxes (x1, y1, x2, y2), in input pixels, for a map of `height` x `width` cells."""
    bottom, right = height * STRIDE, width * STRIDE
    return {
        "inside": (5.3, 7.1, 33.7, 29.9),
        "whole image": (0, 0, right, bottom),
        "up to the last pixel": (0, 0, right - 1, bottom - 1),
        "left of the map": (-50, 4, -20, 20),
        "below the map": (4, bottom + 9, 20, bottom + 30),
        "just off the map": (-30, -30, -4.001, -4.001),
        "up to one cell off the map": (-30, -30, -4, -4),
        "from the end of the map": (right, bottom, right + 30, bottom + 30),
        "partly outside, top left": (-11, -13, 9.5, 7.5),
        "partly outside, bottom right": (right - 10, bottom - 7, right + 12, bottom + 13),
        "around the map": (-9, -9, right + 9, bottom + 9),
        "a point": (10, 10, 10, 10),
        "a point on a cell": (16, 16, 16, 16),
        "a point at the corner": (right, bottom, right, bottom),
        "a point far away": (1e6, 1e6, 1e6, 1e6),
        "no width": (9, 3, 9, 31),
        "no height": (3, 9, 31, 9),
        "sub-pixel": (10.2, 10.3, 10.6, 10.5),
        "denormal size": (0, 0, 1e-45, 1e-40),
        "around the origin": (-4, -4, 4, 4),
        "on cell borders": (8, 4, 36, 32),
        "on cell centres": (10, 6, 38, 34),
        "wide and flat": (-100, 12, 3000, 13),
        "tall and narrow": (12, -2000, 13, 1000),
        "1e5": (-1e5, -1e5, 1e5, 1e5),
        "1e5 to one side": (3, 5, 1e5, 1e5),
    }


FAR_BOXES = {
    "1e7": (-1e7, -1e7, 1e7, 1e7),
    "1e7 to one side": (-1e7, 3, 17, 1e7),
    "2**30": (-(2**30), -(2**30), 2**30, 2**30),
    "2**30 from the origin": (0, 0, 2**30, 2**30),
    "the far corner": (2**30, 2**30, 2**30, 2**30),
}


def rois(boxes):
    """The boxes as RoIs (K, 5) float32, on the images 0 and 1 by turns."""
    corners = np.array(list(boxes.values()), np.float32).reshape(-1, 4)
    return np.column_stack([np.arange(len(corners), dtype=np.float32) % 2, corners])
