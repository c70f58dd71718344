"""The native axis weights are those of NumPy, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msroi_cli.core.weights import Axis, axis_weights
from msroi_cli.extension import native
from tests.corpus import FAR_BOXES, boxes

LIMIT = 2.0**30
SIDES = np.array([box[i : i + 3 : 2] for box in {**boxes(), **FAR_BOXES}.values() for i in (0, 1)], np.float32)


def native_weights(low, high, axis):
    buffers = native.axis_weights(low, high, axis.size, axis.scale, axis.bins, axis.sampling_ratio, axis.aligned)
    return tuple(np.frombuffer(b, t) for b, t in zip(buffers, (np.int64, np.int32, np.float64), strict=True))


def assert_twins(low, high, axis):
    ours = axis_weights(low, high, axis)
    offsets, cell, weight = native_weights(low, high, axis)
    np.testing.assert_array_equal(offsets, ours.offsets)
    np.testing.assert_array_equal(cell, ours.cell)
    assert weight.tobytes() == ours.weight.tobytes()


def random_sides(rng, count):
    low = rng.uniform(-300, 1500, count)
    high = low + np.exp(rng.uniform(-6, 8, count))
    return low.astype(np.float32), high.astype(np.float32)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("bins", [1, 2, 7, 14, 56])
@pytest.mark.sampled(3)
def test_weights(bins, ratio, aligned):
    rng = np.random.default_rng(bins * 100 + ratio)
    random = np.stack(random_sides(rng, 100), axis=1)
    low, high = np.concatenate([SIDES, random]).T.copy()
    for size in (1, 2, 9, 13, 333):
        for scale in (0.25, 1 / 32, 0.3, 1.0):
            assert_twins(low, high, Axis(size, scale, bins, ratio, aligned))


@given(
    low=st.floats(-LIMIT, LIMIT, width=32),
    side=st.floats(0, LIMIT, width=32),
    size=st.integers(1, 2000),
    scale=st.floats(0.001, 4),
    bins=st.integers(1, 20),
    ratio=st.integers(0, 40),
    aligned=st.booleans(),
)
def test_weights_of_any_side(low, side, size, scale, bins, ratio, aligned):
    start = np.array([low], np.float32)
    end = np.maximum(start, np.minimum(start + np.float32(side), np.float32(LIMIT)))
    assert_twins(start, end, Axis(size, scale, bins, ratio, aligned))


def test_a_huge_box_costs_no_more_than_the_map():
    low, high = np.float32([-LIMIT]), np.float32([LIMIT])
    offsets, cell, _ = native_weights(low, high, Axis(100, 1.0, 1, 0, False))
    assert offsets[-1] == len(cell) <= 100
