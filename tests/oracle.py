"""RoI Align and the level rules written down as they are defined, one sample at a time: slow, and checkable by eye.

Sample positions and levels are in float32 in the frameworks' order of operations, so that `ceil`, `floor` and the test
whether a sample lies on the map fall as theirs do. Everything else is in float64.
"""

from __future__ import annotations

import math

import numpy as np

F32 = np.float32


def samples(low, high, scale, bins, sampling_ratio, aligned):
    """The sample positions, in cells, of each bin of a box from `low` to `high` input pixels along one axis."""
    offset = F32(0.5 if aligned else 0)
    start = F32(low) * F32(scale) - offset
    side = F32(high) * F32(scale) - offset - start
    if not aligned:
        side = max(side, F32(1))
    bin_size = side / F32(bins)
    count = sampling_ratio if sampling_ratio > 0 else math.ceil(bin_size)
    steps = np.arange(count).astype(F32) + F32(0.5)
    return [start + F32(p) * bin_size + steps * bin_size / F32(count) for p in range(bins)]


def on_map(positions, size):
    """The positions that count; the others are worth 0, and of a box far larger than the map they are nearly all."""
    return positions[(positions >= -1) & (positions <= size)].tolist()


def neighbours(at, size):
    """The two cells that a sample lies between, and the share of the second one."""
    at = max(at, 0.0)
    if at >= size - 1:
        return size - 1, size - 1, 0.0
    return int(at), int(at) + 1, at - int(at)


def bilinear(image, y, x):
    """The value (C,) of `image` (C, H, W) at a position on the map."""
    top, bottom, v = neighbours(y, image.shape[1])
    left, right, u = neighbours(x, image.shape[2])
    return (
        (1 - v) * (1 - u) * image[:, top, left]
        + (1 - v) * u * image[:, top, right]
        + v * (1 - u) * image[:, bottom, left]
        + v * u * image[:, bottom, right]
    )


def crop(image, box, scale, output_size, sampling_ratio, aligned):
    """The crop (C, Ho, Wo), float64, of one box (x1, y1, x2, y2) out of `image` (C, H, W); `scale` is (y, x)."""
    channels, height, width = image.shape
    image = image.astype(np.float64)
    x1, y1, x2, y2 = box
    rows = samples(y1, y2, scale[0], output_size[0], sampling_ratio, aligned)
    columns = samples(x1, x2, scale[1], output_size[1], sampling_ratio, aligned)
    result = np.zeros((channels, *output_size))
    with np.errstate(invalid="ignore"):
        for p, q in np.ndindex(*output_size):
            for y in on_map(rows[p], height):
                for x in on_map(columns[q], width):
                    result[:, p, q] += bilinear(image, y, x)
            result[:, p, q] /= max(len(rows[p]) * len(columns[q]), 1)
    return result


def pool(features, rois, scales, output_size, sampling_ratio, aligned, levels):
    """The crops (K, C, Ho, Wo), float64, of RoIs (K, 5), each from its level; `scales` is one (y, x) pair a level."""
    crops = [
        crop(features[level][int(roi[0])], roi[1:], scales[level], output_size, sampling_ratio, aligned)
        for roi, level in zip(rois, levels, strict=True)
    ]
    return np.array(crops).reshape(len(rois), features[0].shape[1], *output_size)


def log2(ratio):
    """log2 in float32, rounded from float64."""
    return F32(math.log2(ratio)) if ratio > 0 else F32(-np.inf)


# The size s = sqrt(w * h) of a box, the level l0 of a box of size s0, and s0: the level, before it is clipped.
LEVEL_RULES = {
    "lucid": lambda s, l0=2, s0=224: np.floor(F32(l0) + log2(s / F32(s0) + F32(1e-6))),
    "torchvision": lambda s, l0=4, s0=224: np.floor(F32(l0) + log2(s / F32(s0)) + F32(1e-6)),
    "detectron2": lambda s, l0=4, s0=224: np.floor(F32(l0) + log2(s / F32(s0) + F32(1e-8))),
    "mmdet": lambda s, l0=0, s0=56: np.floor(F32(l0) + log2(s / F32(s0) + F32(1e-6))),
}
# These number a level by its stride, 2**number; the others by its index.
ABSOLUTE = {"torchvision", "detectron2"}


def level(box, strides, compat, **canonical):
    """The level of a box (x1, y1, x2, y2) as an index into `strides`; `canonical` may give l0 and s0."""
    x1, y1, x2, y2 = (F32(side) for side in box)
    first = math.log2(strides[0]) if compat in ABSOLUTE else 0
    number = LEVEL_RULES[compat](np.sqrt((x2 - x1) * (y2 - y1)), **canonical)
    return int(min(max(number - first, 0), len(strides) - 1))
