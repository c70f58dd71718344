"""Pooling calls of all kinds, in memory and, by `python -m tests.native.calls FILE`, as a file for `msroi_replay`.

`python -m tests.native.calls FILE f4 f8`: those alone whose crops have one of these types.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from pathlib import Path

import numpy as np

from tests.corpus import FAR_BOXES, MAPS, SCALE, boxes, rois
from tests.native.pooling import work

TYPES = {"e": 0, "f": 1, "d": 2}
SPECIAL = (np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, 6e-8, 65519.0, 3e38)
RANDOM_CALLS = 1000


def corpus_calls():
    """(call, dtype of the crops): every array of the corpus under every box."""
    every = rois({**boxes(), **FAR_BOXES})
    for feature in MAPS.values():
        for size, ratio, aligned in ((7, 2, False), (7, 0, True), ((3, 5), 1, False), ((2, 9), 4, True), (1, 0, False)):
            for dtype in ("f2", "f4", "f8"):
                yield work([feature], every, size, ratio, scales=(SCALE,), aligned=aligned), np.dtype(dtype)


def random_calls(count=RANDOM_CALLS):
    """(call, dtype of the crops): random shapes, types, boxes and options; numbers of all sizes, some not finite."""
    for seed in range(count):
        yield random_call(np.random.default_rng(seed))


def random_call(rng):
    """One of them."""
    levels, channels = int(rng.integers(1, 4)), int(rng.choice([1, 2, 3, 5, 8, 15, 16, 17, 24, 33]))
    height, width = rng.integers(1, 40, 2)
    dtype = rng.choice(["f2", "f4", "f4", "f8", ">f4"])
    maps = [random_map(rng, channels, max(height >> k, 1), max(width >> k, 1), dtype) for k in range(levels)]
    if rng.integers(3) == 0:
        maps = [np.ascontiguousarray(m.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) for m in maps]  # channels last
    count = int(rng.choice([0, 1, 2, 12, 70]))
    side = np.exp(rng.uniform(-2, 7, (count, 2)))
    centre = rng.uniform(-0.1, 1.1, (count, 2)) * (4 * width, 4 * height)
    rows = np.hstack([rng.integers(0, 2, (count, 1)), centre - side / 2, centre + side / 2])
    size = tuple(int(bins) for bins in rng.choice([1, 2, 3, 7, 9, 14], 2))
    call = work(maps, rows, size, int(rng.integers(0, 5)), scales=(0.25, 0.125, 0.0625), aligned=bool(rng.integers(2)))
    return call, np.dtype(rng.choice(["f2", "f4", "f8"]))


def random_map(rng, channels, height, width, dtype):
    """A level (2, C, H, W)."""
    values = rng.standard_normal((2, channels, height, width)) * np.exp2(rng.integers(-130, 130) * rng.integers(0, 2))
    places = rng.integers(0, values.size, int(rng.integers(0, 4)))
    values.flat[places] = rng.choice(SPECIAL, len(places))
    with np.errstate(over="ignore"):
        return values.astype(dtype)


def write(path, types=("f2", "f4", "f8")):
    """Writes all calls to `path` whose crops have one of these types."""
    calls = [(call, dtype) for call, dtype in (*corpus_calls(), *random_calls()) if dtype.str[1:] in types]
    with Path(path).open("wb") as file:
        file.write(struct.pack("<q", len(calls)))
        for call, dtype in calls:
            file.write(packed(call, dtype))


def packed(call, dtype):
    """A call as `msroi_replay` reads it: little-endian int64, float32 where the kernel has them, and raw memory."""
    first, spec = call.maps[0], call.spec
    numbers = (len(call.maps), *first.shape[:2], TYPES[first.dtype.char], len(call.boxes), *spec.output_size)
    parts = [struct.pack("<10q", *numbers, spec.sampling_ratio, spec.aligned, TYPES[dtype.char])]
    for array, (scale_y, scale_x) in zip(call.maps, spec.spatial_scales, strict=True):
        memory, offset = memory_of(array)
        parts.append(struct.pack("<7q", not array.dtype.isnative, *array.shape[2:], *array.strides))
        parts.append(struct.pack("<2f2q", scale_y, scale_x, offset, len(memory)) + memory)
    return b"".join([*parts, call.boxes.tobytes(), call.batch.tobytes(), call.levels.tobytes()])


def memory_of(array):
    """The bytes that an array lies in, and where among them its first element is."""
    if not array.size:
        return b"", 0
    reach = [(size - 1) * stride for size, stride in zip(array.shape, array.strides, strict=True)]
    before = -sum(step for step in reach if step < 0)
    after = sum(step for step in reach if step > 0) + array.itemsize
    address = array.__array_interface__["data"][0]
    return ctypes.string_at(address - before, before + after), before


if __name__ == "__main__":
    write(sys.argv[1], *filter(None, [sys.argv[2:]]))
