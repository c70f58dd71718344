"""Short ways to pool with one backend and to make work for it."""

from __future__ import annotations

import numpy as np

from msroi_cli.core.backends import dispatch as backends
from msroi_cli.core.backends.call import PoolCall
from msroi_cli.core.levels import levels_of
from msroi_cli.core.spec import PoolSpec

SCALES = (1 / 4, 1 / 8, 1 / 16, 1 / 32)


def work(maps, rois, size=7, ratio=2, scales=SCALES, **options):
    """One checked call on `maps` and RoIs (K, 5)."""
    spec = PoolSpec.resolve(scales[: len(maps)], size, ratio, **options)
    rois = np.asarray(rois, np.float32).reshape(-1, 5)
    boxes = np.ascontiguousarray(rois[:, 1:])
    return PoolCall(list(maps), rois[:, 0].astype(np.int64), boxes, levels_of(boxes, spec), spec)


def pool(call, backend="native", threads=2, out=None, dtype=None):
    """The crops of `call`, in an array full of sevens before."""
    if out is None:
        shape = (len(call.boxes), call.maps[0].shape[1], *call.spec.output_size)
        out = np.full(shape, 7, dtype or call.maps[0].dtype.newbyteorder("="))
    backends.BACKENDS[backend](out, call, threads, np.zeros(len(call.maps)))
    return out


def pyramid(channels=16, images=2, height=48, width=72, levels=4, dtype="f4", seed=0):
    """Normal numbers, each level half as large as the one before."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((images, channels, height >> k, width >> k)).astype(dtype) for k in range(levels)]


def random_rois(count, images=2, height=192, width=288, low=4, high=500, seed=1):
    """Boxes of all sizes, some of them partly off the image."""
    rng = np.random.default_rng(seed)
    side = np.exp(rng.uniform(np.log(low), np.log(high), (count, 2)))
    centre = rng.uniform(0, 1, (count, 2)) * (width, height)
    image = rng.integers(0, images, (count, 1))
    return np.hstack([image, centre - side / 2, centre + side / 2]).astype(np.float32)


def tolerance(call):
    """How far two backends may lie apart: they sum in another order."""
    largest = max((float(np.abs(m[np.isfinite(m)]).max(initial=0)) for m in call.maps), default=0.0)
    dtype = call.maps[0].dtype
    return {2: 2e-3, 4: 1e-5, 8: 1e-13}[dtype.itemsize] * largest + 8 * float(np.finfo(dtype).smallest_subnormal)
