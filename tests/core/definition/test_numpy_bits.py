"""A crop that NumPy pools is the same bit for bit whatever else is in the call, also where features are not finite."""

from __future__ import annotations

import numpy as np
import pytest

from msroi_cli.core.backends.call import PoolCall
from tests.native.calls import corpus_calls, random_calls
from tests.native.pooling import pool, pyramid, random_rois, work


def rows_of(call, rows):
    return PoolCall(call.maps, call.batch[rows], call.boxes[rows], call.levels[rows], call.spec)


def channels_of(call, channels):
    return PoolCall([m[:, channels] for m in call.maps], call.batch, call.boxes, call.levels, call.spec)


def spoilt_pyramid(channels, dtype, seed=0):
    """Levels with NaN of either sign and infinities, in more channels the lower they are."""
    maps = pyramid(channels, dtype=dtype, seed=seed)
    rng = np.random.default_rng(seed)
    for array in maps:
        places = rng.integers(0, array.size, array.size // 40)
        array.flat[places] = rng.choice([np.nan, -np.nan, np.inf, -np.inf], len(places))
    return maps


@pytest.mark.slow
def test_box_by_box():
    for call, dtype in [*corpus_calls(), *random_calls(100)]:
        together = pool(call, "numpy", dtype=dtype)
        for k in range(0, len(together), 7):
            assert pool(rows_of(call, [k]), "numpy", dtype=dtype).tobytes() == together[k].tobytes()


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize(("size", "ratio"), [(7, 2), (7, 0), (1, 0), ((2, 5), 9)])
@pytest.mark.sampled(5)
def test_channel_by_channel(size, ratio, dtype):
    call = work(spoilt_pyramid(12, dtype), random_rois(30), size, ratio)
    together = pool(call, "numpy")
    assert np.isnan(together).any()
    for channels in (slice(0, 1), slice(11, 12), slice(2, 9)):
        assert pool(channels_of(call, channels), "numpy").tobytes() == together[:, channels].tobytes()


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.sampled(3)
def test_the_same_nan_wherever_the_features_lie(dtype):
    maps = spoilt_pyramid(5, dtype)
    rois = random_rois(30)
    plain = pool(work(maps, rois, 7, 0), "numpy")
    nans = plain[np.isnan(plain)]
    assert nans.tobytes() == np.full(nans.size, np.nan, plain.dtype).tobytes()
    for offset in (1, 4, 20, 60):
        moved = [np.frombuffer(bytes(offset) + m.tobytes(), m.dtype, offset=offset).reshape(m.shape) for m in maps]
        assert pool(work(moved, rois, 7, 0), "numpy").tobytes() == plain.tobytes()
